//! The function below the attribute, taken apart.

use proc_macro2::{Delimiter, Group, Ident, Span, TokenStream, TokenTree};
use quote::quote;
use syn::Error;

use crate::attribute::Attribute;
use crate::parameter::{Angles, is_punct};

/// A free function, cut into the pieces that the expansion moves about.
///
/// syn's `ItemFn` would need its `full` feature, three quarters of its build time. None is needed
/// to tell the pieces apart: an item's body is its last token tree, its arguments are the first
/// parentheses after the name and the generics, and everything else is copied unread.
pub(crate) struct Function {
    pub(crate) attributes: Vec<OuterAttribute>,
    pub(crate) visibility: TokenStream,
    pub(crate) asyncness: Option<Ident>,
    /// `const`, `unsafe`, `extern` or the like.
    pub(crate) other_qualifiers: Vec<Ident>,
    pub(crate) fn_token: Ident,
    pub(crate) name: Ident,
    /// `<..>`, or nothing.
    pub(crate) generics: TokenStream,
    pub(crate) parameters: Group,
    /// `-> Type`, or nothing.
    pub(crate) output: TokenStream,
    /// `where ..`, or nothing.
    pub(crate) where_clause: TokenStream,
    /// Braces; made up where there is a `;` instead.
    pub(crate) body: Group,
    pub(crate) has_body: bool,
}

/// `#[path ..]` above the function, doc comments included.
pub(crate) struct OuterAttribute {
    pub(crate) tokens: TokenStream,
    pub(crate) path: TokenStream,
}

impl OuterAttribute {
    /// The path without spaces: `test`, `::core::prelude::v1::test`.
    pub(crate) fn path(&self) -> String {
        self.path.clone().into_iter().map(|token| token.to_string()).collect()
    }
}

impl Function {
    /// Takes the item apart; an error if it is not a function.
    pub(crate) fn parse(item: TokenStream, attribute: Attribute) -> Result<Function, Error> {
        let mut rest = Remaining::new(item);
        let mut attributes = Vec::new();
        while let Some(outer) = rest.take_attribute() {
            attributes.push(outer);
        }
        let visibility = rest.take_visibility();

        let mut asyncness = None;
        let mut other_qualifiers = Vec::new();
        let fn_token = loop {
            match rest.next() {
                Some(TokenTree::Ident(ident)) if ident == "fn" => break ident,
                Some(TokenTree::Ident(ident)) if ident == "async" => asyncness = Some(ident),
                Some(TokenTree::Ident(ident))
                    if ["const", "unsafe", "safe", "extern", "gen"].iter().any(|q| ident == q) =>
                {
                    other_qualifiers.push(ident);
                }
                // The ABI of `extern "C"`.
                Some(TokenTree::Literal(_)) if !other_qualifiers.is_empty() => {}
                other => return Err(not_a_function(other, attribute)),
            }
        };
        let name = match rest.next() {
            Some(TokenTree::Ident(name)) => name,
            other => return Err(not_a_function(other, attribute)),
        };
        let generics = rest.take_generics();
        let parameters = match rest.next() {
            Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Parenthesis => group,
            other => return Err(not_a_function(other, attribute)),
        };
        let (body, has_body) = match rest.take_body() {
            Some(body) => (body, true),
            None if rest.tokens.first().is_some_and(|token| is_punct(token, ';')) => {
                rest.tokens.remove(0);
                // Of whatever type the function returns.
                (Group::new(Delimiter::Brace, quote!(loop {})), false)
            }
            None => return Err(not_a_function(None, attribute)),
        };
        let mut before_body = rest.tokens.into_iter().rev().peekable();
        let is_where = |token: &TokenTree| matches!(token, TokenTree::Ident(i) if i == "where");
        let mut output = TokenStream::new();
        while let Some(token) = before_body.next_if(|token| !is_where(token)) {
            output.extend([token]);
        }
        Ok(Function {
            attributes,
            visibility,
            asyncness,
            other_qualifiers,
            fn_token,
            name,
            generics,
            parameters,
            output,
            where_clause: before_body.collect(),
            body,
            has_body,
        })
    }
}

