//! A few keys that stand for all of their kind: those whose names differ in numbers only and move alike.

use std::collections::{BTreeMap, HashMap};

use super::Pair;

/// A pair that stands for others, or for itself alone.
#[derive(Clone, Debug)]
pub(super) struct Sample<'a> {
    /// The source key.
    pub(super) source: std::borrow::Cow<'a, str>,
    /// The target key.
    pub(super) target: &'a str,
    /// For each number of the source key whether the pair stands for other values of it too, so that rules must not name it.
    pub(super) generic: Vec<bool>,
}

/// What stands for a `#` of the text itself in a template, where `#` is a number: a character that is none.
const HASH: char = '\u{10ffff}';

/// The piece of a text that a piece of its template stands for.
pub(super) fn plain(piece: &str) -> String {
    piece.replace(HASH, "#")
}

/// A text with every run of digits replaced by `#`, and the digits.
pub(crate) fn template(text: &str) -> (String, Vec<&str>) {
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
            out.extend(text[start..i].chars().map(|c| if c == '#' { HASH } else { c }));
        }
    }
    (out, numbers)
}

/// Picks samples: of every kind that moves alike a few, of all others every one. `extra` pairs are taken one by one.
pub(super) fn take<'a>(pairs: &[Pair<'a>], extra: &[Pair<'a>]) -> Vec<Sample<'a>> {
    type Kind<'a> = HashMap<String, Vec<Member<'a>>, foldhash::fast::RandomState>;
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
        for (members, named) in alike(targets.into_values().collect()) {
            let places = members[0].1.len();
            let groups = members[0].0.len();
            let referable = (0..places).all(|j| {
                members.iter().all(|m| m.1[j] == members[0].1[j])
                    || (0..groups).any(|k| members.iter().all(|m| m.1[j] == m.0[k]))
            });
            if named.is_some() && referable && members.len() > 1 {
                let generic: Vec<bool> = (0..groups).map(|k| named != Some(Some(k))).collect();
                // First and last differ in most numbers, the others in what is left.
                let last = members.len() - 1;
                let mut picks = vec![0, last, last / 2, last / 3, 2 * last / 3];
                picks.sort_unstable();
                picks.dedup();
                out.extend(picks.into_iter().map(|i| sample(members[i].2, generic.clone())));
            } else {
                out.extend(members.iter().map(|m| sample(m.2, Vec::new())));
            }
        }
    }
    out.extend(extra.iter().map(|&p| sample(p, Vec::new())));
    out
}

/// Members of one source template: the numbers of both keys, and the pair.
type Member<'a> = (Vec<&'a str>, Vec<&'a str>, Pair<'a>);

/// Groups of pairs that move alike. `Some(None)`: all numbers are free; `Some(Some(k))`: all but the number at place `k`, which is part of
/// the name (`w1`, `w2`); `None`: nothing general was found.
#[allow(clippy::option_option, reason = "the three cases are told apart once, right above")]
fn alike(targets: Vec<Vec<Member<'_>>>) -> Vec<(Vec<Member<'_>>, Option<Option<usize>>)> {
    if targets.len() == 1 {
        return targets.into_iter().map(|members| (members, Some(None))).collect();
    }
    let groups = targets[0][0].0.len();
    // The place whose value alone decides the target, the one with the fewest values.
    let best = (0..groups)
        .filter_map(|k| {
            let mut values: HashMap<&str, usize> = HashMap::new();
            let decides = targets
                .iter()
                .enumerate()
                .all(|(i, members)| members.iter().all(|m| *values.entry(m.0[k]).or_insert(i) == i));
            decides.then_some((values.len(), k))
        })
        .min();
    match best {
        Some((_, k)) => {
            let mut by_value: BTreeMap<&str, Vec<Member<'_>>> = BTreeMap::new();
            for member in targets.into_iter().flatten() {
                by_value.entry(member.0[k]).or_default().push(member);
            }
            by_value.into_values().map(|members| (members, Some(Some(k)))).collect()
        }
        None => targets.into_iter().map(|members| (members, None)).collect(),
    }
}

fn sample<'a>((source, target): Pair<'a>, generic: Vec<bool>) -> Sample<'a> {
    Sample { source: source.into(), target, generic }
}
