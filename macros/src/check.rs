//! What a function must be to be run.

use proc_macro2::TokenStream;
use syn::Error;

use crate::attribute::Attribute;
use crate::function::{Function, OuterAttribute};
use crate::parameter::{self, Parameter};
use crate::problems::Problems;

/// Reports what the function must not be; returns the parameters to pass on.
pub(crate) fn check(
    function: &Function,
    attribute: Attribute,
    problems: &mut Problems,
) -> Vec<Parameter> {
    let name = &function.name;
    if attribute == Attribute::Test {
        for outer in function.attributes.iter().filter(|outer| is_test(outer)) {
            let path = outer.path();
            let message = format!(
                "`{attribute}` alone makes `{name}` a test; with `#[{path}]` it would be one twice\n  \
                 help: remove `#[{path}]`"
            );
            problems.add(Error::new_spanned(&outer.path, message));
        }
    }
    if !function.has_body {
        let message = format!("`{name}` has no body to run\n  help: write `{{ .. }}` for the `;`");
        problems.add(Error::new(name.span(), message));
    }
    if function.asyncness.is_none() {
        let message = format!(
            "`{attribute}` runs an `async fn`, but `{name}` is not `async`\n  \
             help: write `async fn {name}`"
        );
        problems.add(Error::new(function.fn_token.span(), message));
    }
    for qualifier in &function.other_qualifiers {
        let message = format!(
            "`{attribute}` cannot run a function that is `{qualifier}`\n  \
             help: remove `{qualifier}`, or call that function from the body of this one"
        );
        problems.add(Error::new(qualifier.span(), message));
    }
    for (tokens, what) in
        [(&function.generics, "generics"), (&function.where_clause, "a `where` clause")]
    {
        if !tokens.is_empty() {
            let message = format!(
                "`{attribute}` cannot run a function with {what}\n  \
                 help: call a generic function from the body of this one"
            );
            problems.add(Error::new_spanned(tokens, message));
        }
    }
    check_parameters(function, attribute, problems)
}

fn check_parameters(
    function: &Function,
    attribute: Attribute,
    problems: &mut Problems,
) -> Vec<Parameter> {
    let name = &function.name;
    let all = parameter::split(&function.parameters);
    if all.iter().any(|tokens| parameter::is_receiver(tokens)) {
        let message = format!(
            "`{attribute}` cannot run a method: there is no `self` to call it on\n  \
             help: call the method from an `async fn` outside the `impl`"
        );
        problems.add(Error::new_spanned(function.parameters.stream(), message));
        return Vec::new();
    }
    if !all.is_empty() && must_be_bare(function, attribute) {
        let (who, help) = match attribute {
            Attribute::Main => ("the operating system", "read them from `std::env::args` instead"),
            Attribute::Test => ("the test harness", "call a function with arguments from the body"),
        };
        let message =
            format!("`{name}` cannot take arguments: {who} calls it without any\n  help: {help}");
        problems.add(Error::new_spanned(function.parameters.stream(), message));
        return Vec::new();
    }
    let mut parameters = Vec::new();
    for tokens in all {
        match Parameter::parse(&tokens) {
            Some(parameter) => parameters.push(parameter),
            None => {
                let message = format!(
                    "`{attribute}` passes arguments on by name, and this one has no plain name\n  \
                     help: write `name: Type`, and take it apart in the body"
                );
                let tokens: TokenStream = tokens.into_iter().collect();
                problems.add(Error::new_spanned(tokens, message));
            }
        }
    }
    parameters
}

/// Whether somebody calls the function who knows no arguments: the start of the program, or the
/// test harness.
pub(crate) fn must_be_bare(function: &Function, attribute: Attribute) -> bool {
    attribute == Attribute::Test || function.name == "main"
}

/// Whether the attribute would make the function a test once more. Other crates' `something::test`
/// may be made to stand with ours, so they pass.
pub(crate) fn is_test(outer: &OuterAttribute) -> bool {
    let path = outer.path();
    let path = path.trim_start_matches("::");
    let is_std = path.starts_with("std::prelude::") || path.starts_with("core::prelude::");
    path == "test" || path == "runtime::test" || is_std && path.ends_with("::test")
}
