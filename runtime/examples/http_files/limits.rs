//! What a client may cost: time and bytes.

use std::time::Duration;

use clap::Args;

/// What a client may cost. The times are in seconds on the command line, with fractions if need be.
#[derive(Args, Clone, Debug)]
pub(crate) struct Limits {
    /// Seconds that a client has to send the head of a request, from its first byte.
    #[arg(long, default_value = "10", value_parser = seconds, value_name = "SECONDS")]
    pub(crate) header_timeout: Duration,
    /// Seconds that a connection may stay open without a request.
    #[arg(long, default_value = "60", value_parser = seconds, value_name = "SECONDS")]
    pub(crate) idle_timeout: Duration,
    /// Seconds that a client may go without taking a single byte of its answer, or without sending
    /// one of a body.
    #[arg(long, default_value = "30", value_parser = seconds, value_name = "SECONDS")]
    pub(crate) stall_timeout: Duration,
    /// Bytes that the request line and the headers may have together.
    #[arg(long, default_value_t = 8 * 1024, value_name = "BYTES")]
    pub(crate) max_head: usize,
}

/// How large a body may be that nobody wants, to be read and thrown away so that the connection can
/// be used again. In bytes.
pub(crate) const MAX_BODY: u64 = 64 * 1024;

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "it is not a number of seconds".to_owned())?;
    let duration = Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())?;
    if duration.is_zero() { Err("it must be more than 0".to_owned()) } else { Ok(duration) }
}
