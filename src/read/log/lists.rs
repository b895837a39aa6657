//! Lists of keys in error texts: quoted, in brackets, separated by commas, or one a line; cut short or not.

use super::groups::all_in_one;
use super::squeezed::joined;

mod bare;

use bare::bare;

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

/// At most `length` bytes of `text` from `at` on.
pub(super) fn window(text: &str, at: usize, length: usize) -> &str {
    let rest = text.get(at..).unwrap_or("");
    let mut end = rest.len().min(length);
    while !rest.is_char_boundary(end) {
        end -= 1;
    }
    rest.get(..end).unwrap_or("")
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
            // Quotes within quotes are escaped.
            Some(b'\\') if matches!(bytes.get(at + 1), Some(b'"' | b'\'')) => at += 1,
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

/// Whether all characters may stand in a key that is not in quotes, and one of them is a letter.
pub(super) fn is_bare_key(word: &str) -> bool {
    word.len() <= LONGEST
        && word.chars().any(char::is_alphabetic)
        && word.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '/' | ':' | '@' | '$' | '#'))
        && !word.contains("..")
        && !word.contains("://")
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
