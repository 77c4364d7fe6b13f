//! Random tokens, right, nearly right and wrong: whatever they are, the macro must not panic on
//! them.

use proc_macro2::{Group, TokenStream, TokenTree};

use crate::attribute::Attribute;
use crate::expansion::expand;

/// xorshift64*, for choices that a seed repeats.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let wide = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        usize::try_from(wide).expect("31 bits fit") % limit
    }

    fn pick<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len())]
    }
}

/// Up to `length` tokens that often are nearly right, in groups of which some are invisible.
fn soup(random: &mut Random, length: usize, depth: usize) -> TokenStream {
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
        "0b2",
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
    let mut made = TokenStream::new();
    for _ in 0..random.below(length + 1) {
        if depth > 0 && random.below(4) == 0 {
            use proc_macro2::Delimiter::{Brace, Bracket, None, Parenthesis};
            let delimiter = [Brace, Bracket, None, Parenthesis][random.below(4)];
            let inside = soup(random, length, depth - 1);
            made.extend([TokenTree::Group(Group::new(delimiter, inside))]);
        } else if let Ok(word) = random.pick(WORDS).parse::<TokenStream>() {
            made.extend(word);
        }
    }
    made
}

/// A function that would do, but for a few tokens that are dropped or put in.
fn nearly(random: &mut Random, whole: &str) -> TokenStream {
    let mut made = TokenStream::new();
    for token in whole.parse::<TokenStream>().expect("the test's tokens are balanced") {
        match random.below(12) {
            0 => {}
            1 => made.extend(soup(random, 2, 1).into_iter().chain([token])),
            _ => made.extend([token]),
        }
    }
    made
}

#[test]
fn no_tokens_make_the_macro_panic() {
    for seed in 1..=4000 {
        let mut random = Random(seed);
        let arguments = if seed % 2 == 0 {
            soup(&mut random, 6, 1)
        } else {
            nearly(&mut random, "scheduler = \"work-stealing\", workers = 4, crate = a::b")
        };
        let item = if seed % 3 == 0 {
            soup(&mut random, 12, 2)
        } else {
            nearly(
                &mut random,
                "#[a] pub(crate) async fn f<T: A<B>>(a: u8, mut b: C<D, E>) -> F<G> \
                 where T: H { i }",
            )
        };
        let attribute = [Attribute::Main, Attribute::Test][random.below(2)];
        let shown = format!("seed {seed}: {attribute} ({arguments}) {item}");
        let result = std::panic::catch_unwind(|| {
            expand(attribute, arguments, item).to_string().contains("compile_error")
        });
        assert!(result.is_ok(), "panicked; {shown}");
    }
}
