//! Which of the project's goals on speed a run's figures meet.

mod list;

use crate::results::Results;
use crate::runtimes::RuntimeName;
use clap::Args;
use list::{Aim, Goal};
use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;

/// Where the figures are.
#[derive(Clone, Debug, Args)]
pub(crate) struct GoalsArgs {
    /// What `--json` wrote, of suites and of `count`; best of one machine and one day.
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

/// Prints the table of goals.
///
/// # Errors
/// Those of reading the files.
pub(crate) fn run(args: &GoalsArgs) -> io::Result<()> {
    let results = Results::read(&args.files)?;
    for machine in results.machines() {
        println!("{machine}");
    }
    print!("\n{}", tables(&results));
    Ok(())
}

/// The workloads that goals are on.
#[cfg(test)]
pub(crate) fn workloads() -> Vec<&'static str> {
    list::all().iter().map(|goal| goal.workload).collect()
}

/// What is known about one goal.
struct Row {
    ours: Option<f64>,
    /// Peers of the same kind, the best first.
    peers: Vec<(RuntimeName, f64)>,
    tokio: Option<f64>,
    raw_epoll: Option<f64>,
}

impl Row {
    fn of(goal: &Goal, results: &Results) -> Row {
        let median = |runtime| results.median(goal.workload, runtime, goal.metric);
        let is_peer = |runtime: &RuntimeName| {
            runtime.is_threaded() == goal.ours.is_threaded()
                && !runtime.is_ours()
                && !runtime.has_no_runtime()
        };
        let mut peers: Vec<(RuntimeName, f64)> = RuntimeName::ALL
            .iter()
            .filter(|runtime| is_peer(runtime))
            .filter_map(|runtime| Some((*runtime, median(*runtime)?)))
            .collect();
        peers.sort_by(|a, b| a.1.total_cmp(&b.1));
        if goal.is_rate() {
            peers.reverse();
        }
        let tokio = peers.iter().find(|(runtime, _)| runtime.is_tokio()).map(|(_, value)| *value);
        let raw_epoll = median(RuntimeName::RawEpoll);
        Row { ours: median(goal.ours), peers, tokio, raw_epoll }
    }

    /// Our ratio to `reference`, to the two decimals that are printed.
    fn ratio(&self, reference: Option<f64>) -> Option<f64> {
        let reference = reference.filter(|value| *value > 0.0)?;
        Some((self.ours? / reference * 100.0).round() / 100.0)
    }

    fn best(&self) -> Option<f64> {
        self.peers.first().map(|(_, value)| *value)
    }

    /// How many peers are better, to the decimals that are printed.
    fn better_peers(&self) -> Option<usize> {
        let ours = as_printed(self.ours?);
        let is_better = |(_, value): &&(RuntimeName, f64)| as_printed(*value) < ours;
        (!self.peers.is_empty()).then(|| self.peers.iter().filter(is_better).count())
    }

    /// Whether the aim is reached, judged by what is printed; `None` if a figure is missing.
    fn reaches(&self, aim: Aim) -> Option<bool> {
        match aim {
            Aim::Best => self.ratio(self.best()).map(|ratio| ratio <= 1.0),
            Aim::Tokio(most) => self.ratio(self.tokio).map(|ratio| ratio <= most),
            Aim::OverTokio(least) => self.ratio(self.tokio).map(|ratio| ratio >= least),
            Aim::RawEpoll(most) => self.ratio(self.raw_epoll).map(|ratio| ratio <= most),
            Aim::Bound(bound) => self.ours.map(|ours| as_printed(ours) <= bound),
            Aim::FirstOrSecond => self.better_peers().map(|better| better < 2),
        }
    }

