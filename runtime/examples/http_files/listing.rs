//! The page that shows what is in a folder.

use std::fmt::Write;
use std::fs::File;
use std::io;

use rustix::fs::{Dir, FileType};

use crate::target::encode;

/// More names than anybody reads, and the most that one page costs: some 2 MiB.
const MOST: usize = 10_000;

/// Makes the page of a folder. Reads the disk: for a blocking thread.
pub(crate) fn page(folder: &File, title: &str) -> io::Result<String> {
    let mut entries = Vec::new();
    let mut is_cut = false;
    // Not `read_dir`, which takes a path: this is the very folder that was opened.
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name.starts_with(b".") {
            continue;
        }
        if entries.len() == MOST {
            is_cut = true;
            break;
        }
        entries.push((entry.file_type() != FileType::Directory, name.to_vec()));
    }
    entries.sort_unstable();

    let title = escape(title);
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>{title}</title>\n<h1>{title}</h1>\n<ul>\n"
    );
    if title != "/" {
        page.push_str("<li><a href=\"../\">../</a>\n");
    }
    for (is_file, name) in entries {
        let slash = if is_file { "" } else { "/" };
        let text = escape(&String::from_utf8_lossy(&name));
        // The dot keeps a name with a colon from being taken for a scheme.
        writeln!(page, "<li><a href=\"./{}{slash}\">{text}{slash}</a>", encode(&name))
            .expect("a string takes everything");
    }
    page.push_str(if is_cut { "</ul>\n<p>There is more.\n" } else { "</ul>\n" });
    Ok(page)
}

/// Text as it must be written in HTML, in attributes too.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}