fn not_a_function(found: Option<TokenTree>, attribute: Attribute) -> Error {
    let span = found.map_or_else(Span::call_site, |token| token.span());
    let message = format!(
        "`{attribute}` belongs on an `async fn`, but this is not one\n  \
         help: move the attribute to the function that is to run"
    );
    Error::new(span, message)
}

/// The tokens not yet taken, the next one last.
///
/// A declarative macro hands on what it captured in invisible groups (`$vis async fn $name()
/// $body`). The pieces that are looked at here are never types or expressions, so their groups can
/// be opened without changing what the tokens mean; the groups of return types are left alone.
struct Remaining {
    tokens: Vec<TokenTree>,
}

impl Remaining {
    fn new(tokens: TokenStream) -> Remaining {
        let mut tokens: Vec<TokenTree> = tokens.into_iter().collect();
        tokens.reverse();
        Remaining { tokens }
    }

    /// Opens the invisible groups that stand next.
    fn open(&mut self) {
        while let Some(TokenTree::Group(group)) = self.tokens.last() {
            if group.delimiter() != Delimiter::None {
                break;
            }
            let inside = Remaining::new(group.stream());
            self.tokens.pop();
            self.tokens.extend(inside.tokens);
        }
    }

    fn peek(&mut self) -> Option<&TokenTree> {
        self.open();
        self.tokens.last()
    }

    fn next(&mut self) -> Option<TokenTree> {
        self.open();
        self.tokens.pop()
    }

    fn next_if(&mut self, wanted: impl Fn(&TokenTree) -> bool) -> Option<TokenTree> {
        if self.peek().is_some_and(wanted) { self.tokens.pop() } else { None }
    }

    fn take_attribute(&mut self) -> Option<OuterAttribute> {
        let hash = self.next_if(|token| is_punct(token, '#'))?;
        let Some(brackets) = self.next_if(|token| is_group(token, Delimiter::Bracket)) else {
            self.tokens.push(hash);
            return None;
        };
        let TokenTree::Group(group) = &brackets else { unreachable!("brackets are a group") };
        let mut inside = Remaining::new(group.stream());
        let is_path =
            |token: &TokenTree| matches!(token, TokenTree::Ident(_)) || is_punct(token, ':');
        let mut path = TokenStream::new();
        while let Some(token) = inside.next_if(is_path) {
            path.extend([token]);
        }
        Some(OuterAttribute { tokens: [hash, brackets].into_iter().collect(), path })
    }

    /// `pub`, `pub(..)` or nothing.
    fn take_visibility(&mut self) -> TokenStream {
        let is_pub = |token: &TokenTree| matches!(token, TokenTree::Ident(i) if i == "pub");
        let Some(public) = self.next_if(is_pub) else {
            return TokenStream::new();
        };
        let restriction = self.next_if(|token| is_group(token, Delimiter::Parenthesis));
        [public].into_iter().chain(restriction).collect()
    }

    /// `<..>` up to its closing bracket, or nothing.
    fn take_generics(&mut self) -> TokenStream {
        let mut taken = TokenStream::new();
        let mut angles = Angles::default();
        while let Some(token) = self.peek().cloned() {
            if angles.is_outside() && (!taken.is_empty() || !is_punct(&token, '<')) {
                break;
            }
            angles.step(&token);
            taken.extend(self.next());
        }
        taken
    }

    /// The braces at the very end.
    fn take_body(&mut self) -> Option<Group> {
        let mut last = self.tokens.first()?.clone();
        loop {
            match last {
                TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => {
                    self.tokens.remove(0);
                    return Some(group);
                }
                TokenTree::Group(group) if group.delimiter() == Delimiter::None => {
                    last = group.stream().into_iter().last()?;
                }
                _ => return None,
            }
        }
    }
}

