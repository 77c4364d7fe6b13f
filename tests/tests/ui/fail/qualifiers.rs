#[runtime::main]
async unsafe fn main() {}

#[runtime::main]
async extern "C" fn serve() {}
