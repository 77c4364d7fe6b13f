//! A cable that is pulled, and put back: between two network namespaces, which takes root.

use std::io::{ErrorKind, stdin};
use std::path::PathBuf;
use std::process::{self, Command};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use runtime::Scheduler;
use runtime::net::TcpStream;
use rustix::process::geteuid;
use socket2::SockRef;
use windlass_tests::{Scene, find_tool, say, scene_under, watch};

use super::bytes::bytes;
use super::slow::{Progress, send_all, until_stalled};
use super::{MODES, alone, runtime_of, stays_calm};

const NEAR: &str = "10.77.0.1/24";
const FAR: &str = "10.77.0.2/24";

/// Two network namespaces with a cable between them, which go with it.
struct Cable {
    ip: PathBuf,
    near: String,
    far: String,
}

impl Cable {
    /// None, and a printed reason, where there cannot be one.
    fn lay(number: usize) -> Option<Cable> {
        let ip = find_tool("ip")?;
        if !geteuid().is_root() {
            say("skipped what needs network namespaces, which take root");
            return None;
        }
        let name = |end| format!("windlass-{end}-{}-{number}", process::id());
        let cable = Cable { ip, near: name("near"), far: name("far") };
        let (near, far) = (&*cable.near, &*cable.far);
        let is_laid = cable.ip(&["netns", "add", near])
            && cable.ip(&["netns", "add", far])
            && cable.ip(&[
                "link", "add", "cable", "netns", near, "type", "veth", "peer", "name", "cable",
                "netns", far,
            ]);
        if !is_laid {
            say("skipped what needs network namespaces, which this system does not permit");
            return None;
        }
        for (end, addr) in [(near, NEAR), (far, FAR)] {
            assert!(cable.ip(&["-n", end, "addr", "add", addr, "dev", "cable"]));
            assert!(cable.ip(&["-n", end, "link", "set", "cable", "up"]));
        }
        Some(cable)
    }

    fn ip(&self, arguments: &[&str]) -> bool {
        Command::new(&self.ip).args(arguments).status().is_ok_and(|status| status.success())
    }

    /// Pulls it out at the far end, so that the near one still has its address and its routes.
    fn pull(&self) {
        assert!(self.ip(&["-n", &self.far, "link", "set", "cable", "down"]));
    }

    fn put_back(&self) {
        assert!(self.ip(&["-n", &self.far, "link", "set", "cable", "up"]));
    }

    fn scene(&self, end: &str, name: &str, mode: Scheduler) -> Scene {
        let mut command = Command::new(&self.ip);
        command.args(["netns", "exec", end]);
        Scene::start(scene_under(command, name, mode))
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        for end in [&self.near, &self.far] {
            self.ip(&["netns", "del", end]);
        }
    }
}

/// What it sends over the connection that survives.
const MUCH: usize = 8 << 20;

/// Talks over two connections, of which one gives up after 1.5 s without an answer.
pub(crate) fn near_end(mode: Scheduler) {
    let runtime = runtime_of(mode);
    let port: u16 = next_line().parse().expect("it is a port");
    let addr = (FAR.trim_end_matches("/24"), port);
    runtime.block_on(async {
        let mut dying = TcpStream::connect(addr).await.expect("the far end listens");
        let patience = Some(Duration::from_millis(1500));
        let socket = dying.into_std().expect("it is a socket");
        SockRef::from(&socket).set_tcp_user_timeout(patience).expect("a socket option");
        dying = TcpStream::from_std(socket).expect("it does not block");
        dying.write_all(&bytes(0, 0, 5000)).await.expect("the cable is in");
        let living = TcpStream::connect(addr).await.expect("the far end listens");
        println!("-connected");
        assert_eq!(next_line(), "it is pulled");

        let (mut reader, mut writer) = dying.into_split();
        let reading = runtime::spawn(async move { reader.read(&mut [0]).await });
        let writing = runtime::spawn(async move {
            let mut at = 5000;
            loop {
                match writer.write_all(&bytes(0, at, 5000)).await {
                    Ok(()) => at += 5000,
                    Err(error) => return error,
                }
            }
        });
        let progress = Arc::new(Progress::default());
        let counter = progress.clone();
        let sending = runtime::spawn(async move { send_all(living, MUCH, &counter).await });
        until_stalled(&progress).await;
        stays_calm().await;

        // As with a reset, one of the two is told; the other finds the connection closed.
        let read = reading.await.expect("no panic").map_err(|error| error.kind());
        let written = writing.await.expect("no panic").kind();
        let is_loss = |kind| matches!(kind, ErrorKind::TimedOut | ErrorKind::HostUnreachable);
        match read {
            Ok(read) => assert!(read == 0 && is_loss(written), "{read} bytes, then {written:?}"),
            Err(kind) => {
                assert!(is_loss(kind), "{kind:?}");
                assert_eq!(written, ErrorKind::BrokenPipe);
            }
        }
        assert!(!sending.is_finished());
        let before = progress.sent.load(Ordering::Relaxed);
        stays_calm().await;
        assert_eq!(progress.sent.load(Ordering::Relaxed), before);
        println!("-one is lost");

        assert_eq!(next_line(), "it is back");
        sending.await.expect("no panic");
        println!("-sent");
    });
}

fn next_line() -> String {
    let mut line = String::new();
    stdin().read_line(&mut line).expect("the input is a pipe");
    line.trim_end().to_owned()
}

#[test]
fn a_pulled_cable_ends_who_set_a_limit_and_holds_up_the_other_until_it_is_back() {
    let _alone = alone();
    let _watchdog = watch();
    // Both modes at once, for most of it is waiting for timeouts of the kernel.
    thread::scope(|threads| {
        for (number, mode) in MODES.into_iter().enumerate() {
            threads.spawn(move || pull_and_put_back(number, mode));
        }
    });
}

fn pull_and_put_back(number: usize, mode: Scheduler) {
    let Some(cable) = Cable::lay(number) else { return };
    let mut sink = cable.scene(&cable.far, "sink", mode);
    let port = sink.wait_for("-port ");
    let mut near = cable.scene(&cable.near, "near end", mode);
    near.say(&port);
    near.wait_for("-connected");
    cable.pull();
    near.say("it is pulled");
    near.wait_for("-one is lost");
    cable.put_back();
    near.say("it is back");
    near.wait_for("-sent");
    // That of the lost connection is still open over there.
    assert_eq!(sink.wait_for("-received "), MUCH.to_string());
    near.end();
    sink.end();
}
