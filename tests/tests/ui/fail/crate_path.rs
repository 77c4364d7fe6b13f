#[runtime::main(crate = "my-runtime")]
async fn main() {}

#[runtime::main(crate = 4)]
async fn number() {}

#[runtime::main(crate = "")]
async fn empty() {}

#[runtime::main(crate = "fn")]
async fn keyword() {}

#[runtime::main(crate = "runtime::")]
async fn unfinished() {}
