//! The #[runtime::main] and #[runtime::test] attributes of the windlass runtime.
