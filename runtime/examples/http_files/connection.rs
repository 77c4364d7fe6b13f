//! One client: its requests, one after the other.

use std::io::{self, ErrorKind};
use std::net::{Shutdown, SocketAddr};
use std::ops::Range;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_channel::Receiver;
use futures_util::future::{Either, select};
use runtime::fs::File;
use runtime::net::TcpStream;
use runtime::time::{Instant, timeout, timeout_at};

use crate::limits::MAX_BODY;
use crate::request::{Body, Method, Refusal, Request, parse};
use crate::response::{Content, Response};
use crate::status::Status;
use crate::{Site, say};

/// How much is read from a client at once: a request of a browser, mostly.
const READ: usize = 2 * 1024;
/// How much of a file is in memory per answer that is under way.
const CHUNK: usize = 64 * 1024;
/// What an unwelcome client may still send, and for how long, before it is cut off.
const LEFTOVERS: (usize, Duration) = (1024 * 1024, Duration::from_secs(1));

/// One client.
pub(crate) struct Connection<'a> {
    site: &'a Arc<Site>,
    stream: TcpStream,
    peer: SocketAddr,
    /// What has come and was not needed yet; with pipelining that is more than one request.
    input: Vec<u8>,
}

/// What becomes of the connection after a request.
enum After {
    GoOn,
    Close,
    /// Close, but not before the client has had a chance to read why.
    CloseGently,
}

impl<'a> Connection<'a> {
    pub(crate) fn new(site: &'a Arc<Site>, stream: TcpStream, peer: SocketAddr) -> Connection<'a> {
        Connection { site, stream, peer, input: Vec::new() }
    }

    /// Serves the client to its end, or until the server stops.
    pub(crate) async fn serve(mut self, stopped: &Receiver<()>) {
        if let Err(error) = self.converse(stopped).await {
            // It has left, or was too slow. That is its right, and nothing is wrong here.
            if self.site.verbose {
                say(format_args!("{} disconnected: {error}", self.peer));
            }
        }
    }

    async fn converse(&mut self, stopped: &Receiver<()>) -> io::Result<()> {
        // Answers are written in one go, so there is nothing to gather.
        self.stream.set_nodelay(true)?;
        while self.wait_for_request(stopped).await? {
            match self.serve_request(stopped).await? {
                After::GoOn => {}
                After::Close => return Ok(()),
                After::CloseGently => return self.close_gently().await,
            }
        }
        Ok(())
    }

    /// Waits until a request begins. False: none will come.
    async fn wait_for_request(&mut self, stopped: &Receiver<()>) -> io::Result<bool> {
        if !self.input.is_empty() {
            return Ok(true);
        }
        let idle = self.site.limits.idle_timeout;
        match select(pin!(timeout(idle, self.read())), pin!(stopped.recv())).await {
            Either::Left((Ok(read), _)) => Ok(read? > 0),
            Either::Left((Err(_), _)) | Either::Right(_) => Ok(false),
        }
    }

    /// Reads a request, of which at least a byte is there, and answers it.
    async fn serve_request(&mut self, stopped: &Receiver<()>) -> io::Result<After> {
        let deadline = Instant::now() + self.site.limits.header_timeout;
        let most = self.site.limits.max_head;
        loop {
            match parse(&self.input) {
                Err(refusal) => return self.refuse(refusal).await,
                Ok(Some((_, length))) if length > most => return self.refuse_long().await,
                Ok(Some((request, length))) => {
                    let plan = Plan::of(&request, stopped.is_closed());
                    let response = match plan.refusal {
                        Some(refusal) => Response::problem(refusal),
                        None => Response::to(self.site, &request).await,
                    };
                    self.log(length, &response);
                    self.input.drain(..length);
                    self.skip_body(plan.skip).await?;
                    self.send(response, &plan).await?;
                    return Ok(plan.after);
                }
                Ok(None) if self.input.len() >= most => return self.refuse_long().await,
                Ok(None) => match timeout_at(deadline, self.read()).await {
                    Ok(read) => {
                        if read? == 0 {
                            return Ok(After::Close);
                        }
                    }
                    Err(_) => {
                        let refusal = (Status::RequestTimeout, "the request took too long");
                        return self.refuse(refusal).await;
                    }
                },
            }
        }
    }

    /// Reads what there is, after what is there already. 0: nothing will come any more.
    async fn read(&mut self) -> io::Result<usize> {
        // No guard shortens the input if the future is dropped, so it grows only when bytes are there.
        let mut bytes = [0; READ];
        let read = self.stream.read(&mut bytes).await?;
        self.input.extend_from_slice(&bytes[..read]);
        Ok(read)
    }

    /// Throws away the body of a request.
    async fn skip_body(&mut self, mut length: u64) -> io::Result<()> {
        loop {
            let here = self.input.len().min(usize::try_from(length).unwrap_or(usize::MAX));
            self.input.drain(..here);
            length -= here as u64;
            if length == 0 {
                return Ok(());
            }
            let stall = self.site.limits.stall_timeout;
            if timeout(stall, self.read()).await?? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Answers a request after which nobody knows where the next one begins.
    async fn refuse(&mut self, refusal: Refusal) -> io::Result<After> {
        let response = Response::problem(refusal);
        self.log(self.input.len(), &response);
        self.send(response, &Plan::last()).await?;
        Ok(After::CloseGently)
    }

    async fn refuse_long(&mut self) -> io::Result<After> {
        let is_first_line = !self.input.contains(&b'\n');
        self.refuse(if is_first_line {
            (Status::UriTooLong, "the first line is too long")
        } else {
            (Status::HeadTooLarge, "the headers are too long")
        })
        .await
    }

    async fn send(&mut self, response: Response, plan: &Plan) -> io::Result<()> {
        let mut bytes = response.head(plan.connection_header());
        match response.body {
            Content::File(file, range) if !plan.is_head => {
                self.send_file(bytes, &file, range).await
            }
            Content::Text(text) if !plan.is_head => {
                bytes.extend_from_slice(text.as_bytes());
                self.write(&bytes).await
            }
            _ => self.write(&bytes).await,
        }
    }

    /// Sends `head` and a part of a file; what is small goes in one system call.
    async fn send_file(&mut self, head: Vec<u8>, file: &File, part: Range<u64>) -> io::Result<()> {
        let Range { start: mut position, end } = part;
        let mut filled = head.len();
        let mut buffer = head;
        let wanted = usize::try_from(end - position).unwrap_or(usize::MAX);
        buffer.resize(filled.saturating_add(wanted).min(CHUNK).max(filled), 0);
        while position < end {
            let room = buffer.len() - filled;
            let most = room.min(usize::try_from(end - position).unwrap_or(usize::MAX));
            match file.read_at(&mut buffer[filled..filled + most], position).await? {
                // The length is promised, so all that is left is to break the connection.
                0 => return Err(io::Error::other("the file has become shorter")),
                read => {
                    self.write(&buffer[..filled + read]).await?;
                    position += read as u64;
                    filled = 0;
                }
            }
        }
        // Of an empty file there is only the head left.
        self.write(&buffer[..filled]).await
    }

    /// Writes everything, as long as the client takes some of it now and then.
    async fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let stall = self.site.limits.stall_timeout;
            match timeout(stall, self.stream.write(bytes)).await?? {
                0 => return Err(ErrorKind::WriteZero.into()),
                written => bytes = &bytes[written..],
            }
        }
        Ok(())
    }

    /// Ends our direction and reads what is still on its way.
    ///
    /// Closing a socket with bytes that nobody has read resets the connection, and a reset makes the
    /// client's system throw away the answer that it has not read yet.
    async fn close_gently(&mut self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)?;
        let (most, time) = LEFTOVERS;
        let deadline = Instant::now() + time;
        let mut bytes = [0; READ];
        let mut read = 0;
        while read < most {
            match timeout_at(deadline, self.stream.read(&mut bytes)).await {
                Ok(Ok(0) | Err(_)) | Err(_) => break,
                Ok(Ok(more)) => read += more,
            }
        }
        Ok(())
    }

