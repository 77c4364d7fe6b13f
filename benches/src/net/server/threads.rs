//! A thread per connection serves, without any runtime.

use crate::net::command::{ACK, Command, READ_AT_MOST};
use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

pub(super) fn serve(listener: &TcpListener) -> io::Result<()> {
    listener.set_nonblocking(false)?;
    loop {
        let (stream, _peer) = listener.accept()?;
        thread::Builder::new().stack_size(64 * 1024).spawn(|| answer(stream))?;
    }
}

fn answer(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buf = [0; READ_AT_MOST];
    loop {
        let read = stream.read(&mut buf)?;
        if read == 0 {
            return Ok(());
        }
        match Command::parse(&buf[..read]) {
            None => stream.write_all(ACK)?,
            Some(command) => stream.write_all(&perform(command)?)?,
        }
    }
}

fn perform(command: Command) -> io::Result<Vec<u8>> {
    match command {
        Command::Sleep(duration) => {
            let begun = Instant::now();
            thread::sleep(duration);
            let late = begun.elapsed().saturating_sub(duration);
            return Ok(format!("late {}\n", late.as_micros()).into_bytes());
        }
        Command::Hog(duration) | Command::PoliteHog(duration) => {
            thread::Builder::new().spawn(move || hog(duration))?;
        }
        _ => {
            command.perform_blocking();
        }
    }
    Ok(ACK.to_vec())
}

fn hog(duration: Duration) {
    loop {
        Command::Compute(duration).perform_blocking();
        thread::yield_now();
    }
}
