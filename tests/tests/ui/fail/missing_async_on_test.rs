#[runtime::test]
pub fn waits() {
    std::future::ready(()).await;
}

fn main() {}
