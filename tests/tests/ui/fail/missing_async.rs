#[runtime::main]
fn main() {
    std::future::ready(()).await;
}
