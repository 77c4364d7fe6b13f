//! What stands in the attribute's parentheses.

use proc_macro2::{Ident, Literal, Span, TokenStream, TokenTree};
use syn::Error;

use crate::attribute::Attribute;
use crate::parameter::is_punct;
use crate::problems::Problems;
use crate::suggestion::closest;
use crate::value::{Scheduler, Value, scheduler_meant};

const KEYS: [&str; 3] = ["scheduler", "workers", "crate"];

/// The names that another runtime's users know, and what to write here.
const KEYS_ELSEWHERE: [(&str, &str); 5] = [
    (
        "flavor",
        "the key is `scheduler` here: `\"work-stealing\"` for `\"multi_thread\"`, \
         `\"single-threaded\"` for `\"current_thread\"`",
    ),
    ("worker_threads", "the key is `workers` here"),
    ("threads", "the key is `workers` here"),
    ("start_paused", "call `runtime::time::pause()` at the start of the body"),
    ("unhandled_panic", "what a task's panic does is said on `runtime::Builder`"),
];

/// What the attribute asks for; `None` where it says nothing.
#[derive(Default)]
pub(crate) struct Options {
    pub(crate) scheduler: Option<Scheduler>,
    /// At least 1, with the span of the user's literal.
    pub(crate) workers: Option<Literal>,
    /// The path of the runtime crate.
    pub(crate) krate: Option<TokenStream>,
}

impl Options {
    /// Reads `key = value, ..`. Each argument stands alone: one that is wrong is reported and left
    /// out, and the others are still read.
    pub(crate) fn parse(
        arguments: TokenStream,
        attribute: Attribute,
        problems: &mut Problems,
    ) -> Options {
        let mut options = Options::default();
        let mut seen: Vec<Ident> = Vec::new();
        for argument in arguments_of(arguments) {
            let (key, value) = match key_and_value(&argument, attribute) {
                Ok(pair) => pair,
                Err(error) => {
                    problems.add(error);
                    continue;
                }
            };
            if seen.contains(&key) {
                let message = format!("`{key}` is given twice\n  help: keep one of the two");
                problems.add(Error::new(key.span(), message));
                continue;
            }
            seen.push(key.clone());
            if let Err(error) = options.set(&key, &value, attribute) {
                problems.add(error);
            }
        }
        // A scheduler that could not be read has its own error, and may have been meant to steal.
        let scheduler = match options.scheduler {
            None if seen.iter().any(|key| key == "scheduler") => Scheduler::WorkStealing,
            asked => asked.unwrap_or(attribute.default_scheduler()),
        };
        let workers = seen.iter().find(|key| *key == "workers");
        if let (Some(key), Scheduler::SingleThreaded) = (workers, scheduler) {
            problems.add(workers_without_work_stealing(key, options.scheduler, attribute));
        }
        options
    }

    fn set(&mut self, key: &Ident, value: &Value, attribute: Attribute) -> Result<(), Error> {
        // `KEYS` holds these three.
        match key.to_string().as_str() {
            "scheduler" => self.scheduler = Some(value.scheduler()?),
            "workers" => self.workers = Some(value.workers()?),
            "crate" => self.krate = Some(value.path()?),
            _ => return Err(unknown_key(key, attribute)),
        }
        Ok(())
    }
}

/// The tokens between the commas. An argument that is missing before a comma is the comma itself,
/// so that its error has a place to point at; a last comma is nothing.
fn arguments_of(arguments: TokenStream) -> Vec<Vec<TokenTree>> {
    let mut all = Vec::new();
    let mut current = Vec::new();
    for token in arguments {
        if !is_punct(&token, ',') {
            current.push(token);
            continue;
        }
        if current.is_empty() {
            current.push(token);
        }
        all.push(std::mem::take(&mut current));
    }
    if !current.is_empty() {
        all.push(current);
    }
    all
}

fn without_key(argument: &[TokenTree], attribute: Attribute) -> Error {
    let help = match argument {
        [TokenTree::Literal(literal)] => scheduler_meant(literal.to_string().trim_matches('"')),
        _ => None,
    }
    .map_or_else(
        || format!("the keys are {}", listed(&KEYS)),
        |meant| format!("did you mean `scheduler = \"{meant}\"`?"),
    );
    let span = argument.first().map_or_else(Span::call_site, TokenTree::span);
    let form = "takes arguments of the form `key = value`";
    Error::new(span, format!("`{attribute}` {form}\n  help: {help}"))
}

/// Cuts an argument at its `=`; an error if it has none, or a key that does not exist.
fn key_and_value(argument: &[TokenTree], attribute: Attribute) -> Result<(Ident, Value), Error> {
    let [TokenTree::Ident(key), rest @ ..] = argument else {
        return Err(without_key(argument, attribute));
    };
    // An unknown key is the first thing to say, whatever follows it.
    if !KEYS.iter().any(|known| key == known) {
        return Err(unknown_key(key, attribute));
    }
    match rest {
        [_, _, TokenTree::Ident(next), equals, ..] if is_punct(equals, '=') => {
            let message = format!("a comma is missing before `{next}`\n  help: write `, {next} =`");
            Err(Error::new(next.span(), message))
        }
        [equals, value @ ..] if is_punct(equals, '=') && !value.is_empty() => {
            Ok((key.clone(), Value::new(value)))
        }
        _ => {
            let example = match key.to_string().as_str() {
                "scheduler" => "scheduler = \"single-threaded\"",
                "workers" => "workers = 4",
                _ => "crate = \"rt\"",
            };
            let message =
                format!("`{key}` needs an `=` and a value\n  help: write for example `{example}`");
            Err(Error::new(key.span(), message))
        }
    }
}

