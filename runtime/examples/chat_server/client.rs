//! One client: lines from its connection to the hub, and from the hub to its connection.

use std::io;
use std::pin::pin;
use std::time::Duration;

use async_channel::{Receiver, Sender};
use futures_util::future::select;
use runtime::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use runtime::net::{OwnedReadHalf, OwnedWriteHalf, TcpStream};
use runtime::time::sleep;

use crate::hub::{ClientId, Event, Line};
use crate::name::printable;

/// The longest line in bytes, its end included.
const LONGEST: usize = 1024;
/// How much is written in one go, if so much waits.
const BATCH: usize = 16 * 1024;
/// How long a client whom the hub has forgotten may take to receive what it was sent before.
const FAREWELL: Duration = Duration::from_secs(1);
/// After how much silence the kernel asks whether the other machine is still there.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// Serves one client to its end.
pub(crate) async fn attend(stream: TcpStream, id: ClientId, events: &Sender<Event>) {
    // Only an option: without it a client whose cable was cut stays until somebody speaks to it.
    let _ = stream.set_keepalive(Some(KEEPALIVE));
    let _ = stream.set_nodelay(true);
    let (reader, writer) = stream.into_split();
    // Without a bound because the hub, the only sender, counts: an unused queue takes no memory.
    let (outbox, inbox) = async_channel::unbounded();
    // Nothing is ever sent over this: it is closed when the hub forgets the client.
    let (remembered, forgotten) = async_channel::bounded::<()>(1);
    if events.send(Event::Came { id, outbox, remembered }).await.is_err() {
        return;
    }
    let reading = async {
        let reason = match read_lines(reader, id, events).await {
            Ok(()) => String::new(),
            Err(error) => format!(" ({error})"),
        };
        // The hub is gone only when the server has stopped.
        let _ = events.send(Event::Left { id, reason }).await;
        // What it was sent before is still written.
        std::future::pending::<()>().await;
    };
    let writing = async {
        match write_lines(writer, &inbox).await {
            Ok(()) => {}
            Err(error) => {
                let reason = format!(" ({error})");
                let _ = events.send(Event::Left { id, reason }).await;
            }
        }
    };
    let forgetting = async {
        let _ = forgotten.recv().await;
        sleep(FAREWELL).await;
    };
    select(pin!(reading), select(pin!(writing), pin!(forgetting))).await;
}

/// Hands the hub each line, until the client says no more.
///
/// # Errors
/// Those of the connection, and a line that is too long.
async fn read_lines(reader: OwnedReadHalf, id: ClientId, events: &Sender<Event>) -> io::Result<()> {
    let mut reader = BufReader::with_capacity(LONGEST, reader);
    let mut line = Vec::new();
    loop {
        line.clear();
        let mut limited = (&mut reader).take(LONGEST as u64);
        let read = limited.read_until(b'\n', &mut line).await?;
        if read == LONGEST && !line.ends_with(b"\n") {
            return Err(io::Error::other(format!("a line has at most {LONGEST} bytes")));
        }
        let text = printable(&line);
        let is_over = read == 0 || text == "/quit";
        if is_over || events.send(Event::Said { id, text }).await.is_err() {
            return Ok(());
        }
    }
}

/// Writes what the hub sends, until the hub has forgotten the client and all is written.
async fn write_lines(mut writer: OwnedWriteHalf, inbox: &Receiver<Line>) -> io::Result<()> {
    let mut batch = Vec::new();
    while let Ok(line) = inbox.recv().await {
        batch.extend_from_slice(line.as_bytes());
        while batch.len() < BATCH {
            let Ok(line) = inbox.try_recv() else { break };
            batch.extend_from_slice(line.as_bytes());
        }
        writer.write_all(&batch).await?;
        batch.clear();
    }
    Ok(())
}
