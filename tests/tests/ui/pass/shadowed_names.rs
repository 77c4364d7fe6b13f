//! Whatever the user calls their own things, the expansion means the real ones.

#![allow(dead_code, non_camel_case_types, non_upper_case_globals, unused_macros)]
#![no_implicit_prelude]

mod std {}
mod core {}
mod alloc {}
mod runtime {
    pub(crate) struct Builder;
    pub(crate) enum Scheduler {}
}
mod macros {}

struct Builder;
enum Scheduler {}
struct Runtime;
struct Result;
struct Option;
struct Ok(u8);
struct Err(u8);
struct Some(u8);
trait Future {}
trait IntoFuture {}
const body: u8 = 1;
static runtime_: u8 = 1;
static error: u8 = 1;
static rt: u8 = 1;
const result: u8 = 1;
struct future;
fn block_on() {}
fn build() {}
type usize = ();
type u8 = ::core::primitive::u8;

macro_rules! panic {
    ($($any:tt)*) => {
        ::core::compile_error!("the user's `panic!` was used")
    };
}
macro_rules! unreachable {
    ($($any:tt)*) => {
        ::core::compile_error!("the user's `unreachable!` was used")
    };
}

// In scope for every type: inherent methods come first.
trait Shadow: ::core::marker::Sized {
    fn scheduler(self) {}
    fn workers(self) {}
    fn build(self) {}
    fn block_on(self) {}
}
impl<T> Shadow for T {}

#[::runtime::main(workers = 2)]
async fn runtime(first: u8, second: u8) -> u8 {
    let runtime = first;
    runtime + second
}

#[::runtime::main]
async fn r#match() -> u8 {
    self::body
}

#[::runtime::main(scheduler = "single-threaded")]
async fn build_failed() -> u8 {
    // A function is in scope inside itself, as any other is.
    async fn build_failed() -> u8 {
        2
    }
    build_failed().await
}

#[::runtime::main]
async fn main() {
    let checks = ::std::thread::spawn(|| {
        ::core::assert_eq!(runtime(1, 2), 3);
        ::core::assert_eq!(r#match(), 1);
        ::core::assert_eq!(build_failed(), 2);
    });
    ::core::assert!(checks.join().is_ok());
}
