//! Keys that a rename script cut in the middle of a name.

use std::collections::{HashMap, HashSet};

use super::Remedy;
use super::case::{Case, Cause, Rank, count};
use crate::checkpoint::StateDict;
use crate::compare::Difference;
use crate::rules::Diagnosis;

/// The most keys of one side for which every way of tearing one is tried.
const MOST_TORN: usize = 5000;

/// Explains pairs of keys of which one is the other, cut where no dot is.
pub(super) fn explain(case: &mut Case<'_>) {
    if case.rules.diagnosis(Diagnosis::CutKey).is_none() {
        return;
    }
    let sides = Sides::of(case);
    if sides.wanted.is_empty() && case.partial() {
        torn(case);
    }
    if sides.given.is_empty() || sides.wanted.is_empty() {
        return;
    }
    if let Some((length, pairs)) = same_length(&sides) {
        let lost = format!("lost their first {length} characters, a prefix that they did not have");
        claim(case, &pairs, |n, given, wanted| format!("{n} {lost}: `{given}` is what is left of `{wanted}`"));
        return;
    }
    let words = case.rules.words(Diagnosis::CutKey);
    let mut pairs = pairs(&sides, words);
    // `norm` for `layernorm` is another name: what is left of a word is no word of its own.
    let word = |name: &str| case.rules.lexicon.concepts.iter().any(|c| c.forms.iter().any(|form| form == name));
    pairs.retain(|(given, wanted)| {
        let tail = given.len() < wanted.len() && wanted.ends_with(given);
        !(tail && word(given.split('.').next().unwrap_or("")))
    });
    // Where most keys are cut, matches by structure are chance; among many that were renamed otherwise, `norm` for
    // `layernorm` is a rename as well.
    let most = pairs.len() * 2 >= sides.given.len().min(sides.wanted.len());
    let open = open_keys(case);
    let pairs: Vec<(&str, &str)> =
        pairs.into_iter().filter(|(s, t)| most || open.contains(s) && open.contains(t)).collect();
    // One pair may be a coincidence of short names.
    let sure = pairs.iter().any(|(s, _)| s.contains('.') || s.contains('_')) || pairs.len() > 1;
    if sure && !pairs.is_empty() {
        claim(case, &pairs, |n, given, wanted| {
            let are = if n.starts_with("1 ") { "is" } else { "are" };
            format!("{n} {are} cut in the middle of a name: `{given}` is what is left of `{wanted}`")
        });
    }
}

/// Explains keys that begin in the middle of a word that ends keys, where a text names nothing that they could be the rest of.
fn torn(case: &mut Case<'_>) {
    let words: Vec<&str> =
        case.rules.words(Diagnosis::CutKey).iter().map(String::as_str).filter(|w| !w.contains('=')).collect();
    let unexpected = case.unexpected();
    let mut rests: Vec<&str> = unexpected
        .iter()
        .map(|(_, e)| e.key.as_str())
        .filter(|key| key.len() > 2 && !words.contains(key))
        .filter(|key| words.iter().any(|w| w.strip_suffix(key).is_some_and(|lost| !lost.is_empty())))
        .collect();
    rests.sort_unstable();
    rests.dedup();
    let [first, second, ..] = rests.as_slice() else { return };
    let message = format!(
        "{} were cut: `{first}` and `{second}` are the ends of names, so a prefix was taken off that they did not have",
        count(unexpected.len(), "key")
    );
    let cause = Cause::new("CK111", Rank::Prefix, Remedy::Edit, message)
        .by(case.rules.diagnosis(Diagnosis::CutKey))
        .confidence(0.8)
        .with("given", *first);
    let claims: Vec<u32> = unexpected.iter().map(|(d, _)| *d).collect();
    case.claim(claims, cause);
}

/// Keys, or names in them.
type Names<'a> = HashSet<&'a str, foldhash::fast::RandomState>;

/// The names of both sides that differ in any way.
struct Sides<'a> {
    given: Vec<&'a str>,
    wanted: Vec<&'a str>,
}

impl<'a> Sides<'a> {
    fn of(case: &Case<'a>) -> Self {
        let renamed = case.renamed();
        let mut given: Vec<&str> = case.unexpected().iter().map(|(_, e)| e.key.as_str()).collect();
        given.extend(renamed.iter().map(|(_, _, s, _)| s.key.as_str()));
        let mut wanted: Vec<&str> = case.missing().iter().map(|(_, e)| e.key.as_str()).collect();
        wanted.extend(renamed.iter().map(|(_, _, _, t)| t.key.as_str()));
        let group = |g: u32| case.alignment.ambiguous.get(g as usize);
        for (_, fact) in case.open() {
            let Difference::Ambiguous { group: g } = *fact else { continue };
            let Some(group) = group(g) else { continue };
            let key = |side: &StateDict<'a>, i: u32| side.entries.get(i as usize).map(|e| e.key.as_str());
            given.extend(group.source.iter().filter_map(|&s| key(case.source, s)));
            wanted.extend(group.target.iter().filter_map(|&t| key(case.target, t)));
        }
        for list in [&mut given, &mut wanted] {
            list.sort_unstable();
            list.dedup();
        }
        Sides { given, wanted }
    }
}

