//! The wait for events: what one thread at a time does.

use super::Shared;
use super::alarm::Alarm;
use super::table::Token;
use crate::interest::Ready;
use mio::{Events, Poll};
use std::io;
use std::task::Waker;
use std::time::{Duration, Instant};

/// How many events one system call fetches; more wait for the next.
const EVENTS: usize = 1024;

/// What waits for events. One thread at a time holds it.
pub(crate) struct Poller {
    poll: Poll,
    events: Events,
    alarm: Alarm,
}

impl Poller {
    pub(crate) fn new(poll: Poll) -> io::Result<Poller> {
        let alarm = Alarm::new(poll.registry())?;
        Ok(Poller { poll, events: Events::with_capacity(EVENTS), alarm })
    }

    /// Waits as [`Turn::wait`](super::Turn::wait) describes.
    pub(crate) fn wait(
        &mut self,
        shared: &Shared,
        timeout: Option<Duration>,
        wakers: &mut Vec<Waker>,
    ) -> io::Result<usize> {
        // A look leaves the unpark token alone: it is meant for one who sleeps, and an unpark that
        // ends nothing is harmless where one that is missing is not.
        if timeout == Some(Duration::ZERO) {
            return self.look(shared, wakers);
        }
        if !shared.unpark.begin_sleep() {
            return self.look(shared, wakers);
        }
        let result = self.sleep(shared, timeout, wakers);
        shared.unpark.end_sleep();
        result
    }

    /// Fetches what is there.
    fn look(&mut self, shared: &Shared, wakers: &mut Vec<Waker>) -> io::Result<usize> {
        self.fetch(shared, Some(Duration::ZERO))?;
        Ok(self.dispatch(shared, wakers))
    }

    /// Sleeps until an event, an unpark or the timeout.
    fn sleep(
        &mut self,
        shared: &Shared,
        timeout: Option<Duration>,
        wakers: &mut Vec<Waker>,
    ) -> io::Result<usize> {
        // The kernel sleeps in real time, so this measures real time, whatever clock the timers
        // use. A deadline beyond the range of `Instant` is none.
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        loop {
            let sleep_time = deadline.and_then(|deadline| {
                match deadline.saturating_duration_since(Instant::now()) {
                    Duration::ZERO => Some(Duration::ZERO),
                    left => self.alarm.sleep_time(deadline, left),
                }
            });
            self.fetch(shared, sleep_time)?;
            let events = self.dispatch(shared, wakers);
            if events > 0
                || shared.unpark.is_notified()
                || deadline.is_some_and(|deadline| Instant::now() >= deadline)
            {
                return Ok(events);
            }
        }
    }

    /// One system call. A signal counts as no event: the caller sleeps again for what is left.
    #[cfg(not(windlass_shuttle))]
    fn fetch(&mut self, _shared: &Shared, timeout: Option<Duration>) -> io::Result<()> {
        match self.poll.poll(&mut self.events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                self.events.clear();
                Ok(())
            }
            result => result,
        }
    }

    #[cfg(windlass_shuttle)]
    fn fetch(&mut self, shared: &Shared, timeout: Option<Duration>) -> io::Result<()> {
        shared.bell.wait(timeout);
        Ok(())
    }

    /// Sets the readiness of every source that has an event.
    fn dispatch(&mut self, shared: &Shared, wakers: &mut Vec<Waker>) -> usize {
        let mut table = None;
        let mut count = 0;
        for event in &self.events {
            let token = Token(event.token());
            match token {
                Token::UNPARK => {}
                #[cfg(target_os = "linux")]
                Token::ALARM => self.alarm.fired(),
                _ => {
                    // One lock for the batch. No user's code runs under it: wakers are only moved.
                    let table = table.get_or_insert_with(|| shared.table.lock());
                    if let Some(readiness) = table.get(token) {
                        readiness.set(Ready::of_event(event), wakers);
                        count += 1;
                    }
                }
            }
        }
        count
    }
}
