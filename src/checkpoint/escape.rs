//! Names come from files that strangers made: what a terminal would obey, or a reader would not see, is written out.

use std::borrow::Cow;
use std::fmt::Write as _;

/// `text` with control characters, terminal escapes and invisible or direction-changing characters written as escapes.
///
/// A newline becomes `\n`, an escape `\x1b`, a right-to-left override `\u{202e}`. Everything else is left as it is.
pub fn escaped(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if is_hidden(c) && u32::from(c) < 0x100 => write!(out, "\\x{:02x}", u32::from(c)).unwrap_or_default(),
            c if is_hidden(c) => write!(out, "\\u{{{:x}}}", u32::from(c)).unwrap_or_default(),
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// A key for use within a sentence: escaped, and cut to some 160 characters so that a hostile key is no wall of text.
pub fn quoted(key: &str) -> String {
    const MOST: usize = 160;
    let mut chars = key.char_indices();
    match chars.nth(MOST) {
        None => format!("`{}`", escaped(key)),
        Some((cut, _)) => format!("`{}…` ({} bytes)", escaped(key.get(..cut).unwrap_or("")), key.len()),
    }
}

/// Whether a terminal obeys a character, or a reader does not see it: control characters (C0, DEL, C1), bidirectional
/// overrides, zero-width and separator characters, fillers and selectors that have no shape of their own.
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
        || matches!(
            c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'
                ..='\u{180f}'
        )
        || matches!(c, '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{ffa0}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_names_of_any_script_are_left_alone() {
        assert!(matches!(escaped("blocks.0.attn.qkv.weight"), Cow::Borrowed(_)));
        assert_eq!(escaped("編碼器.权重.é"), "編碼器.权重.é");
    }

    #[test]
    fn a_terminal_escape_is_written_out() {
        assert_eq!(escaped("a\u{1b}[31mb\n\u{202e}"), "a\\x1b[31mb\\n\\u{202e}");
    }

    #[test]
    fn a_long_key_is_cut_in_sentences() {
        assert_eq!(quoted("fc.weight"), "`fc.weight`");
        let long = quoted(&"é".repeat(500_000));
        assert!(long.len() < 400 && long.ends_with("(1000000 bytes)"), "{long}");
    }
}
