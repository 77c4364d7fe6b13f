//! A task that may move cannot keep a guard across an `.await`.

fn main() {
    let runtime = runtime::Builder::new().build().unwrap();
    let handle = runtime.handle().clone();
    runtime.spawn(async move {
        let _guard = handle.enter();
        runtime::task::yield_now().await;
    });
}
