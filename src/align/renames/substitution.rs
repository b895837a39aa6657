//! Rules of the plain kind that nearly all are, applied without a regular expression.
//!
//! What [`super::prefixes`] and [`super::edits`] find is text and numbers: `^blocks\.(\d+)\.`. Over 100,000 keys the general
//! engine took a third of the whole time.

use std::ops::Range;

/// A pattern of text and numbers, with what takes its place.
#[derive(Debug)]
pub(super) struct Substitution {
    from_start: bool,
    to_end: bool,
    pieces: Vec<Piece>,
    replacement: Vec<Part>,
}

#[derive(Debug)]
enum Piece {
    /// The very characters.
    Text(String),
    /// `(\d+)`
    Number,
}

#[derive(Debug)]
enum Part {
    Text(String),
    /// The number of a group, from 0.
    Group(usize),
}

/// Groups of one match; a rule has nine at most.
type Groups = [Range<usize>; 9];

impl Substitution {
    /// Reads a rule; `None` where it takes more than this to do what it says.
    pub(super) fn of(pattern: &str, replacement: &str) -> Option<Substitution> {
        let (from_start, pattern) = pattern.strip_prefix('^').map_or((false, pattern), |rest| (true, rest));
        // A dollar sign that is meant has a backslash before it.
        let end = pattern.strip_suffix('$').filter(|rest| !rest.ends_with('\\'));
        let (to_end, mut rest) = end.map_or((false, pattern), |rest| (true, rest));
        let mut pieces: Vec<Piece> = Vec::new();
        while let Some(first) = rest.chars().next() {
            if let Some(after) = rest.strip_prefix(r"(\d+)") {
                pieces.push(Piece::Number);
                rest = after;
                continue;
            }
            let (c, after) = match first {
                '\\' => {
                    let c = rest.chars().nth(1).filter(char::is_ascii_punctuation)?;
                    (c, rest.get(2..)?)
                }
                '(' | ')' | '[' | ']' | '{' | '}' | '.' | '|' | '^' | '$' | '*' | '+' | '?' => return None,
                c => (c, rest.get(c.len_utf8()..)?),
            };
            match pieces.last_mut() {
                Some(Piece::Text(text)) => text.push(c),
                // Where a number ends is not seen from what follows.
                Some(Piece::Number) if c.is_ascii_digit() => return None,
                _ => pieces.push(Piece::Text(c.into())),
            }
            rest = after;
        }
        let groups = pieces.iter().filter(|p| matches!(p, Piece::Number)).count();
        let adjacent = pieces.windows(2).any(|two| matches!(two, [Piece::Number, Piece::Number]));
        let findable = from_start || matches!(pieces.first(), Some(Piece::Text(_)));
        if pieces.is_empty() || groups > 9 || adjacent || !findable {
            return None;
        }
        Some(Substitution { from_start, to_end, pieces, replacement: parts(replacement, groups)? })
    }

    /// The key with every place replaced; `None` where there is none.
    pub(super) fn apply(&self, key: &str) -> Option<String> {
        let mut groups = Groups::default();
        let mut out: Option<String> = None;
        let mut done = 0;
        let mut at = 0;
        loop {
            if !self.from_start {
                let Some(Piece::Text(text)) = self.pieces.first() else { break };
                let Some(next) = key.get(at..).and_then(|rest| rest.find(text.as_str())) else { break };
                at += next;
            }
            match self.match_at(key, at, &mut groups) {
                Some(end) => {
                    let out = out.get_or_insert_with(|| String::with_capacity(key.len() + 32));
                    out.push_str(key.get(done..at).unwrap_or(""));
                    for part in &self.replacement {
                        out.push_str(match part {
                            Part::Text(text) => text,
                            Part::Group(n) => groups.get(*n).and_then(|g| key.get(g.clone())).unwrap_or(""),
                        });
                    }
                    (done, at) = (end, end);
                }
                None => at += key.get(at..).and_then(|rest| rest.chars().next()).map_or(1, char::len_utf8),
            }
            if self.from_start {
                break;
            }
        }
        out.map(|mut out| {
            out.push_str(key.get(done..).unwrap_or(""));
            out
        })
    }

    /// Where the pattern ends if it begins at `at`.
    fn match_at(&self, key: &str, at: usize, groups: &mut Groups) -> Option<usize> {
        let mut end = at;
        let mut free = groups.iter_mut();
        for piece in &self.pieces {
            let rest = key.get(end..)?;
            end += match piece {
                Piece::Text(text) => rest.starts_with(text.as_str()).then_some(text.len())?,
                Piece::Number => {
                    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
                    *free.next().filter(|_| digits > 0)? = end..end + digits;
                    digits
                }
            };
        }
        (!self.to_end || end == key.len()).then_some(end)
    }
}

/// The parts of a replacement, groups as `\1`; `None` where it names a group that is not there.
fn parts(replacement: &str, groups: usize) -> Option<Vec<Part>> {
    let mut parts: Vec<Part> = Vec::new();
    let mut chars = replacement.chars();
    while let Some(c) = chars.next() {
        let c = match c {
            '\\' => match chars.next()? {
                digit @ '1'..='9' => {
                    let n = digit as usize - '1' as usize;
                    parts.push(Part::Group(n));
                    if n >= groups {
                        return None;
                    }
                    continue;
                }
                '\\' => '\\',
                _ => return None,
            },
            c => c,
        };
        match parts.last_mut() {
            Some(Part::Text(text)) => text.push(c),
            _ => parts.push(Part::Text(c.into())),
        }
    }
    Some(parts)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_a_regular_expression_is_needed_for_is_left_to_one() {
        let needs = [r"a|b", r"^[ab]\.", r"(\d+)\.a", r"^(\d+)(\d+)", r"^a(\d+)1", r"a.b", r"^a(\w+)", ""];
        for pattern in needs {
            assert!(Substitution::of(pattern, "").is_none(), "{pattern}");
        }
        assert!(Substitution::of(r"^a\.", r"\1").is_none());
    }

    proptest! {
        #[test]
        fn it_does_what_the_regular_expression_does(
            pattern in r"\^?(a|\\\.|_|b|\(\\d\+\)|1){1,5}\$?",
            replacement in r"(x|\.|\\1|\\\\|\\2|\$){0,3}",
            keys in prop::collection::vec("[ab._0-9é]{0,12}", 8),
        ) {
            if let Some(plain) = Substitution::of(&pattern, &replacement) {
                let expression = super::super::compile(&pattern).unwrap();
                let wanted = super::super::dollars(&replacement);
                for key in &keys {
                    let found = plain.apply(key).unwrap_or_else(|| key.clone());
                    prop_assert_eq!(found, expression.replace_all(key, wanted.as_str()), "{} on {}", pattern, key);
                }
            }
        }
    }
}
