//! The plain function that is written in the place of the `async` one.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};

use crate::attribute::Attribute;
use crate::check::{check, is_test, must_be_bare};
use crate::function::Function;
use crate::options::Options;
use crate::parameter::{self, Parameter};
use crate::problems::Problems;
use crate::value::Scheduler;

/// Expands `#[attribute(arguments)] item`. Never panics: what is wrong becomes `compile_error!`s.
pub(crate) fn expand(
    attribute: Attribute,
    arguments: TokenStream,
    item: TokenStream,
) -> TokenStream {
    let mut problems = Problems::default();
    let options = Options::parse(arguments, attribute, &mut problems);
    let function = match Function::parse(item.clone(), attribute) {
        Ok(function) => function,
        Err(error) => {
            problems.add(error);
            let errors = problems.into_error().map(|error| error.to_compile_error());
            return quote!(#errors #item);
        }
    };
    let parameters = check(&function, attribute, &mut problems);
    match problems.into_error() {
        None => running(&function, &parameters, &options, attribute),
        Some(error) => {
            let errors = error.to_compile_error();
            let stand_in = stand_in(&function, attribute, item);
            quote!(#errors #stand_in)
        }
    }
}

/// The function that builds a runtime and blocks on the user's function, which stands inside it.
///
/// Nothing of the user's can change its meaning: every path starts at a crate's root; local names
/// have mixed-site spans, and are such as no `static` or unit struct has, which a pattern would
/// match instead of binding; and `block_on` is no method call, which a trait in scope for every
/// type would take. The runtime's path is written once, so that a wrong one is one error.
fn running(
    function: &Function,
    parameters: &[Parameter],
    options: &Options,
    attribute: Attribute,
) -> TokenStream {
    let Function { visibility, fn_token, name, output, .. } = function;
    let attributes = function.attributes.iter().map(|outer| &outer.tokens);
    let (names, types): (Vec<_>, Vec<_>) =
        parameters.iter().map(|parameter| (parameter.name_of_ours(), &parameter.ty)).unzip();
    let inner = inner_function(function);
    let site = Span::mixed_site();
    let test = test_attribute(attribute);
    let krate = options.krate.clone().unwrap_or_else(|| quote_spanned!(site=> ::runtime));
    let scheduler = match options.scheduler.unwrap_or(attribute.default_scheduler()) {
        Scheduler::WorkStealing => quote_spanned!(site=> WorkStealing),
        Scheduler::SingleThreaded => quote_spanned!(site=> SingleThreaded),
    };
    let workers = options.workers.iter().map(|count| quote_spanned!(site=> .workers(#count)));
    let failed = format!(
        "runtime: `{attribute}` could not start the runtime for `{name}`: {{}}\n  \
         help: check how many threads and open files this process may have (`ulimit -u -n`)"
    );
    let run = quote_spanned! {site=>
        use #krate::{
            Builder as __WindlassBuilder, Runtime as __WindlassRuntime,
            Scheduler as __WindlassScheduler,
        };
        match __WindlassBuilder::new()
            .scheduler(__WindlassScheduler::#scheduler)
            #(#workers)*
            .build()
        {
            ::core::result::Result::Ok(__windlass_runtime) => {
                __WindlassRuntime::block_on(&__windlass_runtime, #name(#(#names),*))
            }
            ::core::result::Result::Err(__windlass_error) => {
                ::core::panic!(#failed, __windlass_error)
            }
        }
    };
    quote! {
        #test
        #(#attributes)*
        #visibility #fn_token #name(#(#names: #types),*) #output {
            #inner
            #run
        }
    }
}

/// What is written when there are errors: nothing runs, but the body is checked as the body of an
/// `async fn`, and callers find the function, so that no errors follow from ours.
fn stand_in(function: &Function, attribute: Attribute, item: TokenStream) -> TokenStream {
    if parameter::split(&function.parameters).iter().any(|tokens| parameter::is_receiver(tokens)) {
        return item;
    }
    let Function { visibility, fn_token, name, generics, parameters, output, where_clause, .. } =
        function;
    // A second test attribute has had its error; left here, it would be given the stand-in.
    let attributes = function.attributes.iter().filter(|outer| !is_test(outer));
    let attributes = attributes.map(|outer| &outer.tokens);
    let inner = inner_function(function);
    let test = test_attribute(attribute);
    let signature = if must_be_bare(function, attribute) {
        quote!(#fn_token #name() { #inner })
    } else {
        quote!(#fn_token #name #generics #parameters #output #where_clause { #inner loop {} })
    };
    quote! {
        #test
        #(#attributes)*
        #[allow(unused)]
        #visibility #signature
    }
}

/// The user's function as an `async fn` of the same name, to stand inside the plain one.
fn inner_function(function: &Function) -> TokenStream {
    let Function { name, generics, parameters, output, where_clause, body, .. } = function;
    // Not the user's `async fn`: lints about functions that need not be `async` see that a macro
    // wrote this one.
    let async_fn = quote_spanned!(Span::mixed_site()=> async fn);
    quote!(#async_fn #name #generics #parameters #output #where_clause #body)
}

fn test_attribute(attribute: Attribute) -> Option<TokenStream> {
    let site = Span::mixed_site();
    (attribute == Attribute::Test).then(|| quote_spanned!(site=> #[::core::prelude::v1::test]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str) -> TokenStream {
        text.parse().expect("the test's tokens are balanced")
    }

    /// The expansion as text without spaces.
    fn expanded(attribute: Attribute, arguments: &str, item: &str) -> String {
        expand(attribute, tokens(arguments), tokens(item)).to_string().replace([' ', '\n'], "")
    }

    fn has_error(expansion: &str) -> bool {
        expansion.contains("compile_error!")
    }

    #[test]
    fn a_right_function_has_no_error_and_a_wrong_one_has() {
        for (attribute, arguments, item, wrong) in [
            (Attribute::Main, "", "async fn main() {}", false),
            (Attribute::Main, "workers = 2", "pub async fn f(a: u8) -> u8 { a }", false),
            (Attribute::Test, "", "#[should_panic] async fn f() -> u8 {}", false),
            (Attribute::Test, "", "#[other::test] async fn f() {}", false),
            (Attribute::Main, "", "async fn main(a: u8) {}", true),
            (Attribute::Main, "", "async fn f((a, b): C) {}", true),
            (Attribute::Main, "", "async fn f(&self) {}", true),
            (Attribute::Main, "", "async fn f<T>() {}", true),
            (Attribute::Main, "", "async fn f() where u8: A {}", true),
            (Attribute::Main, "", "async unsafe fn f() {}", true),
            (Attribute::Main, "", "async fn f();", true),
            (Attribute::Main, "", "fn f() {}", true),
            (Attribute::Main, "", "struct F {}", true),
            (Attribute::Test, "", "async fn f(a: u8) {}", true),
            (Attribute::Test, "", "#[test] async fn f() {}", true),
            (Attribute::Test, "", "#[std::prelude::v1::test] async fn f() {}", true),
            (Attribute::Test, "flavor = 1", "async fn f() {}", true),
        ] {
            let expansion = expanded(attribute, arguments, item);
            assert_eq!(has_error(&expansion), wrong, "{attribute} ({arguments}) {item}");
        }
    }

    #[test]
    fn the_scheduler_is_the_one_asked_for_or_the_attributes_own() {
        for (attribute, arguments, scheduler, workers) in [
            (Attribute::Main, "", "WorkStealing", None),
            (Attribute::Test, "", "SingleThreaded", None),
            (Attribute::Main, "scheduler = \"single-threaded\"", "SingleThreaded", None),
            (Attribute::Test, "scheduler = \"work-stealing\"", "WorkStealing", None),
            (Attribute::Main, "workers = 3", "WorkStealing", Some(".workers(3)")),
        ] {
            let expansion = expanded(attribute, arguments, "async fn f() {}");
            let expected = format!(".scheduler(__WindlassScheduler::{scheduler})");
            assert!(expansion.contains(&expected), "{expansion}");
            assert!(
                expansion.contains(workers.unwrap_or(&format!("{expected}.build()"))),
                "{expansion}"
            );
            assert_eq!(expansion.contains("v1::test]"), attribute == Attribute::Test);
        }
    }

    #[test]
    fn a_wrong_function_keeps_its_body_in_async_and_its_signature_for_callers() {
        let expansion = expanded(Attribute::Main, "", "#[a] pub fn f<T>(b: T) -> C { d.await }");
        let stand_in = "#[a]#[allow(unused)]pubfnf<T>(b:T)->C{\
                        asyncfnf<T>(b:T)->C{d.await}loop{}}";
        assert!(has_error(&expansion) && expansion.ends_with(stand_in), "{expansion}");

        let expansion = expanded(Attribute::Main, "", "fn main(a: B) -> C { d.await }");
        let stand_in = "#[allow(unused)]fnmain(){asyncfnmain(a:B)->C{d.await}}";
        assert!(has_error(&expansion) && expansion.ends_with(stand_in), "{expansion}");
    }
}
