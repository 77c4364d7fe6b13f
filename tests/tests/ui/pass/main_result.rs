#[runtime::main(scheduler = "work-stealing", workers = 2)]
async fn main() -> std::io::Result<()> {
    Ok(())
}