fn unknown_key(key: &Ident, attribute: Attribute) -> Error {
    let name = key.to_string();
    let elsewhere = KEYS_ELSEWHERE.iter().find(|(known, _)| *known == name);
    let help = if let Some((_, help)) = elsewhere {
        (*help).to_string()
    } else if let Some(meant) = closest(&name, &KEYS) {
        format!("did you mean `{meant}`?")
    } else if let Some(meant) = scheduler_meant(&name) {
        format!("did you mean `scheduler = \"{meant}\"`?")
    } else {
        format!("the keys are {}", listed(&KEYS))
    };
    Error::new(key.span(), format!("`{attribute}` has no key `{name}`\n  help: {help}"))
}

fn workers_without_work_stealing(
    key: &Ident,
    asked: Option<Scheduler>,
    attribute: Attribute,
) -> Error {
    let (why, help) = match asked {
        Some(_) => (
            "the single-threaded scheduler has exactly one worker, the calling thread".to_string(),
            "remove `workers`, or write `scheduler = \"work-stealing\"`",
        ),
        None => (
            format!("unless told otherwise, `{attribute}` is single-threaded, with one worker"),
            "add `scheduler = \"work-stealing\"`, or remove `workers`",
        ),
    };
    Error::new(key.span(), format!("`workers` has no meaning here: {why}\n  help: {help}"))
}

/// "`a`, `b` and `c`".
fn listed(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.as_slice() {
        [all_but_last @ .., last] if !all_but_last.is_empty() => {
            format!("{} and {last}", all_but_last.join(", "))
        }
        _ => quoted.concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The options, and the errors' texts.
    fn parse(attribute: Attribute, arguments: &str) -> (Options, Vec<String>) {
        let mut problems = Problems::default();
        let arguments = arguments.parse().expect("the test's tokens are balanced");
        let options = Options::parse(arguments, attribute, &mut problems);
        let errors = problems.into_error().into_iter().flatten().map(|error| error.to_string());
        (options, errors.collect())
    }

    #[test]
    fn every_key_is_read_in_any_order() {
        for arguments in [
            "scheduler = \"work-stealing\", workers = 4, crate = \"rt::inner\"",
            "crate = ::rt::inner, workers = 0x4, scheduler = r#\"work-stealing\"#,",
            "workers = 4usize, crate = r\"::rt::inner\", scheduler = \"work\\x2dstealing\"",
        ] {
            let (options, errors) = parse(Attribute::Test, arguments);
            assert_eq!(errors, [""; 0], "{arguments}");
            assert_eq!(options.scheduler, Some(Scheduler::WorkStealing), "{arguments}");
            assert!(options.workers.is_some(), "{arguments}");
            let path = options.krate.expect("the path was read").to_string().replace(' ', "");
            assert_eq!(path.trim_start_matches("::"), "rt::inner", "{arguments}");
        }
    }

    #[test]
    fn nothing_is_asked_for_by_default() {
        for attribute in [Attribute::Main, Attribute::Test] {
            let (options, errors) = parse(attribute, "");
            assert!(options.scheduler.is_none() && options.workers.is_none());
            assert!(options.krate.is_none() && errors.is_empty());
        }
    }

    #[test]
    fn each_wrong_argument_is_one_error_and_the_others_are_read() {
        let (options, errors) =
            parse(Attribute::Main, "worker = 1, crate = 2, scheduler, , workers = 3, workers = 4");
        assert_eq!(errors.len(), 5, "{errors:?}");
        assert_eq!(options.workers.map(|count| count.to_string()).as_deref(), Some("3"));
    }

    #[test]
    fn workers_want_the_work_stealing_scheduler() {
        for (attribute, arguments, errors) in [
            (Attribute::Main, "workers = 2", 0),
            (Attribute::Test, "workers = 2", 1),
            (Attribute::Main, "workers = 2, scheduler = \"single-threaded\"", 1),
            (Attribute::Test, "workers = 2, scheduler = \"work-stealing\"", 0),
            (Attribute::Test, "workers = 2, scheduler = \"unknown\"", 1),
        ] {
            assert_eq!(parse(attribute, arguments).1.len(), errors, "{attribute}: {arguments}");
        }
    }

    #[test]
    fn a_misspelt_key_is_answered_with_the_right_one() {
        for (given, meant) in [
            ("worker", "workers"),
            ("Workers", "workers"),
            ("crates", "crate"),
            ("sheduler", "scheduler"),
            ("current_thread", "scheduler = \"single-threaded\""),
        ] {
            let (_, errors) = parse(Attribute::Main, &format!("{given} = 1"));
            assert!(errors.concat().contains(&format!("did you mean `{meant}`?")), "{errors:?}");
        }
    }
}
