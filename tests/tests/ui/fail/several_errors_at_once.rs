#[runtime::main(worker = 4, scheduler = 1)]
fn main(path: String) -> Result<(), std::num::ParseIntError> {
    let number: u8 = path.parse()?;
    std::future::ready(number).await;
    Ok(())
}

// Whoever calls a function with an error in it finds it with the signature it should have.
#[runtime::main(scheduler = "fifo")]
async fn called(text: &str) -> Option<u8> {
    text.parse().ok()
}

fn caller() -> u8 {
    called("1").unwrap_or_default()
}
