#[runtime::main(workers = 0)]
async fn main() {}

#[runtime::main(workers = "4")]
async fn text() {}

#[runtime::main(workers = 4.5)]
async fn fraction() {}

#[runtime::main(workers = -1)]
async fn negative() {}

#[runtime::main(workers = 4u8)]
async fn suffixed() {}

#[runtime::main(workers = 99999999999999999999)]
async fn enormous() {}

#[runtime::main(workers = cores())]
async fn computed() {}

fn cores() -> usize {
    4
}
