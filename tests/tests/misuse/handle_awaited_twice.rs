//! An output is given once.

#[runtime::main]
async fn main() {
    let task = runtime::spawn(async { 1 });
    task.await.unwrap();
    task.await.unwrap();
}
