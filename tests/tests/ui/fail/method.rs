struct Server;

impl Server {
    #[runtime::main]
    async fn serve(&self) {}
}

fn main() {
    let _ = Server.serve();
}
