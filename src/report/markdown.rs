//! A summary for a comment on a pull request: a short table, and the details folded below it.

use std::io::{self, Write};

use super::style::{count, plural};
use super::subject::{Item, Judged, Outcome, Subject};
use crate::checkpoint::escaped;
use crate::codes;
use crate::explain::Severity;

/// GitHub refuses a comment of more than 65,536 characters; what surrounds the summary needs some of them.
const MOST: usize = 60_000;
/// Rows of the table of subjects.
const SUBJECTS: usize = 100;
/// Findings listed for one subject.
const FINDINGS: usize = 50;
/// Renames, and drops, listed for one subject.
const RULES: usize = 20;
/// Characters of one cell.
const CELL: usize = 600;
/// By this a later run finds its own comment, to write it anew instead of adding another.
const MARK: &str = "<!-- ckdiff -->";

/// Writes the summary of all subjects.
///
/// # Errors
/// What the writer reports.
pub fn write(subjects: &[Subject], out: &mut dyn Write) -> io::Result<()> {
    let mut text = format!("{MARK}\n### ckdiff: {}\n\n", headline(subjects));
    // What does not hold comes first: it is what the reader came for.
    let mut sorted: Vec<&Subject> = subjects.iter().collect();
    sorted.sort_by_key(|s| s.holds());
    text += "| | subject | answer | findings |\n|---|---|---|---|\n";
    for subject in sorted.iter().take(SUBJECTS) {
        let mark = if subject.holds() { "✅" } else { "❌" };
        let (title, words, tally) = (code(&subject.title()), prose(&answer(subject)), subject.tally());
        text += &format!("| {mark} | {title} | {words} | {tally} |\n");
    }
    if subjects.len() > SUBJECTS {
        text += &format!("\n{} are not listed.\n", plural(subjects.len() - SUBJECTS, "more subject"));
    }
    let mut left_out = 0;
    for subject in sorted.iter().filter(|s| !s.items.is_empty()) {
        let details = details(subject);
        if text.chars().count() + details.chars().count() > MOST {
            left_out += 1;
        } else {
            text += &details;
        }
    }
    if left_out > 0 {
        text += &format!("\nThe details of {} do not fit into a comment.\n", plural(left_out, "subject"));
    }
    out.write_all(text.as_bytes())
}

fn headline(subjects: &[Subject]) -> String {
    match subjects {
        [] => "nothing to check".to_owned(),
        [one] => prose(&one.words()),
        many => {
            let holding = many.iter().filter(|s| s.holds()).count();
            format!("{} of {} hold", count(holding), count(many.len()))
        }
    }
}

fn answer(subject: &Subject) -> String {
    match &subject.outcome {
        Outcome::Verdict(v) => {
            let c = v.coverage;
            let of = count(c.of);
            let fixed = if c.after == c.before { String::new() } else { format!(", {} after the fix", count(c.after)) };
            format!("{} ({} of {of} keys load{fixed})", v.words, count(c.before))
        }
        _ => subject.words(),
    }
}

/// The findings of one subject, folded.
fn details(subject: &Subject) -> String {
    let tally = subject.tally();
    let tally = if tally.is_empty() { "nothing new".to_owned() } else { tally };
    let mut text = format!("\n<details><summary>{}: {tally}</summary>\n\n", html(&subject.title()));
    if let Outcome::Verdict(v) = &subject.outcome {
        let side = |name: &str, side: &super::subject::Side| {
            format!("- {name} {}: {}\n", code(&side.path.path), prose(&side.summary))
        };
        text += &(side("source", &v.source) + &side("target", &v.target) + "\n");
    }
    text += "| | code | keys | finding | where |\n|---|---|---:|---|---|\n";
    for item in subject.items.iter().take(FINDINGS) {
        text += &row(subject, item);
    }
    if subject.items.len() > FINDINGS {
        text += &format!("\n{} are not listed.\n", plural(subject.items.len() - FINDINGS, "more finding"));
    }
    if let Outcome::Verdict(v) = &subject.outcome {
        text += &rules(v);
    }
    text + "\n</details>\n"
}

