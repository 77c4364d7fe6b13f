#[runtime::main]
async fn show<T>(value: T)
where
    T: std::fmt::Debug,
{
    println!("{value:?}");
}

#[runtime::test]
async fn parses<const N: usize>() {}

fn main() {
    show(1);
}
