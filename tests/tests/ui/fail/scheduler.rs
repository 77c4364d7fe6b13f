#[runtime::main(scheduler = 1)]
async fn main() {}

#[runtime::main(scheduler = single_threaded)]
async fn unquoted() {}

#[runtime::main(scheduler = "single_threaded")]
async fn underscore() {}

#[runtime::main(scheduler = "current_thread")]
async fn tokio_single() {}

#[runtime::main(scheduler = "multi_thread")]
async fn tokio_multi() {}

#[runtime::main(scheduler = "fifo")]
async fn unlike_any() {}
