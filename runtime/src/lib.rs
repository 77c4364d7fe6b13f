//! An async runtime you can see into: a work-stealing scheduler, I/O, timers and a blocking pool.
