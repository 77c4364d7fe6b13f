//! A picture of groups of bars, as SVG without any library.
//!
//! It has a page of its own behind it, in the colours that the reader's system prefers, so that it can be
//! read on any page. The same groups give the same bytes.

use crate::runtimes::RuntimeName;
use std::fmt::Write as _;

const BAR: usize = 14;
const GAP: usize = 12;
const HEAD: usize = 46;
const FOOT: usize = 14;
const LEFT: usize = 200;
/// Of a bar that is as long as can be.
const BARS: usize = 480;
/// Behind it, for its text.
const RIGHT: usize = 190;

/// Light, and dark where the reader prefers that. The bars are of middle tones, for both.
const STYLE: &str = "<style>text{fill:#24292f}.page{fill:#fff}.line{stroke:#8b949e}\
    @media(prefers-color-scheme:dark){text{fill:#d0d7de}.page{fill:#0d1117}}</style>";

/// One bar.
pub(super) struct Bar {
    pub(super) runtime: RuntimeName,
    /// Of the full length; what is above 1 is cut off, and the text says it.
    pub(super) length: f64,
    pub(super) text: String,
}

/// The bars of one workload.
pub(super) struct Group {
    pub(super) name: String,
    pub(super) bars: Vec<Bar>,
}

/// What stands around the bars.
pub(super) struct Page<'a> {
    pub(super) title: &'a str,
    /// Units, and how to read it.
    pub(super) caption: &'a str,
    /// Where a dashed line goes, of the full length.
    pub(super) line: Option<f64>,
    /// What it was measured on, and when.
    pub(super) foot: Vec<&'a str>,
}

/// Draws `groups` below each other.
pub(super) fn draw(page: &Page<'_>, groups: &[Group]) -> String {
    let bars: usize = groups.iter().map(|group| group.bars.len()).sum();
    let end = HEAD + bars * BAR + groups.len() * GAP;
    let (width, height) = (LEFT + BARS + RIGHT, end + (page.foot.len() + 1) * FOOT);
    let title = escape(page.title);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         height=\"{height}\" font-family=\"sans-serif\" font-size=\"11\" role=\"img\">\n\
         <title>{title}</title>\n{STYLE}\n\
         <rect class=\"page\" width=\"{width}\" height=\"{height}\" rx=\"6\"/>\n\
         <text x=\"12\" y=\"20\" font-size=\"14\" font-weight=\"bold\">{title}</text>\n\
         <text x=\"12\" y=\"36\">{}</text>\n",
        escape(page.caption)
    );
    if let Some(line) = page.line {
        let x = LEFT as f64 + line * BARS as f64;
        let _ = writeln!(
            svg,
            "<line class=\"line\" x1=\"{x}\" y1=\"{HEAD}\" x2=\"{x}\" y2=\"{end}\" stroke-dasharray=\"3 3\"/>"
        );
    }
    let mut y = HEAD + GAP / 2;
    for group in groups {
        draw_group(&mut svg, group, y);
        y += group.bars.len() * BAR + GAP;
    }
    for (number, line) in page.foot.iter().enumerate() {
        let y = end + (number + 1) * FOOT;
        let _ = writeln!(svg, "<text x=\"12\" y=\"{y}\" font-size=\"10\">{}</text>", escape(line));
    }
    svg.push_str("</svg>\n");
    svg
}

fn draw_group(svg: &mut String, group: &Group, top: usize) {
    let (x, middle) = (LEFT - 8, top + group.bars.len() * BAR / 2 + 4);
    let name = escape(&group.name);
    let _ = writeln!(svg, "<text x=\"{x}\" y=\"{middle}\" text-anchor=\"end\">{name}</text>");
    for (number, Bar { runtime, length, text }) in group.bars.iter().enumerate() {
        let y = top + number * BAR;
        let length = length.clamp(0.0, 1.0) * BARS as f64;
        let weight = if runtime.is_ours() { " font-weight=\"bold\"" } else { "" };
        let _ = writeln!(
            svg,
            "<rect x=\"{LEFT}\" y=\"{y}\" width=\"{length:.1}\" height=\"{}\" fill=\"{}\"/>\
             <text x=\"{:.1}\" y=\"{}\"{weight}>{runtime} {}</text>",
            BAR - 2,
            colour(*runtime),
            LEFT as f64 + length + 4.0,
            y + BAR - 4,
            escape(text),
        );
    }
}

/// Ours stands out; a family has one colour.
fn colour(runtime: RuntimeName) -> &'static str {
    match runtime {
        RuntimeName::WindlassWs | RuntimeName::WindlassSt => "#d1495b",
        RuntimeName::TokioMt | RuntimeName::TokioCt => "#7d8597",
        RuntimeName::SmolMt | RuntimeName::SmolLocal => "#7a9e5a",
        RuntimeName::NioMt | RuntimeName::NioPin | RuntimeName::NioCt => "#4f9fc8",
        RuntimeName::Monoio => "#c99a2e",
        RuntimeName::Compio => "#a06cc4",
        RuntimeName::RawEpoll | RuntimeName::Threads => "#a5a5a5",
    }
}

/// What XML would take for markup.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(lengths: &[f64]) -> Group {
        let bar = |length: &f64| {
            let text = format!("{length:.2}x");
            Bar { runtime: RuntimeName::SmolLocal, length: *length, text }
        };
        Group { name: "a < b".to_owned(), bars: lengths.iter().map(bar).collect() }
    }

    const PAGE: Page<'_> =
        Page { title: "t & u", caption: "ns", line: Some(0.5), foot: Vec::new() };

    #[test]
    fn a_long_bar_is_cut_and_keeps_its_figure() {
        let svg = draw(&PAGE, &[group(&[0.5, 90.0])]);
        assert!(svg.contains("width=\"240.0\""), "{svg}");
        assert!(svg.contains("width=\"480.0\""), "{svg}");
        assert!(svg.contains("smol-local 90.00x"), "{svg}");
    }

    #[test]
    fn names_are_no_markup() {
        let svg = draw(&PAGE, &[group(&[0.5])]);
        assert!(svg.contains("<title>t &amp; u</title>"), "{svg}");
        assert!(svg.contains(">a &lt; b</text>"), "{svg}");
    }

    /// Elements that nothing closes, and texts outside the picture, are drawn by nobody.
    #[test]
    fn everything_lies_in_the_picture() {
        let page = Page { foot: vec!["one machine", "another"], ..PAGE };
        let svg = draw(&page, &[group(&[0.1, 0.2]), group(&[1.0])]);
        let number = |text: &str, name: &str| -> Option<f64> {
            text.split_once(&format!(" {name}=\""))?.1.split('"').next()?.parse().ok()
        };
        let first = svg.lines().next().expect("it has lines");
        let height = number(first, "height").expect("the picture's");
        for element in svg.split('<').filter(|element| element.starts_with(['t', 'r', 'l'])) {
            let bottom =
                number(element, "y").unwrap_or(0.0) + number(element, "height").unwrap_or(4.0);
            assert!(bottom <= height, "{element} ends at {bottom} of {height}");
        }
        let opened = svg.matches("<text").count();
        assert_eq!(opened, svg.matches("</text>").count());
        assert_eq!(opened, 2 + 2 + 3 + 2, "head, names, bars, foot: {svg}");
    }
}
