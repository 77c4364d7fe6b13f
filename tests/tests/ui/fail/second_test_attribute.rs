#[runtime::test]
#[test]
async fn below() {}

#[runtime::test]
#[::core::prelude::v1::test]
async fn by_its_path() {}

#[runtime::test]
#[runtime::test]
async fn our_own() {}

fn main() {}
