//! The attempts at an operation: the only loop around what may block.

use super::readiness::Snapshot;
use super::registered::Registered;
use super::shut_down_error;
use super::waiters::WaiterId;
use crate::interest::{Interest, Ready};
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::task::{Context, Poll, ready};

impl<S: AsFd> Registered<S> {
    /// The loop around everything that may block.
    pub(super) fn poll_attempts<R>(
        &self,
        context: &mut Context<'_>,
        id: &mut Option<WaiterId>,
        interest: Interest,
        mut operation: impl FnMut(&S) -> io::Result<R>,
        is_drained: impl Fn(&R) -> bool,
    ) -> Poll<io::Result<R>> {
        loop {
            let seen = ready!(self.readiness().poll(context, id, interest));
            check_running(seen)?;
            ready!(self.poll_budget(context));
            match self.attempt(seen, interest, &mut operation, &is_drained) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    // If it was registered, the bits are cleared now and the next round waits.
                    self.register()?;
                }
                result => return Poll::Ready(result),
            }
        }
    }

    /// The loop without the wait.
    pub(super) fn try_attempts<R>(
        &self,
        interest: Interest,
        mut operation: impl FnMut(&S) -> io::Result<R>,
        is_drained: impl Fn(&R) -> bool,
    ) -> io::Result<R> {
        loop {
            let seen = self.readiness().state();
            check_running(seen)?;
            if !seen.satisfies(interest) {
                return Err(ErrorKind::WouldBlock.into());
            }
            match self.attempt(seen, interest, &mut operation, &is_drained) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    /// Attempts an operation whatever the readiness says, and leaves it as it is: for one that may
    /// fail with `WouldBlock` for want of something else than this source.
    pub(crate) fn attempt_regardless<R>(
        &self,
        mut operation: impl FnMut(&S) -> io::Result<R>,
    ) -> io::Result<R> {
        loop {
            check_running(self.readiness().state())?;
            match operation(self.get_ref()) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    /// Calls the operation once and clears the readiness that it found wanting.
    fn attempt<R>(
        &self,
        seen: Snapshot,
        interest: Interest,
        operation: &mut impl FnMut(&S) -> io::Result<R>,
        is_drained: &impl Fn(&R) -> bool,
    ) -> io::Result<R> {
        let result = operation(self.get_ref());
        if !seen.is_registered() {
            return result;
        }
        match &result {
            // Every bit of the direction, its end too: the kernel has just said that it is neither
            // ready nor closed, as with a named pipe that has a writer again.
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.readiness().clear(seen, interest.mask());
            }
            // Not where the end or an error is still to be read: no event will announce it again.
            Ok(value) if !has_end(seen, interest) && is_drained(value) => {
                self.readiness().clear(seen, interest.mask());
            }
            _ => {}
        }
        result
    }

    /// Waits for readiness alone.
    pub(super) fn poll_ready(
        &self,
        context: &mut Context<'_>,
        id: &mut Option<WaiterId>,
        interest: Interest,
    ) -> Poll<io::Result<Ready>> {
        self.register()?;
        let seen = ready!(self.readiness().poll(context, id, interest));
        check_running(seen)?;
        ready!(self.poll_budget(context));
        Poll::Ready(Ok(seen.ready() & interest.mask()))
    }

    pub(crate) fn poll_budget(&self, context: &mut Context<'_>) -> Poll<()> {
        (self.handle().shared().hooks.budget)(context)
    }
}

/// Refuses whatever comes after the shutdown.
#[inline]
fn check_running(seen: Snapshot) -> io::Result<()> {
    if seen.ready().is_shut_down() { Err(shut_down_error()) } else { Ok(()) }
}

/// Whether the end of a direction, or an error, may be left to read.
fn has_end(seen: Snapshot, interest: Interest) -> bool {
    let more = Ready::READABLE | Ready::WRITABLE;
    (seen.ready() & interest.mask()).bits() & !more.bits() != 0
}