fn is_group(token: &TokenTree, delimiter: Delimiter) -> bool {
    matches!(token, TokenTree::Group(group) if group.delimiter() == delimiter)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(item: &str) -> Result<Function, Error> {
        Function::parse(item.parse().expect("the test's tokens are balanced"), Attribute::Main)
    }

    fn text(tokens: &TokenStream) -> String {
        tokens.to_string().replace(' ', "")
    }

    fn invisible(tokens: &str) -> TokenTree {
        let stream = tokens.parse().expect("the test's tokens are balanced");
        TokenTree::Group(Group::new(Delimiter::None, stream))
    }

    #[test]
    fn every_piece_of_a_signature_is_found() {
        let function = parse(
            "/// Doc\n #[cfg(a)] #[x::y = 1] pub(in crate::a) async unsafe extern \"C\" fn \
             name<'a, F: Fn(u8) -> Vec<u8>>(a: A<B, C>) -> Result<[u8; 2], Foo<{ 1 }>> \
             where F: Send { body }",
        )
        .expect("it is a function");
        let paths: Vec<_> = function.attributes.iter().map(OuterAttribute::path).collect();
        assert_eq!(paths, ["doc", "cfg", "x::y"]);
        assert_eq!(text(&function.visibility), "pub(incrate::a)");
        assert!(function.asyncness.is_some());
        assert_eq!(function.other_qualifiers.len(), 2);
        assert_eq!(function.name, "name");
        assert_eq!(text(&function.generics), "<'a,F:Fn(u8)->Vec<u8>>");
        assert_eq!(text(&function.parameters.stream()), "a:A<B,C>");
        assert_eq!(text(&function.output), "->Result<[u8;2],Foo<{1}>>");
        assert_eq!(text(&function.where_clause), "whereF:Send");
        assert_eq!(text(&function.body.stream()), "body");
    }

    #[test]
    fn the_smallest_function_has_empty_pieces() {
        let function = parse("fn f() {}").expect("it is a function");
        assert!(function.attributes.is_empty() && function.visibility.is_empty());
        assert!(function.asyncness.is_none() && function.other_qualifiers.is_empty());
        assert!(function.generics.is_empty() && function.output.is_empty());
        assert!(function.where_clause.is_empty() && function.body.stream().is_empty());
    }

    #[test]
    fn a_missing_body_is_made_up() {
        let function = parse("async fn f() -> u8;").expect("it is a function");
        assert!(!function.has_body);
        assert_eq!(text(&function.output), "->u8");
        assert!(parse("fn f() {}").expect("it is a function").has_body);
    }

    #[test]
    fn what_a_declarative_macro_passed_on_is_read_through() {
        let item: TokenStream = [
            invisible(""),
            invisible("#[cfg(a)]"),
            invisible("pub(crate)"),
            invisible("async"),
            invisible("fn name"),
        ]
        .into_iter()
        .chain("() -> ".parse::<TokenStream>().expect("balanced"))
        .chain([invisible("dyn A + B"), invisible("{ body }")])
        .collect();
        let whole = TokenStream::from(TokenTree::Group(Group::new(Delimiter::None, item)));
        let function = Function::parse(whole, Attribute::Main).expect("it is a function");
        assert_eq!(function.attributes.len(), 1);
        assert_eq!(text(&function.visibility), "pub(crate)");
        assert!(function.asyncness.is_some());
        assert_eq!(function.name, "name");
        assert_eq!(text(&function.body.stream()), "body");
        let groups = function.output.into_iter().filter(|t| is_group(t, Delimiter::None)).count();
        assert_eq!(groups, 1, "the group keeps `dyn A + B` together");
    }

    #[test]
    fn what_is_not_a_function_is_an_error() {
        for item in [
            "",
            "struct X;",
            "fn",
            "fn 1() {}",
            "fn f",
            "fn f<T",
            "fn f[] {}",
            "fn f() -> u8",
            "mod fn_ {}",
            "#",
            "# async fn f() {}",
            "pub",
            "async { }",
        ] {
            assert!(parse(item).is_err(), "{item:?}");
        }
    }
}
