//! On which lines of a JSON text its keys stand, for reports that point into a file.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

/// Texts beyond this size, in bytes, are not searched: no review tool shows them either.
const MOST: u64 = 1 << 28;

/// The lines, counted from 1, on which keys stand in the JSON text at `path`. A key that stands there twice is on its last line,
/// which is the one that counts. Empty where the file cannot be read: what it could not say was said when it was read first.
pub fn key_lines(path: &Path, keys: &HashSet<&str>) -> HashMap<String, u64> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MOST).read_to_end(&mut bytes));
    if keys.is_empty() || read.is_err() { HashMap::new() } else { find(&bytes, keys) }
}

/// Looks at strings that name a member or stand in a list; a member's value is no key.
fn find(bytes: &[u8], keys: &HashSet<&str>) -> HashMap<String, u64> {
    let mut found = HashMap::new();
    let (mut at, mut line, mut before) = (0, 1, 0);
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'\n' => line += 1,
            b'"' => {
                let end = end_of_string(bytes, at);
                let text: Option<Cow<'_, str>> = match bytes.get(at..end) {
                    Some(token) if before != b':' && worth_reading(token, keys) => read(token),
                    _ => None,
                };
                if let Some(key) = text.filter(|t| keys.contains(&**t)) {
                    found.insert(key.into_owned(), line);
                }
                before = byte;
                at = end;
                continue;
            }
            _ if byte.is_ascii_whitespace() => {}
            _ => before = byte,
        }
        at += 1;
    }
    found
}

/// The place behind the closing quote of the string that begins at `start`.
fn end_of_string(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// Whether a token can be a wanted key: it has escapes, or is one as it stands.
fn worth_reading(token: &[u8], keys: &HashSet<&str>) -> bool {
    token.contains(&b'\\')
        || token
            .get(1..token.len().saturating_sub(1))
            .and_then(|t| std::str::from_utf8(t).ok())
            .is_some_and(|t| keys.contains(t))
}

fn read(token: &[u8]) -> Option<Cow<'_, str>> {
    serde_json::from_slice::<String>(token).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str, keys: &[&str]) -> Vec<(String, u64)> {
        let mut found: Vec<_> = find(text.as_bytes(), &keys.iter().copied().collect()).into_iter().collect();
        found.sort();
        found
    }

    #[test]
    fn a_key_stands_on_the_line_of_its_name_whatever_surrounds_it() {
        let text = "{\n  \"a\": {\"dtype\": \"F32\",\n \"shape\": [1]},\n  \"b.c\": [2]\n}";
        assert_eq!(lines(text, &["a", "b.c", "d"]), [("a".into(), 2), ("b.c".into(), 4)]);
        assert_eq!(lines("[\"a\",\n\"b\"]", &["a", "b"]), [("a".into(), 1), ("b".into(), 2)]);
    }

    #[test]
    fn a_value_is_no_key_and_of_two_equal_keys_the_last_counts() {
        assert_eq!(lines("{\"x\": \"a\",\n\"a\": 1,\n\"a\": 2}", &["a"]), [("a".into(), 3)]);
    }

    #[test]
    fn escapes_are_read_and_an_unclosed_string_ends_with_the_text() {
        assert_eq!(lines("{\n\"caf\\u00e9\\\"\": 1}", &["café\""]), [("café\"".into(), 2)]);
        assert_eq!(lines("{\"a\\", &["a"]), []);
        assert_eq!(lines("{\"a", &["a"]), []);
    }
}