fn row(subject: &Subject, item: &Item) -> String {
    let f = &item.finding;
    let mark = match (&item.accepted, subject.severity(item)) {
        (Some(_), _) => "➖ accepted",
        (None, Severity::Error) => "❌ error",
        (None, Severity::Warning) => "⚠️ warning",
        (None, Severity::Note) => "ℹ️ note",
    };
    let mut text = prose(&f.message);
    if !f.help.is_empty() {
        text += &format!("<br>{}", prose(&f.help));
    }
    if let Some(accepted) = &item.accepted {
        let reason = if accepted.reason.is_empty() { String::new() } else { format!(": {}", accepted.reason) };
        text += &format!("<br>accepted by {}", prose(&format!("{}{reason}", accepted.by)));
    }
    let line = item.place.line.map(|l| format!(":{l}")).unwrap_or_default();
    let place = code(&format!("{}{line}", item.place.file.path));
    format!("| {mark} | {} {} | {} | {text} | {place} |\n", f.code, codes::name(f.code), count(f.keys))
}

/// The fix.
fn rules(v: &Judged) -> String {
    let mut text = String::new();
    if !v.renames.is_empty() {
        text += "\n| rename | to | keys |\n|---|---|---:|\n";
        for r in v.renames.iter().take(RULES) {
            let to = if r.replacement.is_empty() { "nothing".to_owned() } else { code(&r.replacement) };
            text += &format!("| {} | {to} | {} |\n", code(&r.pattern), count(r.keys));
        }
    }
    if !v.drops.is_empty() {
        text += "\n| drop | keys |\n|---|---:|\n";
        for d in v.drops.iter().take(RULES) {
            text += &format!("| {} | {} |\n", code(&d.pattern), count(d.keys));
        }
    }
    let more = v.renames.len().saturating_sub(RULES) + v.drops.len().saturating_sub(RULES);
    if more > 0 {
        text += &format!("\n{} are not listed.\n", plural(more, "more rule"));
    }
    text
}

/// At most so many characters as a cell may have.
fn cut(text: &str) -> String {
    match text.char_indices().nth(CELL) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or("")),
        None => text.to_owned(),
    }
}

/// A name in a cell as code: shown as it is, so that it can neither end the cell nor call upon a user.
///
/// As an HTML element and not between backticks: a name may hold backticks, and a `|` would end the cell even between them.
fn code(text: &str) -> String {
    format!("<code>{}</code>", marked(&cut(&escaped(text)), true))
}

/// Text of a finding in a cell: what it has between backticks stays code, everything else is shown as it is.
fn prose(text: &str) -> String {
    let text = cut(&escaped(text));
    let parts: Vec<&str> = text.split('`').collect();
    // Without a partner a backtick is but a character.
    let paired = parts.len() % 2 == 1;
    let mut out = String::new();
    for (i, part) in parts.iter().enumerate() {
        match (i % 2, paired) {
            (1, true) => out += &format!("<code>{}</code>", marked(part, true)),
            (_, true) => out += &marked(part, false),
            (_, false) => {
                out += if i > 0 { "&#96;" } else { "" };
                out += &marked(part, false);
            }
        }
    }
    out
}

/// Text within HTML.
fn html(text: &str) -> String {
    marked(&cut(&escaped(text)), false)
}

/// Every character that Markdown or HTML give a meaning to, as an entity; within code an `@` or `#` calls nobody.
fn marked(text: &str, within_code: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let meant = "&<>|`*_[]\\~".contains(c) || (!within_code && "@#!$:".contains(c) && !plain_colon(c, text));
        if meant {
            out += &format!("&#{};", u32::from(c));
        } else {
            out.push(c);
        }
    }
    out
}

/// A colon makes an emoji (`:x:`) or a link (`https://`) only together with others.
fn plain_colon(c: char, text: &str) -> bool {
    c == ':' && !text.contains("://") && text.matches(':').count() < 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_neither_ends_its_cell_nor_becomes_markup() {
        assert_eq!(code("a|b`c<img>"), "<code>a&#124;b&#96;c&#60;img&#62;</code>");
        assert_eq!(prose("1 key `a|b` of @me"), "1 key <code>a&#124;b</code> of &#64;me");
        assert_eq!(prose("it`s"), "it&#96;s");
        assert_eq!(prose("a\nb"), "a&#92;nb");
    }

    #[test]
    fn a_thousand_subjects_still_fit_into_a_comment() {
        let subject = crate::report::subject::tests::failing("é".repeat(500));
        let subjects = vec![subject; 1000];
        let mut out = Vec::new();
        write(&subjects, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.chars().count() < 65_536, "{}", text.chars().count());
        assert!(text.contains("do not fit into a comment") && text.contains("900 more subjects are not listed"));
    }
}
