//! The mio-backed I/O driver and sockets of the windlass runtime.
