#[runtime::main]
async fn main(path: String) {
    println!("{path}");
}
