//! The value of one key.

use proc_macro2::{Delimiter, Ident, Literal, TokenStream, TokenTree};
use syn::parse::Parse;
use syn::{Error, Lit};

use crate::parameter::is_punct;
use crate::suggestion::closest;

const SCHEDULERS: [(&str, Scheduler); 2] =
    [("work-stealing", Scheduler::WorkStealing), ("single-threaded", Scheduler::SingleThreaded)];

/// What another runtime's users may write, and what it is called here.
const SCHEDULERS_ELSEWHERE: [(&str, &str); 5] = [
    ("multi-thread", "work-stealing"),
    ("multi-threaded", "work-stealing"),
    ("threadpool", "work-stealing"),
    ("current-thread", "single-threaded"),
    ("single-thread", "single-threaded"),
];

/// Which scheduler the runtime gets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Scheduler {
    WorkStealing,
    SingleThreaded,
}

/// The tokens after the `=`, at least one.
pub(crate) struct Value {
    tokens: Vec<TokenTree>,
}

impl Value {
    pub(crate) fn new(tokens: &[TokenTree]) -> Value {
        Value { tokens: opened(tokens) }
    }

    fn literal(&self) -> Option<(Literal, Lit)> {
        match self.tokens.as_slice() {
            [TokenTree::Literal(literal)] => Some((literal.clone(), Lit::new(literal.clone()))),
            _ => None,
        }
    }

    /// An error over all tokens of the value.
    fn error(&self, message: impl std::fmt::Display) -> Error {
        Error::new_spanned(self.tokens.iter().cloned().collect::<TokenStream>(), message)
    }

    pub(crate) fn scheduler(&self) -> Result<Scheduler, Error> {
        let Some((_, Lit::Str(name))) = self.literal() else {
            return Err(self.error(
                "`scheduler` must be a string\n  \
                 help: write `scheduler = \"work-stealing\"` or `scheduler = \"single-threaded\"`",
            ));
        };
        let name = name.value();
        if let Some((_, scheduler)) = SCHEDULERS.iter().find(|(known, _)| *known == name) {
            return Ok(*scheduler);
        }
        let help = match scheduler_meant(&name) {
            Some(meant) => format!("did you mean \"{meant}\"?"),
            None => "the schedulers are \"work-stealing\" and \"single-threaded\"".to_string(),
        };
        Err(self.error(format!("there is no scheduler {name:?}\n  help: {help}")))
    }

    pub(crate) fn workers(&self) -> Result<Literal, Error> {
        let Some((literal, Lit::Int(number))) = self.literal() else {
            let help = match self.literal() {
                Some((_, Lit::Str(text))) if text.value().parse::<usize>().is_ok() => {
                    format!("without the quotes: `workers = {}`", text.value())
                }
                _ => "write for example `workers = 4`; a number that is known only when the \
                      program runs goes to `runtime::Builder::workers`"
                    .to_string(),
            };
            return Err(self.error(format!("`workers` must be a whole number\n  help: {help}")));
        };
        match number.base10_parse::<usize>() {
            Ok(0) => Err(self.error(
                "`workers = 0` leaves nobody to run the tasks\n  \
                 help: leave `workers` out for one worker per core",
            )),
            Ok(_) if ["", "usize"].contains(&number.suffix()) => Ok(literal),
            Ok(_) => Err(self.error(format!(
                "`workers` is a `usize`, not a `{}`\n  help: leave the suffix out",
                number.suffix()
            ))),
            Err(_) => Err(self.error(
                "`workers` does not fit into a `usize`\n  \
                 help: a few workers per core is the most that is useful",
            )),
        }
    }

