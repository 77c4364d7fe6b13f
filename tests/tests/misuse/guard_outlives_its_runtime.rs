//! A guard borrows what it has entered.

fn main() {
    let guard = {
        let runtime = runtime::Builder::new().build().unwrap();
        runtime.enter()
    };
    drop(guard);
}
