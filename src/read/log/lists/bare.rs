//! Keys that are not in quotes: separated by commas, or one a line.

use super::{KeyList, LONGEST, MOST_KEYS, dots, is_bare_key, skip_blank, window};
use crate::read::log::groups::expand;

/// The widest line of a terminal that is believed, in bytes.
const WIDEST: usize = 4096;

/// At most [`WIDEST`] bytes of `text` before `at`.
fn before(text: &str, at: usize) -> &str {
    let mut start = at.saturating_sub(WIDEST);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    text.get(start..at).unwrap_or("")
}

/// A comma list up to the end of the line, or keys one a line below.
pub(super) fn bare(text: &str, from: usize) -> Option<KeyList> {
    let ahead = window(text, from, LONGEST);
    if let Some(end) = ahead.find('\n').filter(|&end| ahead.get(..end).is_some_and(|l| l.trim().is_empty())) {
        return block(text, from + end + 1);
    }
    let mut out = KeyList { end: from, ..KeyList::default() };
    let line = before(text, from).rsplit('\n').next().unwrap_or("");
    let (mut at, mut line_start, mut width) = (from, from - line.len(), 0);
    let mut half = String::new();
    while out.keys.len() < MOST_KEYS {
        let (piece, stop) = piece(text, at);
        half.push_str(piece.trim());
        let next = at + piece.len() + 1;
        if stop == Some('\n') {
            // A terminal breaks lines at its width, a list at its commas: the pieces belong together.
            let here = next - 1 - line_start;
            let full = here == width;
            width = width.max(here);
            let open = piece.trim().is_empty() && !out.keys.is_empty();
            if goes_on(text, next, width, open, !out.keys.is_empty(), full) {
                (at, line_start) = (next, next);
                continue;
            }
        }
        let word = std::mem::take(&mut half);
        let plain = word.trim_end_matches(['.', '\u{2026}', ';', '`']);
        if word.ends_with("..") || word.ends_with('\u{2026}') {
            out.truncated = true;
            // `layer4.0.con...` is no key; what came before is.
            out.end = next.min(text.len());
            break;
        }
        if !is_group(plain) && !is_bare_key(plain) || is_prose(plain) {
            // What follows is no list; what came before stays.
            break;
        }
        out.keys.extend(expand(plain));
        out.end = next.min(text.len());
        if stop != Some(',') {
            break;
        }
        at = next;
    }
    (!out.keys.is_empty()).then_some(out)
}

/// What stands up to the next comma that is not within braces, or line break, and which of them it is.
fn piece(text: &str, at: usize) -> (&str, Option<char>) {
    let ahead = window(text, at, LONGEST);
    let mut depth = 0usize;
    for (i, c) in ahead.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            '\n' => return (ahead.get(..i).unwrap_or(""), Some(c)),
            ',' if depth == 0 => return (ahead.get(..i).unwrap_or(""), Some(c)),
            _ => {}
        }
    }
    (ahead, None)
}

/// Cuts at commas that are not within braces.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0usize;
    text.split(move |c| {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    })
}

/// Whether the line at `at` continues a comma list: nothing but keys, and not much longer than the lines before it (whose
/// first may have lost a logger's prefix).
fn goes_on(text: &str, at: usize, width: usize, open: bool, listed: bool, full: bool) -> bool {
    let ahead = window(text, at, WIDEST);
    let line = ahead.split('\n').next().unwrap_or("").trim_end();
    let words = line.trim_start();
    let keys = words.split(',').all(|w| w.trim().is_empty() || is_bare_key(w.trim().trim_end_matches('.')));
    let fits = open || ((width >= 60 && listed || width >= 72) && line.len() <= width + 60);
    // The rest of a last key has neither comma nor dot; it is believed where two lines before it were equally wide.
    !words.is_empty() && (words.contains([',', '.']) || full) && keys && fits
}

/// Keys one a line, possibly behind a bullet, up to the first line that is none.
fn block(text: &str, from: usize) -> Option<KeyList> {
    let mut out = KeyList { end: from, ..KeyList::default() };
    let mut at = from;
    let mut blank = 0;
    while let Some(rest) = text.get(at..).filter(|r| !r.is_empty() && out.keys.len() < MOST_KEYS) {
        let line = rest.split('\n').next().unwrap_or("");
        let word = line.trim().trim_start_matches(['-', '*', '\u{2022}', '+']).trim_start();
        let word = word.trim_end_matches(',').trim_matches(['"', '\'', '`']);
        if word.is_empty() {
            blank += 1;
            // One empty line may stand before the list, none within.
            if blank > 1 || !out.keys.is_empty() {
                break;
            }
        } else if let Some(length) = dots(text, skip_blank(text, at)).filter(|&d| word.len() <= d.max(5)) {
            out.truncated |= length > 0;
        } else if !is_prose(word) && is_group(word) {
            out.keys.extend(expand(word));
        } else if word.len() < WIDEST && pieces(word).all(|w| is_group(w.trim().trim_end_matches('.'))) {
            out.keys.extend(pieces(word).flat_map(|w| expand(w.trim().trim_end_matches('.'))));
        } else {
            break;
        }
        at += line.len() + 1;
        out.end = at.min(text.len());
    }
    (!out.keys.is_empty()).then_some(out)
}

/// A key, or several written as fvcore does: `norm1.{bias, weight}`.
fn is_group(word: &str) -> bool {
    match word.split_once('{') {
        Some((stem, rest)) => {
            !word.contains(char::is_whitespace) && is_bare_key(word.replace(['{', '}', ','], "").as_str())
                || is_bare_key(&format!("{stem}x")) && rest.ends_with('}') && rest.len() < LONGEST
        }
        None => is_bare_key(word) && word.contains(['.', '_', '/']),
    }
}

/// Words that stand where a list is announced and none follows.
fn is_prose(word: &str) -> bool {
    const WORDS: [&str; 12] =
        ["none", "no", "nothing", "null", "the", "are", "in", "not", "found", "is", "and", "this"];
    WORDS.iter().any(|w| word.eq_ignore_ascii_case(w))
}
