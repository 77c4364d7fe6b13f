//! The attribute works wherever a function may stand.

struct Server;

impl Server {
    #[runtime::main]
    async fn answer(request: u8) -> u8 {
        request + 1
    }
}

fn main() {
    #[runtime::main]
    async fn local() -> u8 {
        Helper.value()
    }

    struct Helper;

    impl Helper {
        fn value(&self) -> u8 {
            7
        }
    }

    assert_eq!(local(), 7);
    assert_eq!(Server::answer(1), 2);
}
