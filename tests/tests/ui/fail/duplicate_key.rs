#[runtime::main(workers = 2, workers = 4)]
async fn main() {}

#[runtime::test(crate = "runtime", scheduler = "work-stealing", crate = "runtime")]
async fn twice() {}
