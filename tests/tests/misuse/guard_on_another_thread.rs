//! A guard restores what its own thread was in.

fn elsewhere<T: Send>(_: T) {}

fn main() {
    let runtime = runtime::Builder::new().build().unwrap();
    elsewhere(runtime.enter());
}
