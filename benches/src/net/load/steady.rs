//! Connections that stay: closed and open loop, disturbances, probes.

use super::LoadArgs;
use super::alarm::Alarm;
use super::client::Client;
use super::recorder::{Recorder, Window};
use crate::micro::measure::Metrics;
use mio::{Events, Poll, Token};
use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

const ALARM: Token = Token(usize::MAX);

/// How long answers may still come in when no more requests are sent.
const GRACE: Duration = Duration::from_secs(3);

/// Connections that are more than all plain ones are, in this order, disturbers and probes.
struct Load<'a> {
    args: &'a LoadArgs,
    clients: Vec<Client>,
    recorder: Recorder,
    begin: Instant,
    end: Instant,
    /// Open loop: when the next request is due, and who sends it.
    next_send: Option<Instant>,
    next_sender: usize,
    next_disturbance: Option<Instant>,
    disturbances: u32,
    answers: u64,
    window: Option<Window>,
}

pub(super) fn run(args: &LoadArgs) -> io::Result<Metrics> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1024);
    let mut alarm = Alarm::new(poll.registry(), ALARM)?;
    let mut load = Load::connect(args, &poll)?;
    if args.rate.is_none() {
        load.clients[..args.connections].iter_mut().try_for_each(|c| c.send(Instant::now()))?;
    }
    for probe in &mut load.clients[args.connections + load.args.disturbers()..] {
        probe.send(Instant::now())?;
    }
    while let Some(deadline) = load.advance()? {
        alarm.arm(deadline)?;
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            result => result?,
        }
        for event in &events {
            if event.token() != ALARM {
                load.receive(event.token().0)?;
            }
        }
    }
    load.finish()
}

impl LoadArgs {
    fn disturbers(&self) -> usize {
        if self.disturb.is_some() { self.disturbers } else { 0 }
    }
}

impl<'a> Load<'a> {
    fn connect(args: &'a LoadArgs, poll: &Poll) -> io::Result<Load<'a>> {
        let disturbance = format!("!{}", args.disturb.as_deref().unwrap_or_default());
        let requests = std::iter::repeat_n("ping", args.connections)
            .chain(std::iter::repeat_n(disturbance.as_str(), args.disturbers()))
            .chain(std::iter::repeat_n("!sleep 10", args.probes));
        let clients = requests
            .enumerate()
            .map(|(index, request)| {
                Client::connect(args.addr, request, poll.registry(), Token(index))
            })
            .collect::<io::Result<Vec<Client>>>()?;
        let now = Instant::now();
        let begin = now + args.warm_up();
        Ok(Load {
            args,
            clients,
            recorder: Recorder::new(args.server_pid),
            begin,
            end: begin + args.duration(),
            next_send: args.rate.map(|_| now),
            next_sender: 0,
            next_disturbance: args.disturb.is_some().then_some(begin),
            disturbances: 0,
            answers: 0,
            window: None,
        })
    }

    /// Does what is due; when there is something to do next, or `None` at the end.
    fn advance(&mut self) -> io::Result<Option<Instant>> {
        let now = Instant::now();
        if now >= self.begin && !self.recorder.has_begun() {
            self.recorder.begin()?;
        }
        let is_enough = self.args.requests.is_some_and(|requests| self.answers >= requests);
        if self.window.is_none() && (now >= self.end || is_enough) && self.recorder.has_begun() {
            self.window = Some(self.recorder.end()?);
        }
        if self.window.is_some() {
            let plain = &self.clients[..self.args.connections];
            let is_over = self.args.rate.is_none()
                || now >= self.end + GRACE
                || plain.iter().all(Client::is_idle);
            return Ok((!is_over).then_some(self.end + GRACE));
        }
        self.send_due(now)?;
        self.disturb_due(now)?;
        let phase = if self.recorder.has_begun() { self.end } else { self.begin };
        let deadlines = [Some(phase), self.next_send, self.next_disturbance];
        Ok(deadlines.into_iter().flatten().min())
    }

    fn send_due(&mut self, now: Instant) -> io::Result<()> {
        let Some(rate) = self.args.rate else {
            return Ok(());
        };
        while let Some(due) = self.next_send.filter(|due| *due <= now) {
            self.clients[self.next_sender].send(due)?;
            self.next_sender = (self.next_sender + 1) % self.args.connections;
            self.next_send = Some(due + Duration::from_secs_f64(1.0 / rate));
        }
        Ok(())
    }

    /// Sends the disturbances that are due.
    ///
    /// They keep their distance on the whole, but each comes up to a millisecond later than the
    /// period says, by a different part of it every time. Exactly on the period they would coincide
    /// with a request of the open loop whenever the one divides the other, and a server that gets
    /// two requests at once wakes a second worker for them, which hides what the first one does.
    fn disturb_due(&mut self, now: Instant) -> io::Result<()> {
        if self.next_disturbance.is_none_or(|due| due > now) {
            return Ok(());
        }
        let first = self.args.connections;
        for client in &mut self.clients[first..first + self.args.disturbers()] {
            // One that is still at work is not asked twice.
            if client.is_idle() {
                client.send(now)?;
            }
        }
        let every = self.args.disturb_every_ms.filter(|ms| *ms > 0).map(Duration::from_millis);
        self.disturbances += 1;
        let part = f64::from(self.disturbances) * 0.618_034 % 1.0;
        let late = Duration::from_secs_f64(part / 1000.0);
        self.next_disturbance = every.map(|every| self.begin + every * self.disturbances + late);
        Ok(())
    }

    fn receive(&mut self, index: usize) -> io::Result<()> {
        let Some(answered) = self.clients[index].receive()? else {
            return Ok(());
        };
        let now = Instant::now();
        let probes = self.args.connections + self.args.disturbers();
        let is_over = self.window.is_some();
        if let Some(late_us) = answered.number {
            self.recorder.slept(late_us);
        }
        let sends_again = if index < self.args.connections {
            self.recorder.answered(answered.due, now);
            self.answers += 1;
            let is_enough = self.args.requests.is_some_and(|requests| self.answers >= requests);
            self.args.rate.is_none() && !is_enough
        } else if index < probes {
            self.args.disturb_every_ms == Some(0)
        } else {
            true
        };
        if sends_again && !is_over {
            self.clients[index].send(now)?;
        }
        Ok(())
    }

    fn finish(mut self) -> io::Result<Metrics> {
        let now = Instant::now();
        if self.args.rate.is_some() {
            for client in &self.clients[..self.args.connections] {
                for due in client.unanswered() {
                    self.recorder.unanswered(due, now);
                }
            }
        }
        let window = self.window.expect("the loop ends when the window is closed");
        Ok(self.recorder.metrics(&window))
    }
}
