//! What a client can ask of a server beside `ACK`: to misbehave.
//!
//! A request that starts with `!` is a command: `!block 100` blocks the thread of the handler for
//! 100 ms, `!compute 5` keeps it busy for 5 ms, `!sleep 10` waits for 10 ms as a task should and
//! answers how late it was woken, `!hog 5` spawns a task that computes for 5 ms, wakes itself and is
//! pending, for ever, `!polite-hog 5` one that calls the runtime's `yield_now` instead, and `!quit`
//! ends the process. All other requests are answered `ACK`.

use crate::shim::{Shim, wake_self};
use std::future::Future;
use std::process;
use std::thread;
use std::time::{Duration, Instant};

/// The answer to a request.
pub(crate) const ACK: &[u8] = b"ACK\n";

/// The most that a server reads at once.
pub(crate) const READ_AT_MOST: usize = 1024;

/// A request out of the ordinary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// Blocks the thread.
    Block(Duration),
    /// Keeps the thread busy.
    Compute(Duration),
    /// Waits in the task.
    Sleep(Duration),
    /// Spawns a task that computes for so long between waking itself.
    Hog(Duration),
    /// The same between calls of `yield_now`.
    PoliteHog(Duration),
    /// Ends the server.
    Quit,
}

impl Command {
    /// The command in `request`, if it is one.
    #[inline]
    pub(crate) fn parse(request: &[u8]) -> Option<Command> {
        match request {
            [b'!', rest @ ..] => Command::parse_cold(rest),
            _ => None,
        }
    }

    #[cold]
    fn parse_cold(request: &[u8]) -> Option<Command> {
        let text = std::str::from_utf8(request).ok()?;
        let mut words = text.split_whitespace();
        let verb = words.next()?;
        let millis = words.next().and_then(|number| number.parse().ok()).unwrap_or(0);
        let duration = Duration::from_millis(millis);
        match verb {
            "block" => Some(Command::Block(duration)),
            "compute" => Some(Command::Compute(duration)),
            "sleep" => Some(Command::Sleep(duration)),
            "hog" => Some(Command::Hog(duration)),
            "polite-hog" => Some(Command::PoliteHog(duration)),
            "quit" => Some(Command::Quit),
            _ => None,
        }
    }

    /// Does what needs no runtime; `None` for what does.
    pub(crate) fn perform_blocking(self) -> Option<()> {
        match self {
            Command::Block(duration) => thread::sleep(duration),
            Command::Compute(duration) => compute(duration),
            Command::Quit => process::exit(0),
            Command::Sleep(_) | Command::Hog(_) | Command::PoliteHog(_) => return None,
        }
        Some(())
    }

    /// Does it in a task of runtime `R` and returns the answer.
    pub(crate) async fn perform<R: Shim>(self) -> Vec<u8> {
        match self {
            Command::Sleep(duration) => {
                let begun = Instant::now();
                R::sleep(duration).await;
                let late = begun.elapsed().saturating_sub(duration);
                format!("late {}\n", late.as_micros()).into_bytes()
            }
            Command::Hog(duration) => {
                R::detach(R::spawn(hog(duration, wake_self)));
                ACK.to_vec()
            }
            Command::PoliteHog(duration) => {
                R::detach(R::spawn(hog(duration, R::yield_now)));
                ACK.to_vec()
            }
            Command::Block(_) | Command::Compute(_) | Command::Quit => {
                self.perform_blocking();
                ACK.to_vec()
            }
        }
    }
}

async fn hog<F: Future<Output = ()>>(duration: Duration, yield_once: fn() -> F) {
    loop {
        compute(duration);
        yield_once().await;
    }
}

fn compute(duration: Duration) {
    let begun = Instant::now();
    while begun.elapsed() < duration {
        std::hint::spin_loop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_request_with_a_mark_is_a_command() {
        assert_eq!(Command::parse(b"ping\n"), None);
        assert_eq!(Command::parse(b""), None);
        assert_eq!(Command::parse(b"!nonsense 1\n"), None);
        assert_eq!(Command::parse(b"!quit\n"), Some(Command::Quit));
        let block = Command::Block(Duration::from_millis(100));
        assert_eq!(Command::parse(b"!block 100\n"), Some(block));
    }
}
