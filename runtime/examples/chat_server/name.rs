//! What people and rooms may be called.

/// The longest name, in characters.
const LONGEST: usize = 20;

/// A name as it may be used, or why it may not.
///
/// Names are told apart by their letters as they are: `Ann` and `ann` are two people.
///
/// # Errors
/// With a sentence for whoever chose it.
pub(crate) fn check(name: &str) -> Result<&str, &'static str> {
    let is_ordinary = |char: char| char.is_alphanumeric() || matches!(char, '-' | '_');
    if name.is_empty() || name.chars().count() > LONGEST {
        Err("a name has 1 to 20 characters")
    } else if !name.chars().all(is_ordinary) {
        Err("a name consists of letters, digits, `-` and `_`")
    } else {
        Ok(name)
    }
}

/// A line as it came, made fit for other people's terminals: a control character could clear them,
/// or write lines that look as if somebody else had said them.
pub(crate) fn printable(line: &[u8]) -> String {
    let line = String::from_utf8_lossy(line);
    let is_harmless = |char: &char| !char.is_control();
    line.trim().chars().filter(is_harmless).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_short_and_has_no_spaces() {
        for name in ["a", "Zoë-7_", &"x".repeat(20), "名前"] {
            assert_eq!(check(name), Ok(name));
        }
        for name in ["", "a b", "a\u{202e}b", "<a>", "*", &"x".repeat(21)] {
            assert!(check(name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_line_cannot_move_the_cursor() {
        assert_eq!(printable(b" hi \x1b[2J\x07\r<ann> no\xff\r\n"), "hi [2J<ann> no\u{fffd}");
    }
}
