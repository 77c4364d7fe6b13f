#[runtime::main(workers)]
async fn main() {}

#[runtime::main(workers =)]
async fn unfinished() {}

#[runtime::main(crate: "runtime")]
async fn colon() {}

#[runtime::main(scheduler)]
async fn bare() {}

#[runtime::main("single-threaded")]
async fn value_alone() {}

#[runtime::main(, workers = 2)]
async fn leading_comma() {}

#[runtime::main(workers = 2 scheduler = "work-stealing")]
async fn missing_comma() {}
