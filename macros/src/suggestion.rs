//! What a misspelt name was probably meant to be.

/// The candidate that a typing error would turn into `given`, if there is one.
///
/// Compares without regard to case and to `_` against `-`, and allows one edit in three characters.
pub(crate) fn closest<'a>(given: &str, candidates: &[&'a str]) -> Option<&'a str> {
    let given = normalized(given);
    candidates
        .iter()
        .map(|candidate| (edit_distance(&given, &normalized(candidate)), *candidate))
        .filter(|(distance, candidate)| *distance <= candidate.chars().count() / 3)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

fn normalized(name: &str) -> String {
    name.to_lowercase().replace('_', "-")
}

/// Insertions, deletions and replacements of one character that turn `from` into `to`
/// (Levenshtein), with one row of the table kept.
fn edit_distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (removed, from_char) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = removed + 1;
        for (index, to_char) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(from_char != *to_char);
            diagonal = row[index + 1];
            row[index + 1] = replaced.min(row[index] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edit_distance_counts_single_character_edits() {
        for (from, to, distance) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("kitten", "sitting", 3),
            ("workers", "worker", 1),
            ("wrokers", "workers", 2),
        ] {
            assert_eq!(edit_distance(from, to), distance, "{from:?} to {to:?}");
            assert_eq!(edit_distance(to, from), distance, "{to:?} to {from:?}");
        }
    }

    #[test]
    fn a_typing_error_is_recognised_and_another_word_is_not() {
        let candidates = ["scheduler", "workers", "crate"];
        assert_eq!(closest("worker", &candidates), Some("workers"));
        assert_eq!(closest("wrokers", &candidates), Some("workers"));
        assert_eq!(closest("Scheduller", &candidates), Some("scheduler"));
        assert_eq!(closest("crates", &candidates), Some("crate"));
        assert_eq!(closest("threads", &candidates), None);
        assert_eq!(closest("", &candidates), None);
        assert_eq!(closest("SINGLE_THREADED", &["single-threaded"]), Some("single-threaded"));
    }
}
