#[runtime::main]
async fn main() -> u8 {
    4
}