    fn log(&self, head: usize, response: &Response) {
        if self.site.verbose {
            let line = self.input[..head].split(|&byte| byte == b'\r' || byte == b'\n').next();
            let line = line.unwrap_or_default().escape_ascii();
            let length = response.body.length().unwrap_or(0);
            say(format_args!("{} \"{line}\" {} {length}", self.peer, response.status as u16));
        }
    }
}

/// How a request is dealt with, as its framing demands.
struct Plan {
    /// What is answered whatever it asks for.
    refusal: Option<Refusal>,
    /// How many bytes come between its head and the next request.
    skip: u64,
    is_head: bool,
    after: After,
}

impl Plan {
    fn of(request: &Request<'_>, is_stopping: bool) -> Plan {
        let keep = request.keep_alive && !is_stopping;
        let mut plan = Plan {
            refusal: None,
            skip: 0,
            is_head: request.method == Method::Head,
            after: if keep { After::GoOn } else { After::Close },
        };
        let refusal = match request.body {
            Body::Bytes(0) => return plan,
            // It waits for leave to send what nobody wants; it may send it all the same.
            Body::Bytes(_) if request.expects_continue => None,
            Body::Bytes(length) if length <= MAX_BODY => {
                plan.skip = length;
                return plan;
            }
            Body::Bytes(_) => Some((Status::ContentTooLarge, "nobody wants the body")),
            Body::Chunked => Some((Status::LengthRequired, "a body must say how long it is")),
        };
        // That the method is wrong says more than that its body is.
        plan.refusal = refusal.filter(|_| request.method != Method::Other);
        plan.after = After::CloseGently;
        plan
    }

    /// For what is no request.
    fn last() -> Plan {
        Plan { refusal: None, skip: 0, is_head: false, after: After::CloseGently }
    }

    fn connection_header(&self) -> &'static str {
        // Clients of HTTP/1.0 expect to be told, and those of 1.1 do not mind.
        match self.after {
            After::GoOn => "keep-alive",
            After::Close | After::CloseGently => "close",
        }
    }
}
