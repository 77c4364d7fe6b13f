//! The load generator: one thread around epoll, no runtime, in a process of its own.
//!
//! *Closed loop*: every connection sends its next request when the last one is answered. *Open
//! loop*: requests are due at a fixed rate, whatever the server does, and latency counts from when
//! a request was due, so a server that stalls cannot hide it by keeping the client from sending.

mod alarm;
mod churn;
mod client;
mod idle;
mod recorder;
mod steady;

use crate::micro::measure::Metrics;
use crate::process;
use clap::Args;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// What load to make.
#[derive(Clone, Debug, Args)]
pub(crate) struct LoadArgs {
    /// The server.
    #[arg(long)]
    pub(crate) addr: SocketAddr,
    /// Connections at once.
    #[arg(long, default_value_t = 50)]
    pub(crate) connections: usize,
    /// Seconds to measure, after the warm-up.
    #[arg(long, default_value_t = 5.0)]
    pub(crate) seconds: f64,
    /// Seconds of load that are not measured.
    #[arg(long, default_value_t = 1.0)]
    pub(crate) warm_up: f64,
    /// Open loop: requests per second over all connections; closed loop without it.
    #[arg(long)]
    pub(crate) rate: Option<f64>,
    /// Stop after so many answers, whatever the time.
    #[arg(long)]
    pub(crate) requests: Option<u64>,
    /// A connection for every request: connect, one request, close.
    #[arg(long)]
    pub(crate) churn: bool,
    /// Open the connections, use each once, and measure what the server keeps for them.
    #[arg(long)]
    pub(crate) idle: bool,
    /// A command that the server is asked beside the load, as in `block 100`.
    #[arg(long)]
    pub(crate) disturb: Option<String>,
    /// Connections that ask it, all at the same moment.
    #[arg(long, default_value_t = 1)]
    pub(crate) disturbers: usize,
    /// Milliseconds between two of them; 0 is back to back; once only without it.
    #[arg(long)]
    pub(crate) disturb_every_ms: Option<u64>,
    /// Connections that ask for `sleep 10`, back to back, to learn how late it ends.
    #[arg(long, default_value_t = 0)]
    pub(crate) probes: usize,
    /// The server's process, to read what a request costs it.
    #[arg(long)]
    pub(crate) server_pid: Option<u32>,
    /// The CPU to stay on.
    #[arg(long)]
    pub(crate) cpu: Option<usize>,
}

impl LoadArgs {
    /// Fifty connections to `addr`, closed loop; the caller changes what it wants otherwise.
    pub(crate) fn to(addr: SocketAddr) -> LoadArgs {
        LoadArgs {
            addr,
            connections: 50,
            seconds: 5.0,
            warm_up: 1.0,
            rate: None,
            requests: None,
            churn: false,
            idle: false,
            disturb: None,
            disturbers: 1,
            disturb_every_ms: None,
            probes: 0,
            server_pid: None,
            cpu: None,
        }
    }

    /// The same as command line arguments.
    pub(crate) fn to_arguments(&self) -> Vec<String> {
        let mut arguments = vec![
            format!("--addr={}", self.addr),
            format!("--connections={}", self.connections),
            format!("--seconds={}", self.seconds),
            format!("--warm-up={}", self.warm_up),
            format!("--disturbers={}", self.disturbers),
            format!("--probes={}", self.probes),
        ];
        arguments.extend(self.rate.map(|rate| format!("--rate={rate}")));
        arguments.extend(self.requests.map(|requests| format!("--requests={requests}")));
        arguments.extend(self.churn.then(|| "--churn".to_owned()));
        arguments.extend(self.idle.then(|| "--idle".to_owned()));
        arguments.extend(self.disturb.as_ref().map(|command| format!("--disturb={command}")));
        arguments.extend(self.disturb_every_ms.map(|ms| format!("--disturb-every-ms={ms}")));
        arguments.extend(self.server_pid.map(|pid| format!("--server-pid={pid}")));
        arguments.extend(self.cpu.map(|cpu| format!("--cpu={cpu}")));
        arguments
    }

    fn warm_up(&self) -> Duration {
        Duration::from_secs_f64(self.warm_up)
    }

    fn duration(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }
}

/// Makes the load and returns what was seen.
pub(crate) fn run(args: &LoadArgs) -> io::Result<Metrics> {
    process::raise_open_files();
    if let Some(cpu) = args.cpu {
        process::pin_to_cpu(cpu)?;
    }
    if args.idle {
        idle::run(args)
    } else if args.churn {
        churn::run(args)
    } else {
        steady::run(args)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        load: LoadArgs,
    }

    #[test]
    fn arguments_say_all_that_the_struct_says() {
        let addr = SocketAddr::from(([127, 0, 0, 1], 9));
        let mut args = LoadArgs::to(addr);
        args.rate = Some(2000.0);
        args.requests = Some(7);
        args.disturb = Some("block 100".to_owned());
        args.disturb_every_ms = Some(250);
        args.server_pid = Some(1);
        args.cpu = Some(0);
        args.churn = true;
        args.idle = true;
        let line = std::iter::once("load".to_owned()).chain(args.to_arguments());
        let parsed = Line::try_parse_from(line).expect("we wrote them").load;
        assert_eq!(format!("{parsed:?}"), format!("{args:?}"));
    }
}