/// Names that nothing on the other side answers.
fn open_keys<'a>(case: &Case<'a>) -> Names<'a> {
    case.missing().iter().chain(&case.unexpected()).map(|(_, e)| e.key.as_str()).collect()
}

/// The longest prefix that a script takes off, in bytes.
const LONGEST: usize = 32;

/// Whether every key lost the same number of characters (`key[7:]`), and so some of them part of a name.
fn same_length<'a>(sides: &Sides<'a>) -> Option<(usize, Vec<(&'a str, &'a str)>)> {
    let given: Names<'_> = sides.given.iter().copied().collect();
    let left = |wanted: &'a str, n: usize| wanted.get(n..).filter(|rest| !rest.is_empty() && given.contains(rest));
    let step = sides.wanted.len().div_ceil(64);
    let sample: Vec<&str> = sides.wanted.iter().step_by(step).copied().collect();
    (1..=LONGEST).find_map(|n| {
        if sample.iter().filter(|w| left(w, n).is_some()).count() * 2 < sample.len() {
            return None;
        }
        let pairs: Vec<(&str, &str)> = sides.wanted.iter().filter_map(|w| Some((left(w, n)?, *w))).collect();
        let lost: HashSet<&str> = pairs.iter().filter_map(|(_, w)| w.get(..n)).collect();
        let within = pairs.iter().filter(|(s, w)| cut_tail(s, w)).count();
        (pairs.len() * 5 >= sides.given.len() * 4 && lost.len() > 1 && within > 1).then_some((n, pairs))
    })
}

/// Each key of the checkpoint that is what is left of one of the model.
fn pairs<'a>(sides: &Sides<'a>, words: &[String]) -> Vec<(&'a str, &'a str)> {
    let torn_names = torn_names(sides);
    let mut reversed: Vec<(String, &str)> = Vec::new();
    if !torn_names.is_empty() {
        reversed.extend(sides.wanted.iter().map(|w| (w.chars().rev().collect(), *w)));
        reversed.sort_unstable();
    }
    let mut torn: HashMap<String, &str> = HashMap::new();
    if sides.wanted.len() <= MOST_TORN {
        for wanted in &sides.wanted {
            for left in without_piece(wanted).into_iter().chain(replaced_within(wanted, words)) {
                torn.entry(left).or_insert(wanted);
            }
        }
    }
    let mut out = Vec::new();
    for given in &sides.given {
        let by_tail = torn_names.contains(first_name(given)).then(|| {
            let tail: String = given.chars().rev().collect();
            let at = reversed.partition_point(|(r, _)| *r < tail);
            let longer = reversed.get(at..).unwrap_or(&[]).iter().take_while(|(r, _)| r.starts_with(&tail)).take(16);
            longer.map(|(_, w)| *w).find(|w| cut_tail(given, w))
        });
        out.extend(by_tail.flatten().or_else(|| torn.get(*given).copied()).map(|wanted| (*given, wanted)));
    }
    out
}

/// The first names of the checkpoint's keys that are the end of any name of the model's: few, if any, so that most keys
/// need not be looked for.
fn torn_names<'a>(sides: &Sides<'a>) -> Names<'a> {
    let mut names = Names::default();
    let mut before = "";
    for wanted in &sides.wanted {
        // They are sorted: what a key shares with the one before it has been seen.
        let shared = wanted.bytes().zip(before.bytes()).take_while(|(a, b)| a == b).count();
        let at =
            wanted.as_bytes().get(..shared).and_then(|s| s.iter().rposition(|&b| b == b'.')).map_or(0, |dot| dot + 1);
        names.extend(wanted.get(at..).unwrap_or(wanted).split('.'));
        before = wanted;
    }
    let mut first: Vec<&str> = sides.given.iter().map(|given| first_name(given)).collect();
    first.dedup();
    first.into_iter().filter(|short| names.iter().any(|long| torn_off(short, long))).collect()
}

/// What stands before the first dot.
fn first_name(key: &str) -> &str {
    key.split_once('.').map_or(key, |(first, _)| first)
}

