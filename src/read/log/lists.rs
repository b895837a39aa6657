//! Lists of keys in error texts: quoted, in brackets, separated by commas, or one a line; cut short or not.

use super::groups::{all_in_one, expand};
use super::squeezed::joined;

/// What was read behind an announcement such as `Missing key(s) in state_dict:`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct KeyList {
    /// The keys, as they stand there.
    pub(super) keys: Vec<String>,
    /// Whether the text leaves some out (`...`, or the list does not end).
    pub(super) truncated: bool,
    /// The place behind the list.
    pub(super) end: usize,
}

/// The longest key that is believed, in bytes.
const LONGEST: usize = 600;

/// The most keys that are taken from one list: groups such as `{0...4000}` are short to write.
pub(super) const MOST_KEYS: usize = 200_000;

/// The widest line of a terminal that is believed, in bytes.
const WIDEST: usize = 4096;

/// At most `length` bytes of `text` from `at` on.
pub(super) fn window(text: &str, at: usize, length: usize) -> &str {
    let rest = text.get(at..).unwrap_or("");
    let mut end = rest.len().min(length);
    while !rest.is_char_boundary(end) {
        end -= 1;
    }
    rest.get(..end).unwrap_or("")
}

/// At most [`WIDEST`] bytes of `text` before `at`.
fn before(text: &str, at: usize) -> &str {
    let mut start = at.saturating_sub(WIDEST);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    text.get(start..at).unwrap_or("")
}

/// How keys may be written at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// Also without quotes: separated by commas on the line, or one a line below it.
    Bare,
    /// Only in quotes or brackets: what stands there may be program code.
    Quoted,
}

/// Reads the list that begins at or behind `from`. `None` where nothing there is a list of keys.
pub(super) fn read(text: &str, from: usize, style: Style) -> Option<KeyList> {
    let at = skip_blank(text, from);
    let rest = text.get(at..)?;
    // Python writes views and sets with their type around them.
    for name in ["dict_keys(", "odict_keys(", "set(", "frozenset(", "OrderedSet("] {
        if let Some(inner) = rest.strip_prefix(name) {
            let inner = text.len() - inner.len();
            return match text.as_bytes().get(inner) {
                Some(b')') => Some(KeyList { end: inner + 1, ..KeyList::default() }),
                Some(b'[' | b'{') => bracketed(text, inner),
                _ => None,
            };
        }
    }
    match rest.bytes().next()? {
        b'"' | b'\'' => {
            // `missing keys in state_dict: "{'a', 'b'}"`, torch before 0.4.
            match rest.as_bytes().get(1) {
                Some(b'{' | b'[') => bracketed(text, at + 1),
                _ => quoted(text, at),
            }
        }
        b'[' | b'{' | b'(' => bracketed(text, at),
        _ if style == Style::Quoted => None,
        _ => bare(text, from),
    }
}

/// The first place at or behind `from` that is not white space.
fn skip_blank(text: &str, from: usize) -> usize {
    let rest = text.get(from..).unwrap_or("");
    text.len() - rest.trim_start().len()
}

/// Whether `...` or `…` stands at `at`; its length.
fn dots(text: &str, at: usize) -> Option<usize> {
    let rest = text.get(at..)?;
    ["[...]", "...", "\u{2026}", "(...)"].iter().find(|d| rest.starts_with(**d)).map(|d| d.len())
}

/// A token in quotes that begins at `at`: the key and the place behind its closing quote.
fn token(text: &str, at: usize) -> Option<(String, usize)> {
    let quote = char::from(*text.as_bytes().get(at)?);
    let ahead = window(text, at + 1, LONGEST);
    let end = ahead.find(quote)?;
    let raw = ahead.get(..end)?;
    let key = joined(raw).trim_end_matches('\\').to_owned();
    // A quote that was never closed runs on to the next one, over line breaks and separators or into dots.
    let broken = raw.contains('\n') && key.contains(' ');
    let sound = !key.is_empty() && !broken && !key.contains("...") && !key.contains('\u{2026}') && !key.contains(", ");
    (sound && !key.chars().any(|c| c.is_control())).then_some((key, at + 1 + end + 1))
}

