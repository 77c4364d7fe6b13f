//! One argument of the function, as far as it must be understood to be passed on.

use proc_macro2::{Delimiter, Group, Ident, Spacing, Span, TokenStream, TokenTree};

/// A parameter that can be passed on by its name: `name: Type` or `mut name: Type`.
pub(crate) struct Parameter {
    pub(crate) name: Ident,
    /// The tokens after the colon.
    pub(crate) ty: TokenStream,
}

impl Parameter {
    /// Reads one parameter; `None` for any other pattern, for an attribute on it and for `self`.
    pub(crate) fn parse(tokens: &[TokenTree]) -> Option<Parameter> {
        let tokens = match tokens {
            [TokenTree::Ident(first), rest @ ..] if first == "mut" => rest,
            _ => tokens,
        };
        let [TokenTree::Ident(name), TokenTree::Punct(colon), ty @ ..] = tokens else {
            return None;
        };
        // `x:&str` is joint as well.
        let is_path = colon.spacing() == Spacing::Joint
            && matches!(ty.first(), Some(TokenTree::Punct(second)) if second.as_char() == ':');
        if colon.as_char() != ':' || is_path || ty.is_empty() || name == "_" || name == "self" {
            return None;
        }
        Some(Parameter { name: name.clone(), ty: ty.iter().cloned().collect() })
    }
}

impl Parameter {
    /// The name under which the outer function knows the argument: the user's to read, but with the
    /// macro's hygiene, so that lints about how it is used see that a macro wrote the use.
    pub(crate) fn name_of_ours(&self) -> Ident {
        let mut name = self.name.clone();
        name.set_span(Span::mixed_site().located_at(name.span()));
        name
    }
}

/// The parameters between the parentheses, each as its tokens.
pub(crate) fn split(parameters: &Group) -> Vec<Vec<TokenTree>> {
    let mut split = Vec::new();
    let mut current = Vec::new();
    let mut angles = Angles::default();
    for token in parameters.stream() {
        let is_outside = angles.is_outside();
        angles.step(&token);
        match &token {
            TokenTree::Punct(punct) if punct.as_char() == ',' && is_outside => {
                split.push(std::mem::take(&mut current));
            }
            _ => current.push(token),
        }
    }
    if !current.is_empty() {
        split.push(current);
    }
    split
}

/// Whether a parameter is `self` in any of its forms (`&'a mut self`, `self: Pin<&mut Self>`).
pub(crate) fn is_receiver(tokens: &[TokenTree]) -> bool {
    let before_type = tokens.split(|token| is_punct(token, ':')).next().unwrap_or_default();
    before_type.iter().any(|token| match token {
        TokenTree::Ident(ident) => ident == "self",
        // What a declarative macro passed on.
        TokenTree::Group(group) if group.delimiter() == Delimiter::None => {
            is_receiver(&group.stream().into_iter().collect::<Vec<_>>())
        }
        _ => false,
    })
}

pub(crate) fn is_punct(token: &TokenTree, wanted: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == wanted)
}

/// How deep in `<..>` a place in the tokens of a type or of generics is. Parentheses, brackets and
/// braces need no counting: they are groups already.
#[derive(Default)]
pub(crate) struct Angles {
    depth: usize,
    /// The last token was the `-` of `->`, whose `>` closes nothing.
    after_minus: bool,
}

impl Angles {
    pub(crate) fn is_outside(&self) -> bool {
        self.depth == 0
    }

    pub(crate) fn step(&mut self, token: &TokenTree) {
        let TokenTree::Punct(punct) = token else {
            self.after_minus = false;
            return;
        };
        match punct.as_char() {
            '<' => self.depth += 1,
            '>' if !self.after_minus => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        self.after_minus = punct.as_char() == '-' && punct.spacing() == Spacing::Joint;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(parameters: &str) -> Vec<Option<(String, String)>> {
        let stream: TokenStream = parameters.parse().expect("the test's tokens are balanced");
        split(&Group::new(Delimiter::Parenthesis, stream))
            .iter()
            .map(|tokens| Parameter::parse(tokens))
            .map(|parameter| parameter.map(|p| (p.name.to_string(), p.ty.to_string())))
            .collect()
    }

    fn plain(name: &str, ty: &str) -> Option<(String, String)> {
        Some((name.to_string(), ty.parse::<TokenStream>().expect("balanced").to_string()))
    }

    #[test]
    fn commas_inside_a_type_do_not_separate_parameters() {
        assert_eq!(
            parsed("a: HashMap<u8, Vec<u8>>, mut b: fn(u8, u8) -> Foo<u8, u8>, c: (u8, u8),"),
            [
                plain("a", "HashMap<u8, Vec<u8>>"),
                plain("b", "fn(u8, u8) -> Foo<u8, u8>"),
                plain("c", "(u8, u8)"),
            ]
        );
    }

    #[test]
    fn a_type_may_follow_the_colon_at_once() {
        assert_eq!(parsed("a:&str, b:*const u8"), [plain("a", "&str"), plain("b", "*const u8")]);
        assert_eq!(parsed("a::B"), [None]);
    }

    #[test]
    fn what_has_no_name_to_pass_on_is_not_a_plain_parameter() {
        assert_eq!(
            parsed("_: u8, (a, b): (u8, u8), #[cfg(x)] c: u8, self, &self, d::E: d::E, f"),
            [None, None, None, None, None, None, None]
        );
        assert_eq!(parsed(""), []);
    }

    #[test]
    fn self_is_a_receiver_in_all_its_forms_and_its_namesakes_are_not() {
        for (tokens, receiver) in [
            ("self", true),
            ("mut self", true),
            ("&'a mut self", true),
            ("self: Pin<&mut Self>", true),
            ("other: &Self", false),
            ("other: self::Other", false),
        ] {
            let stream: TokenStream = tokens.parse().expect("the test's tokens are balanced");
            let tokens_of: Vec<TokenTree> = stream.into_iter().collect();
            assert_eq!(is_receiver(&tokens_of), receiver, "{tokens}");
        }
    }
}
