//! Letting the others go first.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Lets every task that is ready run before the caller goes on.
///
/// The caller goes to the back of its worker's queue. I/O and timers are looked at between tasks at
/// least every 200 us, so a loop around `yield_now` keeps neither of them waiting for longer.
///
/// **Cancel safety**: safe, it holds nothing.
///
/// # Examples
/// ```
/// # runtime::Builder::new().build().unwrap().block_on(async {
/// for chunk in [1, 2, 3] {
///     // ... compute on `chunk` for a while ...
///     runtime::task::yield_now().await;
/// }
/// # });
/// ```
pub fn yield_now() -> YieldNow {
    YieldNow { has_yielded: false }
}

/// The future of [`yield_now`].
#[derive(Debug)]
#[must_use = "futures do nothing unless they are awaited"]
pub struct YieldNow {
    has_yielded: bool,
}

impl Future for YieldNow {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.has_yielded {
            return Poll::Ready(());
        }
        self.has_yielded = true;
        // A task that wakes itself during its poll goes to the back of the queue.
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
