//! A few keys that stand for all of their kind: those whose names differ in numbers only and move alike.

use std::collections::HashMap;

use super::Pair;

/// A pair that stands for others, or for itself alone.
#[derive(Clone, Debug)]
pub(super) struct Sample<'a> {
    /// The source key.
    pub(super) source: std::borrow::Cow<'a, str>,
    /// The target key.
    pub(super) target: &'a str,
    /// Whether it stands for other numbers too, so that rules must not name its numbers.
    pub(super) generic: bool,
}

/// A text with every run of digits replaced by `#`, and the digits.
pub(super) fn template(text: &str) -> (String, Vec<&str>) {
    let mut out = String::with_capacity(text.len());
    let mut numbers = Vec::new();
    let bytes = text.as_bytes();
    let mut i = 0;
    while i < bytes.len() {
        let start = i;
        let digit = bytes[i].is_ascii_digit();
        while i < bytes.len() && bytes[i].is_ascii_digit() == digit {
            i += 1;
        }
        if digit {
            out.push('#');
            numbers.push(&text[start..i]);
        } else {
            out.push_str(&text[start..i]);
        }
    }
    (out, numbers)
}

/// Picks samples: of every kind that moves alike a few, of all others every one. `extra` pairs are taken one by one.
pub(super) fn take<'a>(pairs: &[Pair<'a>], extra: &[Pair<'a>]) -> Vec<Sample<'a>> {
    type Kind<'a> = HashMap<String, Vec<(Vec<&'a str>, Vec<&'a str>, Pair<'a>)>, foldhash::fast::RandomState>;
    let mut kinds: HashMap<String, Kind<'a>, foldhash::fast::RandomState> = HashMap::default();
    let mut order: Vec<String> = Vec::new();
    for &(s, t) in pairs {
        // A key that keeps its name may be many kinds of itself at once; one template is enough for it as for others.
        let ((st, sn), (tt, tn)) = (template(s), template(t));
        let kind = kinds.entry(st.clone()).or_insert_with(|| {
            order.push(st);
            HashMap::default()
        });
        kind.entry(tt).or_default().push((sn, tn, (s, t)));
    }
    let mut out = Vec::new();
    for source in order {
        let Some(targets) = kinds.remove(&source) else { continue };
        let single = targets.len() == 1;
        for members in targets.into_values() {
            let places = members[0].1.len();
            let groups = members[0].0.len();
            let referable = (0..places).all(|j| {
                members.iter().all(|m| m.1[j] == members[0].1[j])
                    || (0..groups).any(|k| members.iter().all(|m| m.1[j] == m.0[k]))
            });
            if single && referable && members.len() > 1 {
                // First and last differ in most numbers, the middle in what is left.
                let last = members.len() - 1;
                let mut picks = vec![0, last, last / 2, last / 3, 2 * last / 3];
                picks.sort_unstable();
                picks.dedup();
                out.extend(picks.into_iter().map(|i| sample(members[i].2, true)));
            } else {
                out.extend(members.iter().map(|m| sample(m.2, false)));
            }
        }
    }
    out.extend(extra.iter().map(|&p| sample(p, false)));
    out
}

fn sample<'a>((source, target): Pair<'a>, generic: bool) -> Sample<'a> {
    Sample { source: source.into(), target, generic }
}
