//! What ends the wait of the thread that sleeps in the poller.

#[cfg(not(windlass_shuttle))]
pub(crate) use mio::Waker as Bell;

/// Where the poller sleeps under shuttle, which cannot look into the kernel. As with the kernel's,
/// a ring is kept until somebody waits; there are no other events.
#[cfg(windlass_shuttle)]
pub(crate) struct Bell {
    is_rung: shuttle::sync::Mutex<bool>,
    rung: shuttle::sync::Condvar,
}

#[cfg(windlass_shuttle)]
impl Bell {
    pub(crate) fn new(_registry: &mio::Registry, _token: mio::Token) -> std::io::Result<Bell> {
        Ok(Bell { is_rung: shuttle::sync::Mutex::new(false), rung: shuttle::sync::Condvar::new() })
    }

    pub(crate) fn wake(&self) -> std::io::Result<()> {
        *self.is_rung.lock().expect("nobody panics under it") = true;
        self.rung.notify_one();
        Ok(())
    }

    /// Waits for a ring, and uses it up; only looks if there is a timeout, which no model has.
    pub(crate) fn wait(&self, timeout: Option<std::time::Duration>) {
        let mut is_rung = self.is_rung.lock().expect("nobody panics under it");
        while timeout.is_none() && !*is_rung {
            is_rung = self.rung.wait(is_rung).expect("nobody panics under it");
        }
        *is_rung = false;
    }
}
