//! What figures were measured on, and when.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

/// Date, processor, kernel and build, in one line.
pub(crate) fn machine() -> String {
    let first_line = |path: &str, name: &str| {
        let text = fs::read_to_string(path).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.rsplit_once(": ").map_or(line, |(_, value)| value).trim().to_owned()
    };
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let model = first_line("/proc/cpuinfo", "model name");
    let kernel = first_line("/proc/sys/kernel/osrelease", "");
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    format!("{}, {cpus} CPUs ({model}), Linux {kernel}, {}", date(seconds / 86_400), build())
}

/// The load average of the last minute.
pub(crate) fn load_average() -> String {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split_whitespace().next().unwrap_or("?").to_owned()
}

fn build() -> &'static str {
    if cfg!(debug_assertions) { "DEBUG BUILD: figures mean nothing" } else { "release build" }
}

/// The day so many days after 1 January 1970, as in `2026-11-21`.
fn date(days: u64) -> String {
    let is_leap = |year: u64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let (mut year, mut left) = (1970, days);
    while left >= 365 + u64::from(is_leap(year)) {
        left -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let february = 28 + u64::from(is_leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if left < length {
            break;
        }
        left -= length;
        month += 1;
    }
    format!("{year}-{month:02}-{:02}", left + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_dates() {
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(date(11_016), "2000-02-29");
        assert_eq!(date(11_017), "2000-03-01");
        assert_eq!(date(20_778), "2026-11-21");
        assert_eq!(date(20_818), "2026-12-31");
        assert_eq!(date(47_540), "2100-02-28");
        assert_eq!(date(47_541), "2100-03-01");
    }
}
