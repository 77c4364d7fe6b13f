#[runtime::main(flavor = "multi_thread", worker_threads = 4)]
async fn main() {}

#[runtime::test(start_paused = true)]
async fn paused() {}

#[runtime::main(unhandled_panic = "shutdown_runtime")]
async fn panics() {}

#[runtime::main(threads = 4)]
async fn threads() {}
