//! Addresses and the resolution of names.

mod support;

use net::{Driver, Hooks, TcpStream, lookup_host};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use support::{Count, poll, poll_now, run, turn_until, watchdog};

/// A driver without threads for names: whoever asks for one fails the test.
fn threadless() -> Driver {
    let refuse = |_| panic!("a literal address needs no thread");
    Driver::new(Hooks { blocking: Box::new(refuse), ..Hooks::none() }).expect("a driver")
}

async fn lookup(addr: &str) -> io::Result<Vec<SocketAddr>> {
    lookup_host(addr).await.map(Iterator::collect)
}

#[test]
fn literal_addresses_need_no_thread() {
    let _watchdog = watchdog();
    threadless().block_on(async {
        for text in ["127.0.0.1:80", "[::1]:80", "[fe80::1%3]:80", "0.0.0.0:65535"] {
            let addrs = lookup(text).await.expect("it is an address");
            assert_eq!(addrs, [text.parse::<SocketAddr>().expect("so says the standard library")]);
        }
        let addrs: Vec<_> = lookup_host(("::1", 80)).await.expect("it is an address").collect();
        assert_eq!(addrs, ["[::1]:80".parse().expect("so says the standard library")]);
    });
}

#[test]
fn what_is_no_address_is_refused_with_the_reason() {
    let _watchdog = watchdog();
    threadless().block_on(async {
        let cases = [
            ("localhost", "host:port"),
            ("", "host:port"),
            (":80", "host is missing"),
            ("localhost:", "0 to 65535"),
            ("localhost:http", "0 to 65535"),
            ("localhost:65536", "0 to 65535"),
            ("127.0.0.1:-1", "0 to 65535"),
            ("::1:80", "brackets"),
        ];
        for (text, reason) in cases {
            let error = lookup(text).await.expect_err(text);
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{text}");
            assert!(error.to_string().contains(reason), "{text}: {error}");
            assert!(error.to_string().contains(&format!("`{text}`")), "{text}: {error}");
        }
    });
}

#[test]
fn a_name_is_resolved_on_another_thread() {
    let addrs = run(lookup("localhost:81")).expect("every machine knows itself");
    assert!(!addrs.is_empty());
    assert!(addrs.iter().all(|addr| addr.ip().is_loopback() && addr.port() == 81), "{addrs:?}");
}

#[test]
fn a_name_that_cannot_be_resolved_is_in_the_message() {
    // With a zero byte no system asks a server.
    let error = run(TcpStream::connect("bad\0name:80")).expect_err("no such name");
    assert!(error.to_string().contains("could not resolve `bad\0name`"), "{error}");
    let source = error.get_ref().and_then(std::error::Error::source).expect("it has a source");
    assert!(source.downcast_ref::<io::Error>().is_some());
}

#[test]
fn a_refused_or_dropped_resolution_is_an_error_and_no_hang() {
    let _watchdog = watchdog();
    let refuse = |_| Err(io::Error::other("no threads today"));
    let driver = Driver::new(Hooks { blocking: Box::new(refuse), ..Hooks::none() });
    let error = driver.expect("a driver").block_on(lookup("localhost:80")).expect_err("refused");
    assert_eq!(error.to_string(), "no threads today");

    let forget = |job| {
        drop(job);
        Ok(())
    };
    let driver = Driver::new(Hooks { blocking: Box::new(forget), ..Hooks::none() });
    let error = driver.expect("a driver").block_on(lookup("localhost:80")).expect_err("dropped");
    assert!(error.to_string().contains("shut down"), "{error}");
}

#[test]
fn a_lookup_may_be_dropped_or_moved_to_another_task() {
    let _watchdog = watchdog();
    let jobs = Arc::new(Mutex::new(Vec::new()));
    let keep = {
        let jobs = Arc::clone(&jobs);
        move |job| {
            jobs.lock().expect("no panic under it").push(job);
            Ok(())
        }
    };
    let driver =
        Driver::new(Hooks { blocking: Box::new(keep), ..Hooks::none() }).expect("a driver");
    let _entered = driver.handle().enter();
    let run_jobs = || {
        let taken = std::mem::take(&mut *jobs.lock().expect("no panic under it"));
        taken.into_iter().for_each(|job: net::Job| job());
    };

    let mut dropped = Box::pin(lookup("localhost:80"));
    assert!(poll_now(&mut dropped).is_pending());
    drop(dropped);
    run_jobs();

    let (first, last) = (Count::new(), Count::new());
    let mut moved = pin!(lookup("localhost:80"));
    assert!(poll(&mut moved, &first).is_pending());
    assert!(poll(&mut moved, &last).is_pending());
    run_jobs();
    turn_until(&driver, || last.get() == 1);
    assert_eq!(first.get(), 0);
    assert!(matches!(poll(&mut moved, &last), Poll::Ready(Ok(_))));
}