/// Claims everything that is open about the pairs.
fn claim(case: &mut Case<'_>, pairs: &[(&str, &str)], message: impl Fn(&str, &str, &str) -> String) {
    let Some((given, wanted)) = pairs.first() else { return };
    let (here, there): (Names<'_>, Names<'_>) = pairs.iter().copied().unzip();
    let name = |side: &StateDict<'_>, i: u32, names: &Names<'_>| {
        side.entries.get(i as usize).is_some_and(|e| names.contains(e.key.as_str()))
    };
    let ours = |fact: &Difference| match *fact {
        Difference::Missing { target } => name(case.target, target, &there),
        Difference::Unexpected { source } => name(case.source, source, &here),
        Difference::Renamed { matched } => case.matched(matched).is_some_and(|m| {
            name(case.target, m.target, &there) || m.source.iter().any(|&s| name(case.source, s, &here))
        }),
        Difference::Ambiguous { group } => case.alignment.ambiguous.get(group as usize).is_some_and(|g| {
            g.target.iter().all(|&t| name(case.target, t, &there))
                || g.source.iter().all(|&s| name(case.source, s, &here))
        }),
        _ => false,
    };
    let claims: Vec<u32> = case.open().filter(|(_, fact)| ours(fact)).map(|(i, _)| i).collect();
    let message = message(&count(pairs.len(), "key"), given, wanted);
    let cause = Cause::new("CK111", Rank::Prefix, Remedy::Edit, message)
        .by(case.rules.diagnosis(Diagnosis::CutKey))
        .confidence(0.9)
        .with("given", *given)
        .with("wanted", *wanted);
    case.claim(claims, cause);
}

/// Whether `short` is the end of `long`, cut within a segment.
fn cut_tail(short: &str, long: &str) -> bool {
    short.len() >= 4 && !short.starts_with('.') && torn_off(short, long)
}

/// Whether `short` is what is left of the word that `long` ends in: `norm` of `fc_norm` is a word of its own, and so is a number.
fn torn_off(short: &str, long: &str) -> bool {
    let within = long.strip_suffix(short).is_some_and(|lost| !lost.is_empty() && !lost.ends_with(['.', '_']));
    within && !short.starts_with(|c: char| c == '_' || c.is_ascii_digit())
}

/// What is left of a key when a name and its dot are taken out wherever they stand, also within other names: `aux_head.weight`
/// without `head.` is `aux_weight`.
fn without_piece(key: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut start = 0;
    for segment in key.split('.') {
        let end = start + segment.len();
        // A name that ends another one: `head` of `aux_head`.
        for (at, _) in segment.match_indices('_') {
            if let Some(piece) = segment.get(at + 1..).filter(|p| p.len() > 1 && p.starts_with(char::is_alphabetic)) {
                let piece = format!("{piece}.");
                let left = key.replace(&piece, "");
                if end < key.len() && !left.is_empty() && left != key {
                    out.push(left);
                }
            }
        }
        start = end + 1;
    }
    out
}

/// What a replacement of one name by another (`old=new` in `words`) makes of a key where it hits the inside of a name.
fn replaced_within(key: &str, words: &[String]) -> Vec<String> {
    let pairs = words.iter().filter_map(|w| w.split_once('='));
    let torn = pairs.filter(|(old, _)| {
        key.match_indices(old).any(|(at, _)| {
            let (before, after) = (key.get(..at).unwrap_or(""), key.get(at + old.len()..).unwrap_or(""));
            !(before.is_empty() || before.ends_with('.')) || !(after.is_empty() || after.starts_with('.'))
        })
    });
    torn.map(|(old, new)| key.replace(old, new)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_is_cut_only_where_no_dot_is() {
        assert!(cut_tail("utput_projection.weight", "output_projection.weight"));
        assert!(!cut_tail("projection.weight", "output.projection.weight"));
        assert!(!cut_tail("output.weight", "output.weight"));
        assert!(!cut_tail("norm.weight", "fc_norm.weight"));
        assert!(!cut_tail("0.weight", "10.weight"));
    }

    #[test]
    fn a_piece_that_also_ends_another_name_tears_it() {
        assert_eq!(without_piece("head.aux_head.weight"), ["aux_weight"]);
        assert_eq!(without_piece("model.smp_model.decoder.w"), ["smp_decoder.w"]);
        assert_eq!(without_piece("smp_model.decoder.w"), ["smp_decoder.w"]);
        assert!(without_piece("model.decoder.w").is_empty());
    }

    #[test]
    fn a_replacement_that_hits_the_inside_of_a_name_tears_it() {
        let words = ["weight_g=parametrizations.weight.original0".to_owned()];
        assert_eq!(replaced_within("gate.weight_gates.7", &words), ["gate.parametrizations.weight.original0ates.7"]);
        assert!(replaced_within("conv.weight_g", &words).is_empty());
    }
}
