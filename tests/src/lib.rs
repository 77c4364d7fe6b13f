//! What the promise tests share: watchdogs and helper processes.
