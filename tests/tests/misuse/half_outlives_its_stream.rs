//! A borrowed half cannot be moved into a task; an owned one can.

use runtime::net::TcpStream;

async fn serve(mut stream: TcpStream) {
    let (mut reader, _writer) = stream.split();
    runtime::spawn(async move { reader.read(&mut [0]).await });
}

fn main() {}
