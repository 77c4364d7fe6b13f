//! Latencies, and what the server spent meanwhile.

use crate::micro::measure::Metrics;
use crate::process::Usage;
use hdrhistogram::Histogram;
use std::io;
use std::time::{Duration, Instant};

/// Longest latency that is told apart.
const LONGEST: Duration = Duration::from_secs(120);

/// Collects from [`begin`](Recorder::begin) to [`end`](Recorder::end).
pub(super) struct Recorder {
    server: Option<u32>,
    begun: Option<(Instant, Usage)>,
    latencies: Histogram<u64>,
    /// How late the server's own sleeps ended, in microseconds.
    late_us: Histogram<u64>,
    answers: u64,
    unanswered: u64,
}

/// What the server did between begin and end, to be reported once late answers are in.
pub(super) struct Window {
    elapsed: Duration,
    usage: Usage,
    answers: u64,
}

impl Recorder {
    pub(super) fn new(server: Option<u32>) -> Recorder {
        let longest = LONGEST.as_nanos() as u64;
        let histogram =
            |highest| Histogram::new_with_bounds(1, highest, 3).expect("the bounds are in order");
        Recorder {
            server,
            begun: None,
            latencies: histogram(longest),
            late_us: histogram(longest / 1000),
            answers: 0,
            unanswered: 0,
        }
    }

    fn usage(&self) -> io::Result<Usage> {
        self.server.map_or(Ok(Usage::default()), Usage::of)
    }

    /// The warm-up is over.
    pub(super) fn begin(&mut self) -> io::Result<()> {
        self.begun = Some((Instant::now(), self.usage()?));
        Ok(())
    }

    pub(super) fn has_begun(&self) -> bool {
        self.begun.is_some()
    }

    /// An answer at `now` to a request that was due at `due`; ignored if due before the beginning.
    pub(super) fn answered(&mut self, due: Instant, now: Instant) {
        let Some((begun, _)) = self.begun else { return };
        self.answers += 1;
        if due >= begun {
            self.record(now - due);
        }
    }

    /// No answer has come up to `now` for a request that was due at `due`.
    pub(super) fn unanswered(&mut self, due: Instant, now: Instant) {
        self.unanswered += 1;
        self.record(now.saturating_duration_since(due));
    }

    fn record(&mut self, latency: Duration) {
        self.latencies.saturating_record(latency.as_nanos() as u64);
    }

    /// A sleep on the server ended `late_us` too late.
    pub(super) fn slept(&mut self, late_us: u64) {
        if self.begun.is_some() {
            self.late_us.saturating_record(late_us);
        }
    }

    /// No more requests are due; answers may still come.
    pub(super) fn end(&mut self) -> io::Result<Window> {
        let (begun, before) = self.begun.expect("it was begun before it ends");
        Ok(Window {
            elapsed: begun.elapsed(),
            usage: self.usage()?.since(&before),
            answers: self.answers,
        })
    }

    /// Without an answer there is no figure per request, as there is no latency without a request: a
    /// zero would pass for the best of all.
    pub(super) fn metrics(&self, window: &Window) -> Metrics {
        let mut metrics = Metrics::new();
        let mut put = |name: &str, value: f64| {
            metrics.insert(name.to_owned(), value);
        };
        let micros = |quantile| self.latencies.value_at_quantile(quantile) as f64 / 1e3;
        let total = self.latencies.len() as f64;
        let late = self.latencies.count_between(2_000_001, LONGEST.as_nanos() as u64) as f64;
        put("ops_per_s", window.answers as f64 / window.elapsed.as_secs_f64());
        put("requests", self.latencies.len() as f64);
        put("unanswered", self.unanswered as f64);
        if !self.latencies.is_empty() {
            put("p50_us", micros(0.5));
            put("p99_us", micros(0.99));
            put("p999_us", micros(0.999));
            put("max_us", self.latencies.max() as f64 / 1e3);
            put("over_2ms_percent", late / total * 100.0);
        }
        if self.server.is_some() && window.answers > 0 {
            const TICK_NS: f64 = 1e7;
            let (answers, usage) = (window.answers as f64, &window.usage);
            put("server_cpu_ns", usage.cpu_ns as f64 / answers);
            put("server_user_ns", usage.user_ticks as f64 * TICK_NS / answers);
            put("server_kernel_ns", usage.kernel_ticks as f64 * TICK_NS / answers);
            put("ctxsw", usage.voluntary_switches as f64 / answers);
            put("preempted", usage.involuntary_switches as f64 / answers);
        }
        if !self.late_us.is_empty() {
            put("sleep_late_p50_us", self.late_us.value_at_quantile(0.5) as f64);
            put("sleep_late_p90_us", self.late_us.value_at_quantile(0.9) as f64);
            put("sleep_late_p99_us", self.late_us.value_at_quantile(0.99) as f64);
            put("sleep_late_max_us", self.late_us.max() as f64);
        }
        metrics
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_due_before_the_beginning_has_no_latency() {
        let mut recorder = Recorder::new(None);
        let early = Instant::now();
        recorder.answered(early, early);
        recorder.begin().expect("no server to read");
        let begun = Instant::now();
        recorder.answered(early, begun);
        recorder.answered(begun, begun + Duration::from_millis(3));
        recorder.answered(begun, begun + Duration::from_millis(1));
        let window = recorder.end().expect("no server to read");
        let metrics = recorder.metrics(&window);
        assert_eq!(window.answers, 3);
        assert_eq!(metrics["requests"], 2.0);
        assert_eq!(metrics["over_2ms_percent"], 50.0);
    }

    #[test]
    fn a_server_that_answers_nothing_is_not_the_fastest() {
        let mut recorder = Recorder::new(Some(std::process::id()));
        recorder.begin().expect("this process can be read");
        let window = recorder.end().expect("this process can be read");
        let metrics = recorder.metrics(&window);
        assert_eq!(metrics["ops_per_s"], 0.0);
        assert!(!metrics.contains_key("server_cpu_ns"), "{metrics:?}");
        assert!(!metrics.contains_key("p50_us"), "{metrics:?}");
        assert!(!metrics.contains_key("over_2ms_percent"), "{metrics:?}");
    }

    #[test]
    fn a_request_without_an_answer_counts_with_its_age() {
        let mut recorder = Recorder::new(None);
        recorder.begin().expect("no server to read");
        let due = Instant::now();
        recorder.unanswered(due, due + Duration::from_secs(1));
        let window = recorder.end().expect("no server to read");
        let metrics = recorder.metrics(&window);
        assert!(metrics["p50_us"] > 990_000.0, "{metrics:?}");
        assert_eq!(metrics["unanswered"], 1.0);
    }
}
