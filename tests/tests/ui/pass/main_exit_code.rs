use std::process::ExitCode;

#[runtime::main(scheduler = "single-threaded")]
async fn main() -> ExitCode {
    ExitCode::SUCCESS
}
