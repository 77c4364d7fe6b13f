//! The command line of the measuring instrument; see `benches/README.md`.

fn main() -> std::process::ExitCode {
    benches::main()
}
