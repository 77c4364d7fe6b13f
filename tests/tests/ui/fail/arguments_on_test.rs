#[runtime::test]
async fn adds(left: u8, right: u8) {
    assert_eq!(left + right, 3);
}

fn main() {}
