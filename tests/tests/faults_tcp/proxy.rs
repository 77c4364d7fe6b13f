//! A proxy in the middle that splits, delays, drops and resets what goes through it.

use std::env;
use std::io::{self, ErrorKind};
use std::net::{Shutdown, SocketAddr};
use std::thread;
use std::time::Duration;

use futures_util::future::{join, join_all, try_join, try_join_all};
use runtime::net::{ReadHalf, TcpListener, TcpStream, WriteHalf};
use runtime::time::{sleep, timeout};
use windlass_tests::single_threaded;

use super::bytes::{Random, assert_bytes, bytes};
use super::{Bystander, in_both_modes};

/// What the proxy does to one of its connections.
#[derive(Clone, Copy, Debug)]
enum Plan {
    /// Passes everything on, in pieces and late.
    Faithful,
    /// Closes both sides after so many bytes.
    CloseAfter(usize),
    /// Resets both sides after so many bytes.
    ResetAfter(usize),
    /// Takes everything, and passes nothing on after so many bytes.
    SwallowAfter(usize),
}

impl Plan {
    fn of(number: usize, random: &mut Random) -> Plan {
        let after = random.between(0, LENGTH);
        match number % 5 {
            0 | 1 => Plan::Faithful,
            2 => Plan::CloseAfter(after),
            3 => Plan::ResetAfter(after),
            _ => Plan::SwallowAfter(after),
        }
    }

    /// How many bytes it passes on in each direction.
    fn limit(self) -> usize {
        match self {
            Plan::Faithful => usize::MAX,
            Plan::CloseAfter(limit) | Plan::ResetAfter(limit) | Plan::SwallowAfter(limit) => limit,
        }
    }
}

/// Copies one direction as planned, to its end; an error where the plan or the network cuts it.
async fn pump(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    plan: Plan,
    mut random: Random,
) -> io::Result<()> {
    let mut passed = 0;
    loop {
        let mut buf = vec![0; random.between(1, 4000)];
        let read = from.read(&mut buf).await?;
        if read == 0 {
            return to.shutdown();
        }
        let mut rest = &buf[..read.min(plan.limit() - passed)];
        while !rest.is_empty() {
            let (piece, more) = rest.split_at(random.between(1, rest.len() + 1));
            if random.between(0, 20) == 0 {
                sleep(Duration::from_micros(random.between(1, 3000) as u64)).await;
            }
            to.write_all(piece).await?;
            passed += piece.len();
            rest = more;
        }
        if passed == plan.limit() && !matches!(plan, Plan::SwallowAfter(_)) {
            return Err(ErrorKind::Other.into());
        }
    }
}

/// Carries one connection.
async fn carry(listener: TcpListener, server: SocketAddr, plan: Plan, mut random: Random) {
    let (mut near, _) = listener.accept().await.expect("a client connects");
    let mut far = TcpStream::connect(server).await.expect("the server listens");
    let (from_near, to_near) = near.split();
    let (from_far, to_far) = far.split();
    let there = pump(from_near, to_far, plan, random.split());
    let back = pump(from_far, to_near, plan, random.split());
    if try_join(there, back).await.is_ok() {
        return;
    }
    if matches!(plan, Plan::ResetAfter(_)) {
        for end in [near, far] {
            end.set_linger(Some(Duration::ZERO)).expect("a socket option");
        }
        return;
    }
    // A socket that is closed with bytes unread would be reset.
    join_all([near, far].map(|mut end| async move {
        let _ = end.shutdown(Shutdown::Write);
        while let Ok(1..) = end.read(&mut [0; 4000]).await {}
    }))
    .await;
}

const LENGTH: usize = 100_000;

/// How long a client waits for bytes: long where some are on their way, briefly after the last one
/// where the rest is swallowed.
fn patience(plan: Plan, received: usize) -> Duration {
    match plan {
        Plan::SwallowAfter(most) if received == most => Duration::from_millis(300),
        _ => Duration::from_secs(10),
    }
}

