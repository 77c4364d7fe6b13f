//! The attributes `#[runtime::main]` and `#[runtime::test]` of the windlass runtime.
//!
//! Use them through the `runtime` crate, which re-exports both; this crate knows no scheduler and
//! writes only calls to `runtime`'s public API. Both attributes turn an `async fn` into a plain
//! function that builds a runtime and blocks on the body:
//!
//! ```ignore
//! #[runtime::main(workers = 4)]
//! async fn main() -> std::io::Result<()> { /* body */ }
//!
//! // becomes, but with names that nothing of yours can shadow:
//! fn main() -> std::io::Result<()> {
//!     async fn main() -> std::io::Result<()> { /* body */ }
//!     match runtime::Builder::new().scheduler(runtime::Scheduler::WorkStealing).workers(4).build() {
//!         Ok(runtime) => runtime.block_on(main()),
//!         Err(error) => panic!("could not start the runtime: {error}"),
//!     }
//! }
//! ```
//!
//! The function is kept whole, as an inner `async fn`, rather than its body moved into an `async`
//! block: so rustc knows the return type inside the body (`?`, `Err(Box::new(e))`, `-> !`), and its
//! errors are those that it gives for the function as written.
//!
//! The map: `options` and `value` read what stands in the attribute's parentheses, `function` and
//! `parameter` the function below it; `check` refuses, `suggestion` answers a misspelt name;
//! `expansion` writes the result.

#![forbid(unsafe_code)]

mod attribute;
mod check;
mod expansion;
mod function;
mod options;
mod parameter;
mod problems;
#[cfg(test)]
mod soup;
mod suggestion;
mod value;

use attribute::Attribute;
use proc_macro::TokenStream;

/// Runs an `async fn` on a runtime of its own, which is built on entry and shut down on return.
///
/// Meant for `async fn main()`. Without arguments the runtime is work-stealing with one worker per
/// core.
///
/// | Key | Value | Default |
/// | --- | --- | --- |
/// | `scheduler` | `"work-stealing"` or `"single-threaded"` | `"work-stealing"` |
/// | `workers` | a whole number, at least 1; only with `"work-stealing"` | one per core |
/// | `crate` | the path of the `runtime` crate, `"rt"` or `crate::rt` | `"::runtime"` |
///
/// What only [`Builder`](https://docs.rs/windlass/latest/runtime/struct.Builder.html) can say, or
/// what is known only when the program runs, belongs in a plain `fn main` with
/// `Builder::new()...build()?.block_on(..)`.
///
/// The function may return whatever `fn main` may: `()`, `Result<_, E>` where `E: Debug`,
/// `std::process::ExitCode`, any `Termination`, `!`. Its attributes and visibility are kept, and
/// stand on the plain function that it becomes.
///
/// The body is not a task: it is polled on the thread that calls the function and need not be
/// `Send`. Spawn what should run on a worker. When the body returns, tasks that are still running
/// are dropped at their next `.await`.
///
/// # Functions other than `main`
///
/// Any free function will do, and then it may take arguments, each a plain name with its type.
/// Every call builds a runtime, and a call from inside a runtime panics as `Runtime::block_on`
/// does. The function cannot be generic, and cannot be a method; inside an `impl`, `Self` is not
/// visible in its body.
///
/// # A renamed crate
///
/// The expansion names `::runtime`. Where the dependency has another name (`rt = { package =
/// "windlass", .. }`), or where a library re-exports it to its users, say so: `crate = "rt"`. A
/// declarative macro writes `crate = $crate::rt`.
///
/// # Panics
///
/// The resulting function panics when the runtime cannot be built: the operating system refuses a
/// thread or a file descriptor.
///
/// # Errors
///
/// It is a compile error if the function is not `async`, is generic, `unsafe` or `extern`, if
/// `main` takes arguments, and if a key is unknown, given twice, or has a value that it cannot
/// have. The error points at the token in question, and the body is still checked, so an editor
/// goes on working.
#[proc_macro_attribute]
pub fn main(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expansion::expand(Attribute::Main, arguments.into(), item.into()).into()
}

/// Makes a test of an `async fn`, each run on a runtime of its own.
///
/// Stands in the place of `#[test]`. Without arguments the runtime is single-threaded: tests
/// already run in parallel, and one thread makes them repeatable.
///
/// | Key | Value | Default |
/// | --- | --- | --- |
/// | `scheduler` | `"work-stealing"` or `"single-threaded"` | `"single-threaded"` |
/// | `workers` | a whole number, at least 1; only with `scheduler = "work-stealing"` | one per core |
/// | `crate` | the path of the `runtime` crate, `"rt"` or `crate::rt` | `"::runtime"` |
///
/// The test may return whatever a `#[test]` may: `()`, `Result<_, E>` where `E: Debug`, any
/// `Termination`. `#[should_panic]`, `#[ignore]`, `#[cfg(..)]` and other attributes are kept,
/// above or below this one. To test with virtual time, call `runtime::time::pause()` first thing
/// in the body.
///
/// # Panics
///
/// The test panics, and so fails, when the runtime cannot be built: the operating system refuses a
/// thread or a file descriptor.
///
/// # Errors
///
/// It is a compile error if the function is not `async`, takes arguments, is generic, `unsafe` or
/// `extern`, if it carries `#[test]` as well, and if a key is unknown, given twice, or has a value
/// that it cannot have. (Of a `#[test]` above this attribute rustc itself complains, before this
/// attribute is reached: "async functions cannot be used for tests". Remove the `#[test]`.)
#[proc_macro_attribute]
pub fn test(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expansion::expand(Attribute::Test, arguments.into(), item.into()).into()
}
