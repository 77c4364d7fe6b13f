#[runtime::main]
async fn serve();

fn main() {}
