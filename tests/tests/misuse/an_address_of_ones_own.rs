//! The trait for addresses is closed: later versions may ask more of it.

struct Mine;

impl runtime::net::ToSocketAddrs for Mine {}

fn main() {}
