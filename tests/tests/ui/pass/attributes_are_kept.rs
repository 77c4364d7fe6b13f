//! Attributes, visibility and lints stay on the function.

#![deny(
    warnings,
    missing_docs,
    unused_qualifications,
    unreachable_pub,
    deprecated
)]
#![forbid(unsafe_code)]

mod inner {
    /// Documented.
    #[runtime::main]
    #[must_use]
    #[cfg(all())]
    #[allow(non_snake_case)]
    #[inline(never)]
    #[track_caller]
    pub(crate) async fn Shout() -> u32 {
        #![allow(unused_variables)]
        let unused = 1;
        7
    }

    #[cfg(any())]
    #[runtime::main]
    async fn removed() -> NoSuchType {}

    #[expect(unused_mut)]
    #[runtime::main]
    pub(crate) async fn expects() {
        let mut not_changed = 1;
        assert_eq!(not_changed, 1);
    }

    #[deprecated]
    #[runtime::main]
    pub(crate) async fn old() {}
}

#[runtime::main]
/// Documented below the attribute.
async fn main() {
    std::thread::spawn(|| {
        assert_eq!(inner::Shout(), 7);
        inner::expects();
        #[expect(deprecated)]
        inner::old();
    })
    .join()
    .expect("the functions return");
}
