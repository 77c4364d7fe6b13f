//! A shutdown takes the runtime.

fn main() {
    let runtime = runtime::Builder::new().build().unwrap();
    runtime.shutdown(std::time::Duration::ZERO);
    runtime.block_on(async {});
}
