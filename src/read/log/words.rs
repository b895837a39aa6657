//! Words around a marker: the way to a list, the key before or behind, the name of a class.

use super::lists::{Style, is_bare_key, window};
use super::squeezed::joined;

/// How far from a marker its shapes and words may stand, in bytes of text.
pub(super) const REACH: usize = 700;

/// From behind the word "key" to the list: where it begins, how it may be written, and the form of text.
pub(super) fn announced(text: &str, behind: usize) -> Option<(usize, Style, &'static str)> {
    let ahead = window(text, behind, 160);
    let bytes = ahead.as_bytes();
    let mut at = 0;
    let words_end = |at: usize| ahead.get(..at).map(|w| w.split_whitespace().collect::<String>()).unwrap_or_default();
    let form = |at: usize| match words_end(at).to_ascii_lowercase() {
        w if w.contains("sourcestate_dict") => "mmengine",
        w if w.contains("instate_dict") => "load-state-dict",
        w if w.contains("incheckpointstate_dict") => "distributed-checkpoint",
        _ => "key-lists",
    };
    while let Some(&byte) = bytes.get(at) {
        let place = behind + at;
        match byte {
            b':' | b'=' => {
                // A count may stand before the list.
                let after = ahead.get(at + 1..)?;
                let count = after.trim_start();
                let digits = count.len() - count.trim_start_matches(|c: char| c.is_ascii_digit()).len();
                let counted =
                    digits > 0 && count.get(digits..).is_some_and(|r| r.trim_start().starts_with(['[', '(', '{', ':']));
                if counted {
                    at += 1 + (after.len() - count.len()) + digits;
                    continue;
                }
                let style = if byte == b':' { Style::Bare } else { Style::Quoted };
                return Some((place + 1, style, form(at)));
            }
            b'[' | b'{' => return Some((place, Style::Quoted, form(at))),
            b'(' => {
                let inner = ahead.get(at + 1..)?;
                match inner.split_once(')') {
                    // `key(s)`, or how many there are.
                    Some((word, _)) if word.trim() == "s" || word.chars().all(|c| c.is_ascii_digit()) => {
                        at += word.len() + 2;
                    }
                    _ => return Some((place, Style::Quoted, form(at))),
                }
            }
            b'"' | b'\'' => {
                let rest = ahead.get(at + 1..)?;
                // `"missing_keys": […]` of JSON, `the model's`.
                if rest.starts_with(':') || rest.starts_with("s ") {
                    at += 1;
                } else {
                    return Some((place, Style::Quoted, form(at)));
                }
            }
            b if b.is_ascii_alphanumeric() || b.is_ascii_whitespace() || matches!(b, b'_' | b'-' | b'/' | b'.') => {
                at += 1
            }
            _ => return None,
        }
    }
    None
}

/// The key of ` layer1.0.conv1.weight in state_dict with size …`, which stands bare behind the word "key".
pub(super) fn single_key(ahead: &str) -> Option<String> {
    let line = ahead.split('\n').next().unwrap_or("");
    let (key, rest) = match line.strip_prefix(' ')?.trim_start().split_once(' ') {
        Some((key, rest)) => (key, rest.trim_start()),
        None => (line.trim(), ""),
    };
    let inner =
        key.trim_end_matches('.').split_once('.').is_some_and(|(first, rest)| !first.is_empty() && !rest.is_empty());
    let ends = rest.is_empty() || ["in ", "with ", "of "].iter().any(|word| rest.starts_with(word));
    (inner && ends && is_bare_key(key) && !key.contains(['/', ':'])).then(|| key.trim_end_matches('.').to_owned())
}

/// Whether a word may be the name of a class.
pub(super) fn is_class(name: &str) -> bool {
    !name.is_empty()
        && name.len() < 120
        && name.starts_with(|c: char| c.is_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '.'))
}

/// The narrowest terminal that is believed to have broken a word in two, in columns.
const NARROWEST: usize = 72;

/// The first word of a piece of text: in quotes, or up to a colon, comma, bracket or blank; line breaks do not end it where
/// something that ends it follows, or where the line is as long as a terminal is wide. `columns` stand before the text.
pub(super) fn first_word(text: &str, columns: usize) -> Option<String> {
    let whole = text;
    let text = text.trim_start_matches([' ', '\t', ':', '=']);
    if let Some(quote) = text.chars().next().filter(|c| matches!(c, '"' | '\'' | '`')) {
        let inner = text.get(1..)?;
        return Some(joined(inner.get(..inner.find(quote)?)?));
    }
    // A colon ends it even where a terminal broke the line before; without one the line does.
    let end = text.find([':', ',', '(', ')', ' ', '"', '\'']).unwrap_or(text.len());
    let word = text.get(..end)?;
    let word = match text.as_bytes().get(end) {
        Some(b':' | b',') => word,
        _ => {
            let first = word.split('\n').next().unwrap_or("");
            let width = columns + (whole.len() - text.len()) + first.len();
            let rest = text.get(first.len()..).and_then(|r| r.strip_prefix('\n')).unwrap_or("");
            let next = rest.split('\n').next().unwrap_or("").trim_end();
            let broken = width >= NARROWEST && !next.is_empty() && next.len() <= width;
            if broken && is_bare_key(&format!("a{next}")) && !first.is_empty() {
                return Some(format!("{first}{next}"));
            }
            first
        }
    };
    Some(joined(word))
}

/// The word that ends before `end`: what stands in quotes, or up to a blank.
pub(super) fn last_word(text: &str, end: usize) -> Option<String> {
    let mut start = end.saturating_sub(REACH);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    let back = text.get(start..end)?.trim_end().trim_end_matches([':', ',']).trim_end();
    if let Some(quote) = back.chars().last().filter(|c| matches!(c, '"' | '\'' | '`')) {
        let inner = back.get(..back.len() - 1)?;
        return Some(joined(inner.get(inner.rfind(quote)? + 1..)?));
    }
    let word = back.rsplit([' ', '\t', '\n', '|']).next()?;
    Some(word.to_owned())
}

/// Where the line begins that `at` stands on; 4 kB are looked at.
pub(super) fn line_start(text: &str, at: usize) -> usize {
    let mut start = at.saturating_sub(4096);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    text.get(start..at).and_then(|t| t.rfind('\n')).map_or(start, |n| start + n + 1)
}

pub(super) fn find(text: &[u8], needle: &[u8]) -> Option<usize> {
    text.windows(needle.len().max(1)).position(|w| w == needle)
}

pub(super) fn rfind(text: &[u8], needle: &[u8]) -> Option<usize> {
    text.windows(needle.len().max(1)).rposition(|w| w == needle)
}
