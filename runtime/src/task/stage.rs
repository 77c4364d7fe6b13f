//! What a task has: its future, and then its output.

use std::any::Any;
use std::future::Future;
use std::mem::ManuallyDrop;
use std::pin::Pin;

/// What is in a [`Stage`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    Running,
    Finished,
    Panicked,
    Aborted,
    CancelledByShutdown,
    CancelledWithoutThread,
    Consumed,
}

impl Kind {
    pub(super) fn from_u8(kind: u8) -> Kind {
        const KINDS: [Kind; 7] = [
            Kind::Running,
            Kind::Finished,
            Kind::Panicked,
            Kind::Aborted,
            Kind::CancelledByShutdown,
            Kind::CancelledWithoutThread,
            Kind::Consumed,
        ];
        KINDS[usize::from(kind)]
    }
}

pub(super) type Panic = Box<dyn Any + Send>;

/// The future, or its output or panic, or nothing. The header says which: there is room for that beside
/// other facts, and here it would take a word.
pub(super) union Stage<F: Future> {
    running: ManuallyDrop<F>,
    finished: ManuallyDrop<F::Output>,
    panicked: ManuallyDrop<Panic>,
    nothing: (),
}

impl<F: Future> Stage<F> {
    pub(super) fn running(future: F) -> Stage<F> {
        Stage { running: ManuallyDrop::new(future) }
    }

    pub(super) fn finished(output: F::Output) -> Stage<F> {
        Stage { finished: ManuallyDrop::new(output) }
    }

    pub(super) fn panicked(payload: Panic) -> Stage<F> {
        Stage { panicked: ManuallyDrop::new(payload) }
    }

    pub(super) fn nothing() -> Stage<F> {
        Stage { nothing: () }
    }

    /// # Safety
    /// The future is in the stage, which does not move before the future is dropped.
    #[inline]
    pub(super) unsafe fn future(&mut self) -> Pin<&mut F> {
        // SAFETY: as the caller says.
        let future = unsafe { &mut self.running };
        // SAFETY: as the caller says; it is dropped in place.
        unsafe { Pin::new_unchecked(&mut **future) }
    }

    /// # Safety
    /// The future is in the stage, and is not used again, also if its drop panics.
    #[inline]
    pub(super) unsafe fn drop_future(&mut self) {
        // SAFETY: as the caller says.
        let future = unsafe { &mut self.running };
        // SAFETY: as the caller says.
        unsafe { ManuallyDrop::drop(future) }
    }

    /// # Safety
    /// The output is in the stage, and is not used again there.
    #[inline]
    pub(super) unsafe fn take_output(&mut self) -> F::Output {
        // SAFETY: as the caller says.
        let output = unsafe { &mut self.finished };
        // SAFETY: as the caller says.
        unsafe { ManuallyDrop::take(output) }
    }

    /// # Safety
    /// The output is in the stage, and is not used again, also if its drop panics.
    #[inline]
    pub(super) unsafe fn drop_output(&mut self) {
        // SAFETY: as the caller says.
        let output = unsafe { &mut self.finished };
        // SAFETY: as the caller says.
        unsafe { ManuallyDrop::drop(output) }
    }

    /// # Safety
    /// A panic is in the stage.
    pub(super) unsafe fn panic(&self) -> &(dyn Any + Send) {
        // SAFETY: as the caller says.
        let payload = unsafe { &self.panicked };
        &***payload
    }

    /// # Safety
    /// A panic is in the stage, and is not used again there.
    pub(super) unsafe fn take_panic(&mut self) -> Panic {
        // SAFETY: as the caller says.
        let payload = unsafe { &mut self.panicked };
        // SAFETY: as the caller says.
        unsafe { ManuallyDrop::take(payload) }
    }
}