/// `"a", "b".` without brackets.
fn quoted(text: &str, from: usize) -> Option<KeyList> {
    let mut out = KeyList { end: from, ..KeyList::default() };
    let quote = *text.as_bytes().get(from)?;
    let mut at = from;
    loop {
        let Some((key, after)) = token(text, at) else {
            out.truncated = true;
            out.end = at + 1;
            break;
        };
        if is_placeholder(&key) {
            break;
        }
        out.keys.push(key);
        out.end = after;
        let mut next = skip_blank(text, after);
        let (mut comma, mut skipped) = (false, false);
        // A dot ends the list, three do not.
        loop {
            if let Some(length) = dots(text, next) {
                out.truncated = true;
                (comma, skipped) = (false, true);
                next += length;
                // Some end what they leave out with a fourth.
                next += text.get(next..).map_or(0, |rest| rest.len() - rest.trim_start_matches('.').len());
            } else if text.as_bytes().get(next) == Some(&b',') {
                comma = true;
                next += 1;
            } else {
                break;
            }
            next = skip_blank(text, next);
        }
        if !comma && !skipped {
            break;
        }
        match text.as_bytes().get(next) {
            Some(&q) if q == quote => at = next,
            // Nothing follows what was left out: the list ended there.
            _ if !comma => break,
            // The prefix of a logger may stand before the rest of a broken list.
            _ => match beyond_prefix(text, after, quote) {
                Some(there) => at = there,
                None => {
                    out.truncated = true;
                    break;
                }
            },
        }
    }
    (!out.keys.is_empty() || out.truncated && out.end > from + 1).then_some(out)
}

/// The next quote on the line after the one that `from` stands on, when it is near its beginning.
fn beyond_prefix(text: &str, from: usize, quote: u8) -> Option<usize> {
    let ahead = window(text, from, 160);
    let line = ahead.find('\n').filter(|&n| n < 60)? + 1;
    let next = ahead.bytes().skip(line).take(80).take_while(|&b| b != b'\n').position(|b| b == quote)?;
    Some(from + line + next)
}

/// `['a', 'b']`, `{'a', 'b'}`, `("a", "b")`, and `(a.b, c.d)`.
fn bracketed(text: &str, from: usize) -> Option<KeyList> {
    let bytes = text.as_bytes();
    let close = match bytes.get(from)? {
        b'[' => b']',
        b'{' => b'}',
        _ => b')',
    };
    let mut out = KeyList { end: from, ..KeyList::default() };
    let mut at = skip_blank(text, from + 1);
    loop {
        match bytes.get(at) {
            None => {
                out.truncated = true;
                break;
            }
            Some(&b) if b == close => {
                at += 1;
                break;
            }
            Some(b',') => at += 1,
            Some(b'(') if close == b'}' || close == b']' => match tuple(text, at) {
                Some((key, after)) => {
                    out.keys.push(key);
                    at = after;
                }
                None => {
                    out.truncated = !out.keys.is_empty();
                    break;
                }
            },
            Some(b'"' | b'\'') => match token(text, at) {
                Some((key, after)) if !is_placeholder(&key) => {
                    out.keys.push(key);
                    at = after;
                }
                _ => match all_in_one(text, at) {
                    Some((keys, after)) => {
                        out.keys.extend(keys);
                        at = after;
                    }
                    None => {
                        out.truncated = true;
                        break;
                    }
                },
            },
            Some(_) if dots(text, at).is_some() => {
                out.truncated = true;
                at += dots(text, at).unwrap_or(1);
            }
            Some(_) => {
                let ahead = window(text, at, LONGEST);
                let end = at + ahead.find([',', ')', ']', '}', '\'', '"']).unwrap_or(ahead.len());
                let word = joined(text.get(at..end)?);
                if close != b')' || !is_bare_key(&word) || !word.contains(['.', '_']) {
                    // Program code, or the end of what was copied.
                    out.truncated = !out.keys.is_empty();
                    break;
                }
                out.keys.push(word);
                at = end;
            }
        }
        at = skip_blank(text, at);
    }
    out.end = at;
    // An empty list says something too; an unfinished one without a key does not.
    (!out.keys.is_empty() || !out.truncated && bytes.get(at.wrapping_sub(1)) == Some(&close)).then_some(out)
}

/// `('lm_head', 'dense', 'kernel')`, a key of a tree as Flax prints it: its names joined by dots, and the place behind it.
fn tuple(text: &str, from: usize) -> Option<(String, usize)> {
    let bytes = text.as_bytes();
    let mut names: Vec<String> = Vec::new();
    let mut at = skip_blank(text, from + 1);
    loop {
        match bytes.get(at)? {
            b')' => return (!names.is_empty()).then(|| (names.join("."), at + 1)),
            b',' => at += 1,
            b'"' | b'\'' if names.len() < 64 => {
                let (name, after) = token(text, at)?;
                names.push(name);
                at = after;
            }
            _ => return None,
        }
        at = skip_blank(text, at);
    }
}

