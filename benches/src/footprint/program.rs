//! The smallest program on each runtime: a task that says hello.

use crate::runtimes::RuntimeName;

/// What is compiled.
pub(super) struct Program {
    /// Lines for `[dependencies]`; the versions are those of the workspace's `Cargo.lock`.
    pub(super) dependencies: String,
    /// `src/main.rs`.
    pub(super) main: &'static str,
}

/// Where windlass itself is.
const WINDLASS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../runtime");

/// The program on `runtime`, with what a network server needs of it; `None` where that is the program
/// of another name.
pub(super) fn program(runtime: RuntimeName) -> Option<Program> {
    let windlass = format!("windlass = {{ path = {WINDLASS:?} }}");
    let (dependencies, main) = match runtime {
        RuntimeName::TokioMt => (
            r#"tokio = { version = "1", features = ["net", "rt-multi-thread", "time"] }"#,
            "fn main() {
                let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
                let runtime = runtime.expect(\"a runtime\");
                runtime.block_on(async { tokio::spawn(async { println!(\"hello\") }).await }).expect(\"no panic\");
            }",
        ),
        RuntimeName::TokioCt => (
            r#"tokio = { version = "1", features = ["net", "rt", "time"] }"#,
            "fn main() {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                let runtime = runtime.expect(\"a runtime\");
                runtime.block_on(async { tokio::spawn(async { println!(\"hello\") }).await }).expect(\"no panic\");
            }",
        ),
        RuntimeName::SmolMt => (
            r#"smol = "2""#,
            "fn main() {
                smol::block_on(smol::spawn(async { println!(\"hello\") }));
            }",
        ),
        RuntimeName::SmolLocal => (
            r#"smol = "2""#,
            "fn main() {
                let executor = smol::LocalExecutor::new();
                smol::block_on(executor.run(executor.spawn(async { println!(\"hello\") })));
            }",
        ),
        RuntimeName::NioMt => (
            r#"nio = "0.1""#,
            "fn main() {
                let runtime = nio::RuntimeBuilder::new().rt().expect(\"a runtime\");
                runtime.block_on(|| async { nio::spawn(async { println!(\"hello\") }).await }).expect(\"no panic\");
            }",
        ),
        RuntimeName::NioCt => (
            r#"nio = "0.1""#,
            "fn main() {
                let runtime: std::io::Result<nio::LocalRuntime> = nio::RuntimeBuilder::new().worker_threads(1).build();
                let mut runtime = runtime.expect(\"a runtime\");
                let task = runtime.spawn_local(async { println!(\"hello\") });
                runtime.block_on(task).expect(\"no panic\");
            }",
        ),
        RuntimeName::Monoio => (
            r#"monoio = { version = "0.2", default-features = false, features = ["legacy"] }"#,
            "fn main() {
                let runtime = monoio::RuntimeBuilder::<monoio::LegacyDriver>::new().enable_timer().build();
                runtime.expect(\"a runtime\").block_on(async { monoio::spawn(async { println!(\"hello\") }).await });
            }",
        ),
        RuntimeName::Compio => (
            r#"compio = { version = "0.18", default-features = false, features = ["io", "net", "polling", "runtime", "time"] }"#,
            "fn main() {
                let runtime = compio::runtime::Runtime::new().expect(\"a runtime\");
                runtime.block_on(runtime.spawn(async { println!(\"hello\") })).expect(\"no panic\");
            }",
        ),
        RuntimeName::WindlassWs => (
            &*windlass,
            "fn main() {
                let runtime = runtime::Builder::new().scheduler(runtime::Scheduler::WorkStealing).build();
                let runtime = runtime.expect(\"a runtime\");
                runtime.block_on(runtime.spawn(async { println!(\"hello\") })).expect(\"no panic\");
            }",
        ),
        RuntimeName::WindlassSt => (
            &*windlass,
            "fn main() {
                let runtime = runtime::Builder::new().scheduler(runtime::Scheduler::SingleThreaded).build();
                let runtime = runtime.expect(\"a runtime\");
                runtime.block_on(runtime.spawn(async { println!(\"hello\") })).expect(\"no panic\");
            }",
        ),
        RuntimeName::Threads => ("", "fn main() { println!(\"hello\") }"),
        RuntimeName::NioPin | RuntimeName::RawEpoll => return None,
    };
    Some(Program { dependencies: dependencies.to_owned(), main })
}
