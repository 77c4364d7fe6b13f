//! The listings of the pages "coming from" are what the programs say, line by line.
//!
//! A listing that has `<!-- from path -->` above it is a piece of that file.

use std::fs;
use std::path::{Path, PathBuf};

use windlass_tests::watch;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("it is in the workspace").to_owned()
}

/// The listings of a page that name their file: that, and the lines without their indentation.
fn listings(page: &str) -> Vec<(&str, Vec<&str>)> {
    let mut found = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(path) = line.strip_prefix("<!-- from ") else { continue };
        let path = path.strip_suffix(" -->").expect("the comment ends on its line");
        let fence = lines.next().unwrap_or_default();
        assert!(fence.starts_with("```"), "no listing follows `{line}`");
        let listing = lines.by_ref().take_while(|line| *line != "```");
        // What only makes a piece compile is not in the file; see `tests/src/listings.rs`.
        let is_hidden = |line: &&str| fence.starts_with("```rust") && line.starts_with("# ");
        found.push((path, listing.filter(|line| !is_hidden(line)).map(str::trim).collect()));
    }
    found
}

#[test]
fn every_listing_is_a_piece_of_its_file() {
    let _watchdog = watch();
    let root = root();
    let mut count = 0;
    for page in fs::read_dir(root.join("docs/src/coming-from")).expect("the pages are there") {
        let page = page.expect("the folder can be read").path();
        let text = fs::read_to_string(&page).expect("a page is text");
        for (path, listing) in listings(&text) {
            let file = fs::read_to_string(root.join(path))
                .unwrap_or_else(|error| panic!("{}: {path}: {error}", page.display()));
            let lines: Vec<&str> = file.lines().map(str::trim).collect();
            assert!(
                lines.windows(listing.len()).any(|piece| piece == listing),
                "{}: this is not in {path}:\n{}",
                page.display(),
                listing.join("\n")
            );
            count += 1;
        }
    }
    assert!(count >= 15, "only {count} listings were found");
}
