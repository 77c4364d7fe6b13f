//! A guard of the timer's or of the network's driver stays on its thread as well.

fn elsewhere<T: Sync>(_: T) {}

fn main() {
    elsewhere(None::<runtime::time::EnterGuard>);
    elsewhere(None::<runtime::net::EnterGuard>);
}
