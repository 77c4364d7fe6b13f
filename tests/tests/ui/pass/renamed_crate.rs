//! The runtime under other names: at the root, re-exported, and through a declarative macro.

extern crate runtime as rt;

mod facade {
    pub(crate) mod windlass {
        pub(crate) use runtime::*;
    }
}

mod runtime_of_mine {
    pub(crate) use ::runtime::{Builder, Runtime, Scheduler};
}

#[rt::main(crate = "rt")]
async fn plain() {}

#[rt::main(crate = "::rt", workers = 2)]
async fn absolute() {}

#[rt::main(crate = "crate::facade::windlass")]
async fn nested() {}

#[rt::main(crate = runtime_of_mine)]
async fn without_quotes() {}

#[rt::main(crate = r"self::runtime_of_mine")]
async fn raw_string() {}

macro_rules! entry {
    ($(#[$meta:meta])* $vis:vis $name:ident, $workers:literal, $output:ty, $body:block) => {
        #[$crate::facade::windlass::main(crate = $crate::facade::windlass, workers = $workers)]
        $(#[$meta])*
        $vis async fn $name() -> $output $body
    };
}

entry!(#[must_use] pub(crate) by_macro, 2, u8, { 7 });
entry!(by_macro_and_private, 1, Result<u8, std::num::ParseIntError>, { "7".parse() });

macro_rules! attributed {
    ($item:item) => {
        #[runtime::main]
        $item
    };
}

attributed! {
    async fn whole_item() -> u8 { 7 }
}

fn main() {
    plain();
    absolute();
    nested();
    without_quotes();
    raw_string();
    assert_eq!(by_macro(), 7);
    assert_eq!(by_macro_and_private(), Ok(7));
    assert_eq!(whole_item(), 7);
}
