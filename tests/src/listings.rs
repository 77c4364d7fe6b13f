//! The listings of the documents in Rust, which rustdoc compiles, and runs where they are programs,
//! as examples of this crate: `cargo test -p windlass-tests --doc`.
//!
//! Pieces are made whole by lines that begin with `# `, which the book does not show. `.ci/check-docs`
//! sees that no page is missing here.

#[doc = include_str!("../../README.md")]
struct Readme;
#[doc = include_str!("../../docs/src/coming-from/asyncio.md")]
struct Asyncio;
#[doc = include_str!("../../docs/src/coming-from/c-select.md")]
struct CSelect;
#[doc = include_str!("../../docs/src/coming-from/chat.md")]
struct Chat;
#[doc = include_str!("../../docs/src/coming-from/cpu-heavy.md")]
struct CpuHeavy;
#[doc = include_str!("../../docs/src/coming-from/event-loop-http.md")]
struct EventLoopHttp;
#[doc = include_str!("../../docs/src/coming-from/netty.md")]
struct Netty;
#[doc = include_str!("../../docs/src/coming-from/node.md")]
struct Node;
#[doc = include_str!("../../docs/src/coming-from/posix-aio.md")]
struct PosixAio;
#[doc = include_str!("../../docs/src/coming-from/tokio.md")]
struct Tokio;
#[doc = include_str!("../../docs/src/getting-started.md")]
struct GettingStarted;
