#[runtime::main]
async fn sum((left, right): (u8, u8), last: u8) -> u8 {
    left + right + last
}

fn main() {
    let _: u8 = sum((1, 2), 3);
}