/// Sends a stream and compares what comes back; returns how much that was, and how it ended.
async fn client(
    addr: SocketAddr,
    plan: Plan,
    id: u64,
    mut random: Random,
) -> (usize, io::Result<()>) {
    let stream = match TcpStream::connect(addr).await {
        Ok(stream) => stream,
        Err(error) => return (0, Err(error)),
    };
    let (mut reader, mut writer) = stream.into_split();
    let mut sizes = random.split();
    let writing = async {
        let mut at = 0;
        while at < LENGTH {
            let piece = bytes(id, at, sizes.between(1, 9000).min(LENGTH - at));
            writer.write_all(&piece).await?;
            at += piece.len();
        }
        Ok(())
    };
    let mut received = 0;
    let reading = async {
        while received < LENGTH {
            let mut buf = vec![0; random.between(1, 9000)];
            match timeout(patience(plan, received), reader.read(&mut buf)).await {
                Err(_) => return Err(ErrorKind::TimedOut.into()),
                Ok(Ok(0)) => return Ok(()),
                Ok(Ok(read)) => {
                    assert_bytes(id, received, &buf[..read]);
                    received += read;
                }
                Ok(Err(error)) => return Err(error),
            }
        }
        Ok(())
    };
    let (written, read) = join(writing, reading).await;
    if received == LENGTH {
        writer.shutdown().expect("it lives");
        assert_eq!(reader.read(&mut [0]).await.expect("it lives"), 0);
    }
    (received, read.and(written))
}

/// Echoes to each client until that ends.
async fn serve(listener: TcpListener, clients: usize) {
    let mut tasks = Vec::new();
    for _ in 0..clients {
        let (mut stream, _) = listener.accept().await.expect("the proxy connects");
        tasks.push(runtime::spawn(async move {
            let mut buf = [0; 7000];
            while let Ok(read @ 1..) = stream.read(&mut buf).await {
                if stream.write_all(&buf[..read]).await.is_err() {
                    return;
                }
            }
        }));
    }
    for task in tasks {
        task.await.expect("no panic");
    }
}

fn seed() -> u64 {
    let chosen = env::var("WINDLASS_SEED").ok();
    chosen.map_or(0x9a0c, |text| text.parse().expect("WINDLASS_SEED is a number"))
}

#[test]
fn through_a_bad_network_living_connections_are_whole_and_the_others_end_with_their_error() {
    const CLIENTS: usize = 40;
    let seed = seed();
    in_both_modes(|runtime| {
        eprintln!("WINDLASS_SEED={seed}");
        let mut random = Random::new(seed);
        let plans: Vec<_> = (0..CLIENTS).map(|number| Plan::of(number, &mut random)).collect();
        // The proxy runs apart, so that the runtime of the test has the two ends alone.
        let (start, addrs) = async_channel::bounded(1);
        let (served_at, server) = async_channel::bounded(1);
        let (planned, mut own) = (plans.clone(), random.split());
        let proxy = thread::spawn(move || {
            single_threaded().block_on(async {
                let binding = planned.iter().map(|_| TcpListener::bind("127.0.0.1:0"));
                let listeners = try_join_all(binding).await.expect("the loopback has ports");
                let addrs = listeners.iter().map(TcpListener::local_addr).collect();
                start.send(addrs).await.expect("the test waits");
                let server = server.recv().await.expect("it has been bound");
                let carried = listeners.into_iter().zip(planned);
                join_all(
                    carried.map(|(listener, plan)| carry(listener, server, plan, own.split())),
                )
                .await;
            });
        });
        runtime.block_on(async {
            let mut bystander = Bystander::new().await;
            let server = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let server_addr = server.local_addr().expect("it is bound");
            let serving = runtime::spawn(serve(server, CLIENTS));
            let addrs: io::Result<Vec<_>> = addrs.recv().await.expect("the proxy binds");
            served_at.send(server_addr).await.expect("the proxy waits");
            let clients = addrs.expect("they are bound").into_iter().zip(&plans).zip(0..);
            let clients: Vec<_> = clients
                .map(|((addr, plan), id)| runtime::spawn(client(addr, *plan, id, random.split())))
                .collect();
            for (client, plan) in clients.into_iter().zip(plans) {
                let (received, outcome) = client.await.expect("no panic");
                check(plan, received, outcome.map_err(|error| error.kind()));
            }
            serving.await.expect("no panic");
            bystander.is_served().await;
        });
        proxy.join().expect("no panic");
    });
}

/// How a client's connection ends, by the plan of the proxy.
#[track_caller]
fn check(plan: Plan, received: usize, outcome: Result<(), ErrorKind>) {
    let is_reset = |kind| matches!(kind, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe);
    let is_right = match (plan, outcome) {
        (Plan::Faithful, Ok(())) => received == LENGTH,
        (Plan::CloseAfter(most), Ok(())) => received <= most,
        (Plan::ResetAfter(most), Err(kind)) => received <= most && is_reset(kind),
        (Plan::SwallowAfter(most), Err(ErrorKind::TimedOut)) => received == most,
        _ => false,
    };
    assert!(is_right, "{plan:?}: {received} bytes, {outcome:?}");
}
