//! Addresses and the resolution of names.

mod support;

use net::{Driver, Hooks, TcpStream, lookup_host};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
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

/// What the standard library makes of a text, as long as it need not ask the system for a name.
fn of_the_standard_library(text: &str) -> Option<io::Result<Vec<SocketAddr>>> {
    let is_name = text.parse::<SocketAddr>().is_err()
        && text.rsplit_once(':').is_some_and(|(host, port)| {
            port.parse::<u16>().is_ok() && host.parse::<IpAddr>().is_err()
        });
    let resolve = || std::net::ToSocketAddrs::to_socket_addrs(text).map(Iterator::collect);
    (!is_name).then(resolve)
}

/// Texts made of the pieces of addresses, and addresses as they are printed.
fn nearly_an_address() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "127.0.0.1",
        "::1",
        "fe80::1%3",
        "[",
        "]",
        ":",
        ":",
        "80",
        "65535",
        "65536",
        "+1",
        "-1",
        "080",
        "0",
        ".",
        "%",
        "localhost",
        "a",
        "\u{e9}",
        " ",
        "\0",
    ]);
    let host = prop::sample::select(vec!["127.0.0.1", "[::1]", "[fe80::1%3]", "::1", "a", ""]);
    let port = prop::sample::select(vec!["80", " 80", "80 ", "+80", "-1", "080", "65536", "", "x"]);
    prop_oneof![
        (host, port).prop_map(|(host, port)| format!("{host}:{port}")),
        prop::collection::vec(pieces, 0..6).prop_map(|pieces| pieces.concat()),
        any::<SocketAddr>().prop_map(|addr| addr.to_string()),
        any::<String>(),
    ]
}

proptest! {
    // What once failed is tried first; its seed stands in a file beside this one.
    #![proptest_config(ProptestConfig {
        cases: 1000,
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn texts_mean_what_the_standard_library_says(text in nearly_an_address()) {
        let _watchdog = watchdog();
        let asked = Arc::new(Mutex::new(0));
        let refuse = {
            let asked = Arc::clone(&asked);
            move |_| {
                *asked.lock().expect("no panic under it") += 1;
                Err(io::Error::other("a name"))
            }
        };
        let driver = Driver::new(Hooks { blocking: Box::new(refuse), ..Hooks::none() });
        let ours = driver.expect("a driver").block_on(lookup(&text));
        let asked = *asked.lock().expect("no panic under it");
        match of_the_standard_library(&text) {
            // Without brackets it is refused: nobody can say where the number ends.
            Some(Ok(_)) if text.matches(':').count() > 1 && !text.starts_with('[') => {
                prop_assert_eq!(ours.map_err(|error| error.kind()), Err(ErrorKind::InvalidInput));
                prop_assert_eq!(asked, 0);
            }
            Some(theirs) => {
                let kind = |error: io::Error| error.kind();
                prop_assert_eq!(ours.map_err(kind), theirs.map_err(kind));
                prop_assert_eq!(asked, 0);
            }
            None => match ours.expect_err("nobody resolves names here") {
                error if asked == 0 => prop_assert_eq!(error.kind(), ErrorKind::InvalidInput),
                error => prop_assert_eq!(error.to_string(), "a name"),
            },
        }
    }
}
