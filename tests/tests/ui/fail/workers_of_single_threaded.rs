#[runtime::main(scheduler = "single-threaded", workers = 2)]
async fn main() {}

#[runtime::test(workers = 2)]
async fn by_default() {}

// The scheduler that cannot be read is the only thing wrong here.
#[runtime::test(workers = 2, scheduler = "work-staeling")]
async fn misspelt() {}
