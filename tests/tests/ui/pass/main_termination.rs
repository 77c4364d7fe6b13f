use std::process::Termination;

#[runtime::main(workers = 1)]
async fn main() -> impl Termination {
    Ok::<(), std::fmt::Error>(())
}
