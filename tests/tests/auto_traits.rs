//! Which public types may move to, and be shared by, other threads, and which may move in memory.
//!
//! The compiler checks the table; one that is wrong does not build. The one test sees to it that no
//! public type is missing in it. A change of a line is a change of the interface.

use std::cell::Cell;
use std::fs;
use std::io;
use std::marker::{PhantomData, PhantomPinned};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use runtime::net::{self, TcpListener, TcpStream, UnixStream};
use runtime::{process, signal, task, time};
use windlass_tests::watch;

/// Answers whether `T` has a trait: an inherent constant, which exists only if it has, hides the
/// one of [`Lacks`].
struct Has<T: ?Sized>(PhantomData<T>);

trait Lacks {
    const SEND: bool = false;
    const SYNC: bool = false;
    const UNPIN: bool = false;
}

impl<T: ?Sized> Lacks for Has<T> {}

impl<T: ?Sized + Send> Has<T> {
    const SEND: bool = true;
}

impl<T: ?Sized + Sync> Has<T> {
    const SYNC: bool = true;
}

impl<T: ?Sized + Unpin> Has<T> {
    const UNPIN: bool = true;
}

const YES: bool = true;
const NO: bool = false;

macro_rules! types {
    ($($name:ty: $send:ident $sync:ident $unpin:ident;)*) => {
        $(
            const _: () = {
                assert!(Has::<$name>::SEND == $send, concat!("Send: ", stringify!($name)));
                assert!(Has::<$name>::SYNC == $sync, concat!("Sync: ", stringify!($name)));
                assert!(Has::<$name>::UNPIN == $unpin, concat!("Unpin: ", stringify!($name)));
            };
        )*
    };
}

/// May move to another thread, cannot be shared.
type SendOnly = Cell<u8>;
/// Stays on its thread.
type Stays = Rc<u8>;
/// A socket type of a user, for what is generic.
type Source = std::net::TcpStream;

// What                                  Send Sync Unpin
types! {
    runtime::AbortHandle:                YES YES YES;
    runtime::BlockedTask:                YES YES YES;
    runtime::Builder:                    YES YES YES;
    runtime::EnterGuard<'static>:        NO NO YES;
    runtime::Handle:                     YES YES YES;
    runtime::JoinError:                  YES YES YES;
    runtime::JoinHandle<u8>:             YES YES YES;
    runtime::JoinHandle<SendOnly>:       YES YES YES;
    runtime::JoinHandle<Stays>:          NO NO YES;
    runtime::JoinHandle<PhantomPinned>:  YES YES YES;
    runtime::Metrics:                    YES YES YES;
    runtime::ParseSchedulerError:        YES YES YES;
    runtime::Runtime:                    YES YES YES;
    runtime::Scheduler:                  YES YES YES;
    runtime::UnhandledPanic:             YES YES YES;
    runtime::WorkerReading:              YES YES YES;

    task::Builder:                       YES YES YES;
    task::Id:                            YES YES YES;
    task::Unconstrained<u8>:             YES YES YES;
    task::Unconstrained<SendOnly>:       YES NO YES;
    task::Unconstrained<Stays>:          NO NO YES;
    task::Unconstrained<PhantomPinned>:  YES YES NO;
    task::YieldNow:                      YES YES YES;

    time::Advance:                       YES YES YES;
    time::Clock:                         YES YES YES;
    time::Driver:                        YES YES YES;
    time::Elapsed:                       YES YES YES;
    time::EnterGuard:                    NO NO YES;
    time::Handle:                        YES YES YES;
    time::Hooks:                         YES YES YES;
    time::Instant:                       YES YES YES;
    time::Interval:                      YES YES YES;
    time::MissedTickBehavior:            YES YES YES;
    time::Sleep:                         YES YES YES;
    time::Timeout<u8>:                   YES YES YES;
    time::Timeout<SendOnly>:             YES NO YES;
    time::Timeout<Stays>:                NO NO YES;
    time::Timeout<PhantomPinned>:        YES YES NO;

    net::AsyncFd<Source>:                YES YES YES;
    net::Driver:                         YES YES YES;
    net::EnterGuard:                     NO NO YES;
    net::Handle:                         YES YES YES;
    net::Hooks:                          YES YES YES;
    net::Incoming<'static>:              YES YES YES;
    net::Interest:                       YES YES YES;
    net::Job:                            YES NO YES;
    net::OwnedReadHalf:                  YES YES YES;
    net::OwnedReadHalf<UnixStream>:      YES YES YES;
    net::OwnedWriteHalf:                 YES YES YES;
    net::OwnedWriteHalf<UnixStream>:     YES YES YES;
    net::ReadHalf<'static>:              YES YES YES;
    net::Ready:                          YES YES YES;
    net::Registered<Source>:             YES YES YES;
    net::Registered<Rc<Source>>:         NO NO YES;
    net::ReuniteError:                   YES YES YES;
    net::TcpListener:                    YES YES YES;
    net::TcpSocket:                      YES YES YES;
    net::TcpStream:                      YES YES YES;
    net::Turn<'static>:                  NO YES YES;
    net::UCred:                          YES YES YES;
    net::UdpSocket:                      YES YES YES;
    net::UnixDatagram:                   YES YES YES;
    net::UnixListener:                   YES YES YES;
    net::UnixStream:                     YES YES YES;
    net::WriteHalf<'static>:             YES YES YES;
    net::pipe::OpenOptions:              YES YES YES;
    net::pipe::Receiver:                 YES YES YES;
    net::pipe::Sender:                   YES YES YES;

    runtime::fs::DirEntry:               YES YES YES;
    runtime::fs::File:                   YES YES YES;
    runtime::fs::OpenOptions:            YES YES YES;
    runtime::fs::PathError:              YES YES YES;
    runtime::fs::ReadDir:                YES YES YES;

    runtime::io::Stderr:                 YES YES YES;
    runtime::io::Stdin:                  YES YES YES;
    runtime::io::Stdout:                 YES YES YES;

    process::Child:                      YES YES YES;
    process::ChildStderr:                YES YES YES;
    process::ChildStdin:                 YES YES YES;
    process::ChildStdout:                YES YES YES;
    process::Command:                    YES YES YES;

    signal::Signal:                      YES YES YES;
    signal::SignalKind:                  YES YES YES;
}