    fn verdict(&self, goal: &Goal) -> Verdict {
        let reached: Vec<Option<bool>> = goal.aims.iter().map(|aim| self.reaches(*aim)).collect();
        if reached.contains(&Some(false)) {
            Verdict::NotMet
        } else if reached.contains(&None) {
            Verdict::NotMeasured
        } else {
            Verdict::Met
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Met,
    NotMet,
    NotMeasured,
}

/// A table for each part, and how many goals are met.
fn tables(results: &Results) -> String {
    let mut text = String::new();
    let mut part = "";
    let mut counts = [0; 3];
    for goal in list::all() {
        if goal.part != part {
            part = goal.part;
            let _ = writeln!(
                text,
                "{}### {part}\n| row | runtime | best peer | windlass | to the best | to tokio | goal | result |\n\
                 |---|---|---:|---:|---:|---:|---|---|",
                if text.is_empty() { "" } else { "\n" }
            );
        }
        let row = Row::of(&goal, results);
        let verdict = row.verdict(&goal);
        counts[verdict as usize] += 1;
        let _ = writeln!(text, "{}", line(&goal, &row, verdict));
    }
    let [met, not_met, not_measured] = counts;
    let _ = writeln!(text, "\n{met} met, {not_met} not met, {not_measured} not measured.");
    text
}

fn line(goal: &Goal, row: &Row, verdict: Verdict) -> String {
    let best = row.peers.first();
    let best =
        best.map_or("-".to_owned(), |(runtime, value)| format!("{} {runtime}", figure(*value)));
    let ours = row.ours.map_or("-".to_owned(), figure);
    let ratio = |reference| row.ratio(reference).map_or("-".to_owned(), |r| format!("{r:.2}"));
    let aims: Vec<String> = goal.aims.iter().map(|aim| describe(*aim, row)).collect();
    let outcome = match (verdict, row.better_peers()) {
        (Verdict::NotMeasured, _) => "not measured".to_owned(),
        (_, Some(better)) if matches!(goal.aims, [Aim::FirstOrSecond]) => {
            let place = ["first", "second"].get(better).map(|place| (*place).to_owned());
            let place = place.unwrap_or_else(|| format!("place {}", better + 1));
            if verdict == Verdict::Met {
                format!("met: {place}")
            } else {
                format!("**not met**: {place}")
            }
        }
        (Verdict::Met, _) => "met".to_owned(),
        (Verdict::NotMet, _) => "**not met**".to_owned(),
    };
    format!(
        "| {} ({}) | {} | {best} | {ours} | {} | {} | {} | {outcome} |",
        goal.workload,
        goal.what,
        goal.ours,
        ratio(row.best()),
        ratio(row.tokio),
        aims.join(", "),
    )
}

fn describe(aim: Aim, row: &Row) -> String {
    match aim {
        Aim::Best => "the best".to_owned(),
        Aim::Tokio(most) => format!("{most} of tokio"),
        Aim::OverTokio(least) => format!("{least} times tokio or more"),
        Aim::RawEpoll(most) => match row.ratio(row.raw_epoll) {
            Some(ratio) => format!("{most} of raw epoll (is {ratio:.2})"),
            None => format!("{most} of raw epoll"),
        },
        Aim::Bound(bound) => format!("{bound}"),
        Aim::FirstOrSecond => "first or second".to_owned(),
    }
}

/// Two decimals below 100, none above.
fn as_printed(value: f64) -> f64 {
    if value < 100.0 { (value * 100.0).round() / 100.0 } else { value.round() }
}

fn figure(value: f64) -> String {
    if value < 100.0 { format!("{value:.2}") } else { format!("{value:.0}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::micro::measure::Metrics;
    use RuntimeName::{Monoio, RawEpoll, SmolLocal, TokioCt, TokioMt, WindlassSt, WindlassWs};

    fn results(workload: &str, metric: &str, figures: &[(RuntimeName, f64)]) -> Results {
        let mut results = Results::default();
        for (runtime, value) in figures {
            results.add(workload, *runtime, Metrics::from([(metric.to_owned(), *value)]));
        }
        results
    }

    fn goal(workload: &str, metric: &str, ours: RuntimeName) -> Goal {
        let is_it =
            |goal: &Goal| (goal.workload, goal.metric, goal.ours) == (workload, metric, ours);
        list::all().into_iter().find(is_it).expect("it is in the list")
    }

    fn verdict(goal: &Goal, figures: &[(RuntimeName, f64)]) -> Verdict {
        let results = results(goal.workload, goal.metric, figures);
        Row::of(goal, &results).verdict(goal)
    }

    #[test]
    fn the_best_peer_of_the_same_kind_decides() {
        let goal = goal("spawn_many_10000", "cpu_ns", WindlassSt);
        let peers = [(TokioCt, 250.0), (Monoio, 47.0), (TokioMt, 1.0), (RawEpoll, 1.0)];
        let with = |ours: f64| [&peers[..], &[(WindlassSt, ours)]].concat();
        assert_eq!(verdict(&goal, &with(47.0)), Verdict::Met);
        assert_eq!(verdict(&goal, &with(48.0)), Verdict::NotMet);
        assert_eq!(verdict(&goal, &peers), Verdict::NotMeasured);
        assert_eq!(verdict(&goal, &[(WindlassSt, 1.0)]), Verdict::NotMeasured);
        let results = results("spawn_many_10000", "cpu_ns", &with(94.0));
        let line = line(&goal, &Row::of(&goal, &results), Verdict::NotMet);
        let expected = "| spawn_many_10000 (CPU ns) | windlass-st | 47.00 monoio | 94.00 | 2.00 | 0.38 \
                        | the best | **not met** |";
        assert_eq!(line, expected);
    }

    #[test]
    fn all_aims_of_a_goal_must_hold() {
        let spawn = goal("spawn_many_10000", "wall_ns", WindlassWs);
        let with = |ours: f64| [(TokioMt, 100.0), (WindlassWs, ours)];
        assert_eq!(verdict(&spawn, &with(60.0)), Verdict::Met);
        assert_eq!(verdict(&spawn, &with(61.0)), Verdict::NotMet);
        let bounce = goal("bounce_10000", "wall_ns", WindlassWs);
        assert_eq!(verdict(&bounce, &with(100.0)), Verdict::Met);
        let ack = goal("ack_cross_c50", "server_cpu_ns", WindlassSt);
        let with = |raw: f64| [(TokioCt, 100.0), (RawEpoll, raw), (WindlassSt, 100.0)];
        assert_eq!(verdict(&ack, &with(98.0)), Verdict::Met);
        assert_eq!(verdict(&ack, &with(96.0)), Verdict::NotMet);
    }

    #[test]
    fn of_a_rate_more_is_better() {
        let goal = goal("churn_c32", "ops_per_s", WindlassSt);
        let with = |ours: f64| [(TokioCt, 100.0), (SmolLocal, 110.0), (WindlassSt, ours)];
        assert_eq!(verdict(&goal, &with(120.0)), Verdict::Met);
        assert_eq!(verdict(&goal, &with(119.0)), Verdict::NotMet);
        let results = results("churn_c32", "ops_per_s", &with(120.0));
        assert_eq!(Row::of(&goal, &results).peers[0], (SmolLocal, 110.0));
    }

    #[test]
    fn a_bound_needs_no_peer() {
        let goal = goal("timer_cancel_t1", "syscalls", WindlassSt);
        assert_eq!(verdict(&goal, &[(WindlassSt, 0.004)]), Verdict::Met);
        assert_eq!(verdict(&goal, &[(WindlassSt, 0.006)]), Verdict::NotMet);
    }

    #[test]
    fn the_place_is_said() {
        let goal = goal("hello_world", "crates", WindlassSt);
        for (ours, outcome) in
            [(5.0, "met: first"), (24.0, "met: second"), (40.0, "**not met**: place 3")]
        {
            let figures = [(TokioCt, 6.0), (Monoio, 24.0), (WindlassSt, ours)];
            let results = results("hello_world", "crates", &figures);
            let row = Row::of(&goal, &results);
            let line = line(&goal, &row, row.verdict(&goal));
            assert!(line.ends_with(&format!("| first or second | {outcome} |")), "{line}");
        }
    }

    #[test]
    fn the_end_counts_all_goals() {
        let results = results("sleep_1ms", "p50_us", &[(WindlassSt, 1100.0), (WindlassWs, 1200.0)]);
        let text = tables(&results);
        let rest = list::all().len() - 2;
        assert!(text.ends_with(&format!("\n1 met, 1 not met, {rest} not measured.\n")), "{text}");
    }
}
