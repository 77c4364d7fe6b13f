#[runtime::main(crate = "acme")]
async fn main() {}