    /// A path, in a string or as it is: names separated by `::`.
    pub(crate) fn path(&self) -> Result<TokenStream, Error> {
        let help = "help: write the crate's name, for example `crate = \"rt\"`";
        let tokens: Vec<TokenTree> = match self.literal() {
            None => self.tokens.clone(),
            // Every token gets the string's span: it is resolved there, and errors show there.
            Some((_, Lit::Str(text))) => match text.parse_with(TokenStream::parse) {
                Ok(tokens) => tokens.into_iter().collect(),
                Err(_) => Vec::new(),
            },
            Some(_) => {
                return Err(self.error(format!("`crate` must be a path in a string\n  {help}")));
            }
        };
        if is_path(&tokens) {
            return Ok(tokens.into_iter().collect());
        }
        Err(self.error(format!(
            "`crate` must be a path, names separated by `::`, but this is not one\n  {help}"
        )))
    }
}

/// The tokens without the invisible group in which a declarative macro hands on a value.
fn opened(tokens: &[TokenTree]) -> Vec<TokenTree> {
    match tokens {
        [TokenTree::Group(group)] if group.delimiter() == Delimiter::None => {
            opened(&group.stream().into_iter().collect::<Vec<_>>())
        }
        _ => tokens.to_vec(),
    }
}

/// Whether the tokens are names separated by `::`, which may also stand in front.
fn is_path(tokens: &[TokenTree]) -> bool {
    let mut rest = match tokens {
        [first, second, rest @ ..] if is_punct(first, ':') && is_punct(second, ':') => rest,
        _ => tokens,
    };
    loop {
        match rest {
            [name] => return is_name(name),
            [name, first, second, after @ ..]
                if is_name(name) && is_punct(first, ':') && is_punct(second, ':') =>
            {
                rest = after;
            }
            _ => return false,
        }
    }
}

/// Whether the token may stand in a path: an identifier, but no keyword other than these.
fn is_name(token: &TokenTree) -> bool {
    let TokenTree::Ident(ident) = token else {
        return false;
    };
    ["crate", "self", "super"].iter().any(|keyword| ident == keyword)
        || syn::parse2::<Ident>(token.clone().into()).is_ok()
}

/// The scheduler that a name which is none was probably meant to be.
pub(crate) fn scheduler_meant(name: &str) -> Option<&'static str> {
    closest(name, &SCHEDULERS.map(|(known, _)| known)).or_else(|| {
        let elsewhere = closest(name, &SCHEDULERS_ELSEWHERE.map(|(known, _)| known))?;
        SCHEDULERS_ELSEWHERE.iter().find(|(known, _)| *known == elsewhere).map(|(_, ours)| *ours)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(tokens: &str) -> Value {
        let tokens: TokenStream = tokens.parse().expect("the test's tokens are balanced");
        Value::new(&tokens.into_iter().collect::<Vec<_>>())
    }

    #[test]
    fn a_schedulers_name_from_elsewhere_means_one_of_ours() {
        for (_, ours) in SCHEDULERS_ELSEWHERE {
            assert!(SCHEDULERS.iter().any(|(known, _)| *known == ours), "{ours}");
        }
        assert_eq!(scheduler_meant("current_thread"), Some("single-threaded"));
        assert_eq!(scheduler_meant("multi_thread"), Some("work-stealing"));
        assert_eq!(scheduler_meant("Work Stealing"), Some("work-stealing"));
        assert_eq!(scheduler_meant("fifo"), None);
    }

    #[test]
    fn a_path_is_names_between_colons_and_nothing_else() {
        for path in ["rt", "\"rt\"", "::rt", "\"a::b::c\"", "crate", "super::super::a", "r#fn"] {
            assert!(value(path).path().is_ok(), "{path}");
        }
        for path in
            ["\"\"", "4", "'a'", "a::", "::", "a:b", "a b", "a::<b>", "fn", "\"a-b\"", "_", "\"(\""]
        {
            assert!(value(path).path().is_err(), "{path}");
        }
    }

    #[test]
    fn workers_are_a_literal_of_at_least_one() {
        for count in ["1", "4", "1_000", "0x10", "4usize"] {
            assert!(value(count).workers().is_ok(), "{count}");
        }
        for count in ["0", "0x0", "-1", "1.0", "4u8", "4f32", "\"4\"", "N", "1 + 1", "1e3"] {
            assert!(value(count).workers().is_err(), "{count}");
        }
    }
}
