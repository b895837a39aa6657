//! A page for a browser: both module trees side by side, the findings, filters and a search. One file that asks the network for
//! nothing.
//!
//! The page is made of the files in `html/`. What it shows is data in `<script type="application/json">` elements, one a
//! subject, which are read only when the subject is looked at; the tree is built from rows that are on the screen.

use std::io::{self, Write};

use super::subject::Subject;

mod keys;
mod wire;

pub use keys::{of_file, of_report};

const PAGE: &str = include_str!("html/page.html");
const STYLE: &str = concat!(include_str!("html/base.css"), include_str!("html/tree.css"));
/// In the order in which they use each other.
const SCRIPT: &str = concat!(
    include_str!("html/dom.js"),
    include_str!("html/data.js"),
    include_str!("html/tree.js"),
    include_str!("html/rows.js"),
    include_str!("html/grid.js"),
    include_str!("html/detail.js"),
    include_str!("html/summary.js"),
    include_str!("html/view.js"),
    include_str!("html/main.js"),
);

/// Writes the page of all subjects.
///
/// # Errors
/// What the writer reports.
pub fn write(subjects: &[Subject], out: &mut dyn Write) -> io::Result<()> {
    let title = match subjects {
        [one] => format!("{} · ckdiff", one.title()),
        many => format!("ckdiff: {}", super::style::plural(many.len(), "subject")),
    };
    let mut rest = PAGE;
    // The template is cut at its marks once, so that nothing in a name can be taken for a mark.
    while let Some((before, after)) = rest.split_once("{{") {
        out.write_all(before.as_bytes())?;
        let (mark, after) = after.split_once("}}").unwrap_or((after, ""));
        match mark {
            "title" => out.write_all(text(&title).as_bytes())?,
            "style" => out.write_all(STYLE.as_bytes())?,
            "script" => out.write_all(SCRIPT.as_bytes())?,
            "version" => out.write_all(env!("CARGO_PKG_VERSION").as_bytes())?,
            "data" => data(subjects, out)?,
            _ => {}
        }
        rest = after;
    }
    out.write_all(rest.as_bytes())
}

/// The data of each subject, and before them what the list of subjects needs.
fn data(subjects: &[Subject], out: &mut dyn Write) -> io::Result<()> {
    let list: Vec<wire::Line> = subjects.iter().map(wire::Line::of).collect();
    script("data-list", &serde_json::to_string(&list)?, out)?;
    for (i, subject) in subjects.iter().enumerate() {
        script(&format!("data-{i}"), &serde_json::to_string(&wire::Whole::of(subject))?, out)?;
        if let Some(keys) = &subject.keys {
            script(&format!("keys-{i}"), keys, out)?;
        }
    }
    Ok(())
}

/// A JSON text as an element that runs nothing.
///
/// In JSON a `<` stands within strings only, where it may as well be written as an escape; without it nothing in a name can end the
/// element or begin a comment.
fn script(id: &str, json: &str, out: &mut dyn Write) -> io::Result<()> {
    write!(out, "<script type=\"application/json\" id=\"{id}\">")?;
    for (i, part) in json.split('<').enumerate() {
        out.write_all(if i == 0 { b"" } else { b"\\u003c" })?;
        out.write_all(part.as_bytes())?;
    }
    out.write_all(b"</script>\n")
}

/// Text of an element.
fn text(text: &str) -> String {
    let escaped = crate::checkpoint::escaped(text);
    escaped.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests;