/// The futures of these can be awaited in a task that may move. Never called: it has to compile.
#[allow(dead_code, reason = "it is for the compiler alone")]
async fn futures_that_may_be_spawned() -> io::Result<()> {
    fn movable<F: Future + Send>(future: F) -> F {
        future
    }
    let listener = movable(TcpListener::bind("127.0.0.1:0")).await?;
    let (mut accepted, _) = movable(listener.accept()).await?;
    let mut stream = movable(TcpStream::connect(("localhost", 1))).await?;
    let mut buffer = [0; 8];
    movable(accepted.read(&mut buffer)).await?;
    movable(accepted.read_exact(&mut buffer)).await?;
    movable(stream.write_all(b"x")).await?;
    movable(net::lookup_host("localhost:1")).await?.for_each(drop);
    movable(time::sleep(Duration::ZERO)).await;
    _ = movable(time::timeout(Duration::ZERO, task::yield_now())).await;
    movable(time::interval(Duration::MAX).tick()).await;
    movable(task::consume_budget()).await;
    movable(runtime::fs::read("x")).await?;
    movable(runtime::fs::write("x", "y")).await?;
    movable(process::Command::new("true").status()).await?;
    movable(process::Command::new("true").output()).await?;
    movable(signal::ctrl_c()).await?;
    _ = movable(runtime::spawn_blocking(|| ())).await;
    Ok(())
}

/// The names of public types in the files below a folder, those of sealed traits excepted.
fn public_types(folder: &Path, names: &mut Vec<String>) {
    let entries = fs::read_dir(folder).expect("the sources are here");
    for path in entries.map(|entry| entry.expect("the sources can be read").path()) {
        if path.is_dir() {
            public_types(&path, names);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("the sources are text");
            for line in text.lines() {
                let mut words = line.trim_start().split([' ', '<', '(', ';', '{', '=', ':']);
                if words.next() == Some("pub")
                    && words.next().is_some_and(|word| ["struct", "enum", "type"].contains(&word))
                {
                    names.extend(words.next().map(str::to_owned));
                }
            }
        }
    }
}

#[test]
fn every_public_type_is_in_the_table() {
    let _watchdog = watch();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace is above");
    let mut names = Vec::new();
    for library in ["runtime", "net", "timer"] {
        public_types(&root.join(library).join("src"), &mut names);
    }
    assert!(names.len() > 60, "the search finds only {names:?}");
    let table = include_str!("auto_traits.rs");
    // What an address is made into, behind a sealed trait.
    for name in names.iter().filter(|name| *name != "Target") {
        let is_listed = |end| table.contains(&format!("    {name}{end}"));
        let is_in_path = |end| table.contains(&format!("::{name}{end}"));
        assert!(
            [":", "<"].into_iter().any(|end| is_listed(end) || is_in_path(end)),
            "`{name}` is public and has no line in the table"
        );
    }
}
