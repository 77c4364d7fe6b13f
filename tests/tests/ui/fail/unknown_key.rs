#[runtime::main(worker = 4)]
async fn main() {}

#[runtime::main(shedular = "single-threaded")]
async fn misspelt() {}

#[runtime::main(colour = "blue", workers = 2)]
async fn unlike_any() {}

#[runtime::main(single_threaded)]
async fn without_value() {}
