//! A place in a text, shown as people can find it: line, column, the line itself, a caret.

use std::ops::Range;

use unicode_width::UnicodeWidthStr as _;

/// The number of the line, from 1, that byte `at` stands in.
pub(super) fn line(text: &str, at: usize) -> usize {
    text.get(..at).unwrap_or(text).matches('\n').count() + 1
}

/// `what` below the line it is about, in the manner of the TOML parser:
///
/// ```text
/// line 4, column 1
///   |
/// 4 | segmnts = []
///   | ^^^^^^^
/// unknown field `segmnts`
/// ```
pub fn marked(text: &str, span: Option<Range<usize>>, what: &str) -> String {
    let Some(span) = span else { return what.to_owned() };
    let start = boundary(text, span.start);
    let before = text.get(..start).unwrap_or("");
    let head = before.rsplit('\n').next().unwrap_or("");
    let rest = text.get(start..).unwrap_or("").lines().next().unwrap_or("");
    // A span of several lines is marked by its first.
    let end = boundary(rest, span.end.saturating_sub(start));
    let width = rest.get(..end).unwrap_or("").width().max(1);
    let number = before.matches('\n').count() + 1;
    let digits = number.to_string();
    let (gap, carets) = (" ".repeat(digits.len()), "^".repeat(width));
    let column = head.chars().count() + 1;
    let indent = " ".repeat(head.width());
    format!(
        "line {number}, column {column}\n{gap} |\n{digits} | {head}{rest}\n{gap} | {indent}{carets}\n{}",
        what.trim_end()
    )
}

/// The last place at or before byte `at` where a character begins or the text ends.
fn boundary(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|&i| text.is_char_boundary(i)).unwrap_or(0)
}

/// The same for a place known by line and column, both from 1.
pub fn marked_at(text: &str, line: usize, column: usize, what: &str) -> String {
    let start: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    let at = start + column.saturating_sub(1);
    marked(text, Some(at..at + 1), what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caret_stands_below_the_place_also_behind_wide_characters() {
        let text = "a = 1\nb = [\"模\", x]\n";
        let at = text.find('x').unwrap();
        assert_eq!(
            marked(text, Some(at..at + 1), "no such value\n"),
            "line 2, column 11\n  |\n2 | b = [\"模\", x]\n  |            ^\nno such value"
        );
        assert_eq!(line(text, at), 2);
    }

    #[test]
    fn a_place_at_the_end_or_beyond_it_is_shown_at_the_end() {
        assert_eq!(marked("a", Some(9..12), "cut off"), "line 1, column 2\n  |\n1 | a\n  |  ^\ncut off");
        assert_eq!(marked("a", None, "what"), "what");
        assert_eq!(marked_at("a\nbc", 2, 2, "w"), "line 2, column 2\n  |\n2 | bc\n  |  ^\nw");
    }
}