/// A comma list up to the end of the line, or keys one a line below.
fn bare(text: &str, from: usize) -> Option<KeyList> {
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
    let fits = open || (width >= 60 && listed && line.len() <= width + 60);
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

/// Whether all characters may stand in a key that is not in quotes, and one of them is a letter.
pub(super) fn is_bare_key(word: &str) -> bool {
    word.len() <= LONGEST
        && word.chars().any(char::is_alphabetic)
        && word.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '/' | ':' | '@' | '$' | '#'))
        && !word.contains("..")
        && !word.contains("://")
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

/// Whether a quoted word is program code and not what it printed.
fn is_placeholder(key: &str) -> bool {
    key.contains("{}")
        || key.starts_with('{')
        || key.starts_with('%')
        || key.contains("%s")
        || key == "\\"
        || key.contains('(')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(text: &str) -> (Vec<String>, bool) {
        let list = read(text, 0, Style::Bare).unwrap_or_default();
        (list.keys, list.truncated)
    }

    #[test]
    fn quoted_lists_end_at_their_dot_and_three_dots_say_that_more_was_there() {
        assert_eq!(keys(r#" "a.b", "c.d". "#), (vec!["a.b".into(), "c.d".into()], false));
        assert_eq!(keys(r#""a.b", "c.d"..."#), (vec!["a.b".into(), "c.d".into()], true));
        assert_eq!(keys("\"a.b\", \"c.d\", ...\n"), (vec!["a.b".into(), "c.d".into()], true));
        assert_eq!(keys("\"a.b\", \"c.weig...\n```\nsaid \"x\""), (vec!["a.b".into()], true));
        assert_eq!(keys("\"a\", ..., \"z\"."), (vec!["a".into(), "z".into()], true));
    }

    #[test]
    fn a_key_broken_by_a_terminal_is_put_together() {
        assert_eq!(
            keys("\"layer1.con\nv1.weight\",\n   \"fc.bias\". "),
            (vec!["layer1.conv1.weight".into(), "fc.bias".into()], false)
        );
    }

    #[test]
    fn brackets_of_every_kind_hold_keys() {
        for text in
            ["['a.b', 'c']", "{'a.b', 'c'}", "dict_keys(['a.b', 'c'])", "{\"a.b\",\n \"c\"}", "\"{'a.b', 'c'}\""]
        {
            assert_eq!(keys(text), (vec!["a.b".into(), "c".into()], false), "{text}");
        }
        assert_eq!(
            keys("(head.weight, head.bias) found while"),
            (vec!["head.weight".into(), "head.bias".into()], false)
        );
        assert_eq!(read("[]", 0, Style::Quoted), Some(KeyList { end: 2, ..KeyList::default() }));
        assert_eq!(keys("['a.b', 'c"), (vec!["a.b".into()], true));
    }

    #[test]
    fn program_code_is_no_list() {
        assert_eq!(keys("{}. '.format('"), (vec![], false));
        assert_eq!(read("model.load_state_dict(x, strict=False)", 0, Style::Bare), None);
        assert_eq!(read("[k for k in a if k not in b]", 0, Style::Quoted), None);
    }

    #[test]
    fn comma_lists_end_with_their_line_unless_it_was_broken() {
        assert_eq!(keys("a.b, c.d\n\nmissing keys"), (vec!["a.b".into(), "c.d".into()], false));
        let long = "layer1.0.conv1.weight, layer1.0.conv2.weight, layer1.0.conv3.weight, layer1.0.bn1.wei\nght, fc.bias\nDone\n";
        let (keys, truncated) = keys(long);
        assert_eq!(keys.get(3..), Some(["layer1.0.bn1.weight".to_owned(), "fc.bias".to_owned()].as_slice()));
        assert!(!truncated);
    }

    #[test]
    fn keys_one_a_line_end_at_the_first_other_line() {
        let text =
            "\n  backbone.bottom_up.stem.conv1.norm.{bias, weight}\n  fc.weight\n[05/06 10:00:00 d2]: Starting\n";
        assert_eq!(
            keys(text).0,
            ["backbone.bottom_up.stem.conv1.norm.bias", "backbone.bottom_up.stem.conv1.norm.weight", "fc.weight"]
        );
    }
}
