//! How text looks: colour or none, how wide, and what must be escaped.

use std::borrow::Cow;
use std::fmt::Write as _;

/// How wide text is laid out where nothing says how wide the reader's screen is (a pipe, a log).
pub const PLAIN_WIDTH: usize = 100;

/// What the reader's screen can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Whether to write colours.
    pub color: bool,
    /// Columns to lay tables and right-hand notes out in.
    pub width: usize,
    /// Whether lines longer than `width` are wrapped. Not in a pipe: one cause stays one line there, so that `grep` finds it.
    pub wrap: bool,
    /// Whether every key is listed.
    pub all: bool,
}

impl Default for Style {
    fn default() -> Self {
        Style { color: false, width: PLAIN_WIDTH, wrap: false, all: false }
    }
}

/// Whether a character may change what a terminal shows around it: control characters (C0, DEL, C1), line and paragraph
/// separators, and the marks that reorder or hide text.
pub fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// A text from a file made fit for a terminal: what [`is_unsafe`] is written as `\n`, `\x1b` or `\u{202e}`.
pub fn escape(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if is_unsafe(c) && (c as u32) < 0x100 => {
                let _ = write!(out, "\\x{:02x}", c as u32);
            }
            c if is_unsafe(c) => {
                let _ = write!(out, "\\u{{{:x}}}", c as u32);
            }
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_cannot_move_the_cursor_or_turn_the_text_around() {
        assert_eq!(escape("a\x1b[2Jb\u{9b}c"), "a\\x1b[2Jb\\x9bc");
        assert_eq!(escape("fc\u{202e}thgiew"), "fc\\u{202e}thgiew");
        assert_eq!(escape("line\nbreak"), "line\\nbreak");
    }

    #[test]
    fn ordinary_names_of_any_language_stay_as_they_are() {
        for name in ["layer1.0.conv1.weight", "模型.权重", "größe", "a/b:0"] {
            assert!(matches!(escape(name), Cow::Borrowed(n) if n == name));
        }
    }
}
