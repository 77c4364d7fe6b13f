//! Random tokens, right, nearly right and wrong: whatever they are, the macro must not panic on
//! them.

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::FileFailurePersistence;

use crate::attribute::Attribute;
use crate::expansion::expand;

const WORDS: &[&str] = &[
    "async",
    "fn",
    "main",
    "unsafe",
    "extern",
    "pub",
    "crate",
    "self",
    "mut",
    "where",
    "scheduler",
    "workers",
    "flavor",
    "_",
    "r#fn",
    "struct",
    "#",
    "#",
    "!",
    "<",
    "<",
    ">",
    ">",
    "->",
    "=>",
    "::",
    ":",
    ",",
    ",",
    ";",
    "=",
    "=",
    "&",
    "'a",
    "'a'",
    "$",
    "4",
    "0",
    "1.5",
    "18446744073709551616",
    "4u8",
    "1e3",
    "\"work-stealing\"",
    "\"4\"",
    "\"single_threaded\"",
    "\"a::\"",
    "\")\"",
    "r#\"rt\"#",
    "b\"x\"",
    "c\"x\"",
    "b'x'",
    "\"\\u{e9}\"",
    "\"rt\"suffix",
    "/// doc\n",
    "\u{e9}t\u{e9}",
];

/// A piece of soup.
#[derive(Clone, Debug)]
enum Piece {
    Word(&'static str),
    /// `Delimiter::None` is the invisible one, that no text has.
    Group(Delimiter, Vec<Piece>),
}

impl Piece {
    fn put(&self, into: &mut TokenStream) {
        match self {
            Piece::Word(word) => {
                into.extend(word.parse::<TokenStream>().expect("each word is some tokens"));
            }
            Piece::Group(delimiter, inside) => {
                let mut tokens = TokenStream::new();
                inside.iter().for_each(|piece| piece.put(&mut tokens));
                into.extend([TokenTree::Group(Group::new(*delimiter, tokens))]);
            }
        }
    }
}

/// What becomes of one token of what would do.
#[derive(Clone, Debug)]
enum Edit {
    Keep,
    Replace(Vec<Piece>),
    PutBefore(Vec<Piece>),
}

/// The tokens of an argument list or of an item.
#[derive(Clone, Debug)]
enum Tokens {
    Edited(&'static str, Vec<Edit>),
    Soup(Vec<Piece>),
}

impl Tokens {
    fn stream(&self) -> TokenStream {
        let mut made = TokenStream::new();
        match self {
            Tokens::Soup(pieces) => pieces.iter().for_each(|piece| piece.put(&mut made)),
            Tokens::Edited(whole, edits) => {
                for (token, edit) in tokens_of(whole).zip(edits) {
                    if let Edit::Replace(pieces) | Edit::PutBefore(pieces) = edit {
                        pieces.iter().for_each(|piece| piece.put(&mut made));
                    }
                    if !matches!(edit, Edit::Replace(_)) {
                        made.extend([token]);
                    }
                }
            }
        }
        made
    }
}

fn tokens_of(whole: &str) -> impl Iterator<Item = TokenTree> {
    whole.parse::<TokenStream>().expect("the test's tokens are balanced").into_iter()
}

/// Up to `length` tokens that often are nearly right, in groups of which some are invisible.
fn soup(length: usize, depth: u32) -> BoxedStrategy<Vec<Piece>> {
    use Delimiter::{Brace, Bracket, None, Parenthesis};
    let word = select(WORDS).prop_map(Piece::Word);
    let piece = if depth == 0 {
        word.boxed()
    } else {
        let delimiter = select(&[Brace, Bracket, None, Parenthesis][..]);
        let group = (delimiter, soup(length, depth - 1)).prop_map(|(d, s)| Piece::Group(d, s));
        prop_oneof![3 => word, 1 => group].boxed()
    };
    vec(piece, 0..=length).boxed()
}

/// Tokens that would do, but for a few that are replaced, dropped or put in; or soup.
fn nearly(whole: &'static str, soup_of: usize) -> impl Strategy<Value = Tokens> {
    let edit = prop_oneof![
        10 => Just(Edit::Keep),
        1 => soup(2, 1).prop_map(Edit::Replace),
        1 => soup(2, 1).prop_map(Edit::PutBefore),
    ];
    let tokens = tokens_of(whole).count();
    prop_oneof![
        vec(edit, tokens).prop_map(move |edits| Tokens::Edited(whole, edits)),
        soup(soup_of, 2).prop_map(Tokens::Soup),
    ]
}

const ARGUMENTS: &str = "scheduler = \"work-stealing\", workers = 4, crate = a::b";
const ITEM: &str =
    "#[a] pub(crate) async fn f<T: A<B>>(a: u8, mut b: C<D, E>) -> F<G> where T: H { i }";

proptest! {
    // What once failed is tried first; its seed stands in a file beside this one.
    #![proptest_config(ProptestConfig {
        cases: 4_000,
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn no_tokens_make_the_macro_panic(
        attribute in select(&[Attribute::Main, Attribute::Test][..]),
        arguments in nearly(ARGUMENTS, 6),
        item in nearly(ITEM, 12),
    ) {
        let _ = expand(attribute, arguments.stream(), item.stream()).to_string();
    }
}
