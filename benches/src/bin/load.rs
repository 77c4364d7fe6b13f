//! The load generator alone; see `benches/README.md`.

fn main() -> std::process::ExitCode {
    benches::load()
}
