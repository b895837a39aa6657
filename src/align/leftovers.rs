//! What the assignment leaves over: the same tensor in another size, a tensor used twice, a quantised weight.
//!
//! Every step here follows names: a key is found under its own name, under the prefix that most matches add or lose, or
//! beside its siblings.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::analogy;
use super::structure::after;
use super::{Alignment, Ambiguous, How, Match, Step};
use crate::checkpoint::{Key, Shape, StateDict};
use crate::rules::lexicon::Lexicon;

/// How many modules around a tensor are asked where they went.
const DEPTH: usize = 3;

/// Adds matches that names imply to what was found.
pub(crate) fn add(out: &mut Alignment, source: &StateDict<'_>, target: &StateDict<'_>, lexicon: &Lexicon) {
    settle_equal_names(out, source, target);
    settle_beside(out, source, target);
    if out.missing.is_empty() || out.unexpected.is_empty() {
        return;
    }
    let pairs: Vec<(u32, u32)> =
        out.matches.iter().filter(|m| m.source.len() == 1).map(|m| (m.source[0], m.target)).collect();
    // Asked from the same side whichever is the source, as the structural step is.
    let found: Vec<(u32, u32)> = if after(source, target) {
        let turned: Vec<(u32, u32)> = pairs.iter().map(|&(s, t)| (t, s)).collect();
        let open = Open { first: &out.missing, second: &out.unexpected };
        by_name(target, source, &turned, open).into_iter().map(|(t, s)| (s, t)).collect()
    } else {
        by_name(source, target, &pairs, Open { first: &out.unexpected, second: &out.missing })
    };
    let taken: HashSet<(bool, u32)> = found.iter().flat_map(|&(s, t)| [(false, s), (true, t)]).collect();
    let like = analogy::find(source, target, &pairs, &out.unexpected, &out.missing);
    let like = like.into_iter().filter(|&(s, t)| !taken.contains(&(false, s)) && !taken.contains(&(true, t)));
    let matches = found
        .iter()
        .copied()
        .chain(like)
        .map(|(s, t)| {
            let identical = source.entries[s as usize].key == target.entries[t as usize].key;
            let how = if identical { How::Identical } else { How::Renamed };
            Match { target: t, source: vec![s], how, step: Step::Prefix, confidence: 0.95 }
        })
        .collect();
    insert(out, matches, source.entries.len());
    let quantised = packed(out, source, target, &pairs, lexicon);
    insert(out, quantised, source.entries.len());
    held_together(out, source, target);
}

/// One open tensor of the source that is as large as several open ones of the target of its name together holds them all; which part is
/// which, names do not say.
fn held_together(out: &mut Alignment, source: &StateDict<'_>, target: &StateDict<'_>) {
    if out.missing.is_empty() || out.unexpected.is_empty() {
        return;
    }
    let keys = |m: &Match| (source.entries[m.source[0] as usize].key, target.entries[m.target as usize].key);
    let names = Names::new(out.matches.iter().filter(|m| m.source.len() == 1).map(keys), source);
    let mut wholes: HashMap<(&str, u64), Vec<u32>> = HashMap::new();
    for &s in &out.unexpected {
        let entry = &source.entries[s as usize];
        if let Some(numel) = entry.shape().and_then(|s| s.numel()) {
            wholes.entry((entry.key.leaf(), numel)).or_default().push(s);
        }
    }
    type Place<'a> = (&'a str, &'a str, Option<&'a Shape>);
    let mut parts: BTreeMap<Place<'_>, Vec<u32>> = BTreeMap::new();
    for &t in &out.missing {
        let entry = &target.entries[t as usize];
        let key = entry.key.as_str();
        let module = key.rmatch_indices('.').find_map(|(at, _)| names.modules.get(&key[..at]).copied());
        if let Some(module) = module {
            parts.entry((module, entry.key.leaf(), entry.shape())).or_default().push(t);
        }
    }
    for ((module, leaf, shape), targets) in parts {
        let numel = shape.and_then(|s| s.numel()).and_then(|n| n.checked_mul(targets.len() as u64));
        let (Some(numel), true) = (numel, targets.len() > 1) else { continue };
        let below = |s: &&u32| {
            let key = source.entries[**s as usize].key.as_str();
            key.strip_prefix(module).is_some_and(|rest| rest.starts_with('.'))
        };
        let whole: Vec<u32> = wholes.get(&(leaf, numel)).into_iter().flatten().filter(below).copied().collect();
        if let &[s] = whole.as_slice() {
            let why = "one tensor is as large as these together; which part is which, names and shapes do not say";
            out.missing.retain(|t| !targets.contains(t));
            out.unexpected.retain(|&u| u != s);
            out.ambiguous.push(Ambiguous { target: targets, source: vec![s], why: why.into() });
        }
    }
}

/// Takes keys out of undecided groups that stand on both sides under one name and in one shape: what loads as it is is no question.
fn settle_equal_names(out: &mut Alignment, source: &StateDict<'_>, target: &StateDict<'_>) {
    let mut found = Vec::new();
    for group in &mut out.ambiguous {
        let by_key: HashMap<&str, u32> =
            group.source.iter().map(|&s| (source.entries[s as usize].key.as_str(), s)).collect();
        let mut taken: HashSet<u32> = HashSet::new();
        group.target.retain(|&t| {
            let entry = &target.entries[t as usize];
            match by_key.get(entry.key.as_str()) {
                Some(&s) if source.entries[s as usize].shape() == entry.shape() => {
                    taken.insert(s);
                    found.push(Match {
                        target: t,
                        source: vec![s],
                        how: How::Identical,
                        step: Step::Identical,
                        confidence: 0.95,
                    });
                    false
                }
                _ => true,
            }
        });
        group.source.retain(|s| !taken.contains(s));
    }
    close_groups(out);
    insert(out, found, source.entries.len());
}

/// Takes keys out of undecided groups whose siblings all went to the siblings of one candidate.
fn settle_beside(out: &mut Alignment, source: &StateDict<'_>, target: &StateDict<'_>) {
    if out.ambiguous.is_empty() {
        return;
    }
    let keys = |m: &Match| (source.entries[m.source[0] as usize].key, target.entries[m.target as usize].key);
    let pairs: Vec<_> = out.matches.iter().filter(|m| m.source.len() == 1).map(keys).collect();
    let names = Names::new(pairs.iter().copied(), source);
    let back = Names::new(pairs.iter().map(|&(a, b)| (b, a)), target);
    let mut found = Vec::new();
    for group in &mut out.ambiguous {
        let by_key: HashMap<&str, u32> =
            group.source.iter().map(|&s| (source.entries[s as usize].key.as_str(), s)).collect();
        let mut taken: HashSet<u32> = HashSet::new();
        group.target.retain(|&t| {
            let entry = &target.entries[t as usize];
            let there = names.beside(entry.key.as_str()).find_map(|k| by_key.get(k.as_str()).copied());
            let Some(s) = there.filter(|s| !taken.contains(s)) else { return true };
            let same = source.entries[s as usize].shape() == entry.shape();
            let returns = back.beside(source.entries[s as usize].key.as_str()).any(|k| k == entry.key.as_str());
            if same && returns {
                taken.insert(s);
                found.push(Match {
                    target: t,
                    source: vec![s],
                    how: How::Renamed,
                    step: Step::Structure,
                    confidence: 0.9,
                });
            }
            !(same && returns)
        });
        group.source.retain(|s| !taken.contains(s));
    }
    close_groups(out);
    insert(out, found, source.entries.len());
}

/// Gives up groups of which one side is settled: what is left of the other is open.
fn close_groups(out: &mut Alignment) {
    let (open_s, open_t): (Vec<u32>, Vec<u32>) = out
        .ambiguous
        .iter()
        .filter(|g| g.source.is_empty() || g.target.is_empty())
        .fold((Vec::new(), Vec::new()), |(mut s, mut t), g| {
            s.extend(&g.source);
            t.extend(&g.target);
            (s, t)
        });
    out.ambiguous.retain(|g| !g.source.is_empty() && !g.target.is_empty());
    out.unexpected.extend(open_s);
    out.unexpected.sort_unstable();
    out.missing.extend(open_t);
    out.missing.sort_unstable();
}

/// Keys of either side that nothing was found for.
struct Open<'a> {
    first: &'a [u32],
    second: &'a [u32],
}

/// Pairs of open keys that names put together: an equal name, the usual prefix, or beside the siblings, seen from both sides.
fn by_name(first: &StateDict<'_>, second: &StateDict<'_>, pairs: &[(u32, u32)], open: Open<'_>) -> Vec<(u32, u32)> {
    let keys = |&(a, b): &(u32, u32)| (first.entries[a as usize].key, second.entries[b as usize].key);
    let names = Names::new(pairs.iter().map(keys), first);
    let back = Names::new(pairs.iter().map(keys).map(|(a, b)| (b, a)), second);
    let mut free: HashSet<u32, foldhash::fast::RandomState> = open.first.iter().copied().collect();
    let mut found = Vec::new();
    for &b in open.second {
        let key = second.entries[b as usize].key.as_str();
        // A name that is found from one side only is a guess.
        let found_back = |a: u32| back.candidates(first.entries[a as usize].key.as_str()).any(|(k, _)| k == key);
        let same = names.candidates(key).find_map(|(k, identical)| {
            let a = *names.source.get(k.as_str())?;
            (free.contains(&a) && (identical || found_back(a))).then_some(a)
        });
        if let Some(a) = same {
            free.remove(&a);
            found.push((a, b));
        }
    }
    found
}

/// Quantised weights: their packed parts stand where the weight would stand.
fn packed(
    out: &Alignment,
    source: &StateDict<'_>,
    target: &StateDict<'_>,
    pairs: &[(u32, u32)],
    lexicon: &Lexicon,
) -> Vec<Match> {
    let keys = |&(s, t): &(u32, u32)| (source.entries[s as usize].key, target.entries[t as usize].key);
    let names = Names::new(pairs.iter().map(keys), source);
    let mut free: HashSet<u32, foldhash::fast::RandomState> = out.unexpected.iter().copied().collect();
    let mut found = Vec::new();
    for &t in &out.missing {
        let key = target.entries[t as usize].key.as_str();
        let parts = lexicon.packed.iter().find_map(|packed| {
            let module = key.strip_suffix(packed.whole.as_str())?;
            names.candidates(module).find_map(|(m, _)| {
                let parts: Vec<u32> =
                    packed.parts.iter().filter_map(|p| names.source.get(format!("{m}{p}").as_str()).copied()).collect();
                (parts.len() >= packed.at_least && parts.iter().all(|s| free.contains(s))).then_some(parts)
            })
        });
        if let Some(parts) = parts {
            parts.iter().for_each(|s| {
                free.remove(s);
            });
            found.push(Match { target: t, source: parts, how: How::Merged, step: Step::Prefix, confidence: 0.9 });
        }
    }
    found
}

/// Puts new matches in their places and takes their keys off the lists of missing and unexpected ones.
pub(crate) fn insert(out: &mut Alignment, found: Vec<Match>, sources: usize) {
    if found.is_empty() {
        return;
    }
    let mut used = vec![false; sources];
    out.matches.extend(found);
    out.matches.sort_by_key(|m| m.target);
    for &s in out.matches.iter().flat_map(|m| &m.source) {
        used[s as usize] = true;
    }
    let matches = &out.matches;
    out.missing.retain(|t| matches.binary_search_by_key(t, |m| m.target).is_err());
    out.unexpected.retain(|&s| !used[s as usize]);
}

/// How names relate in what was matched: the usual prefix, and where the siblings of a key went.
struct Names<'a> {
    source: HashMap<&'a str, u32, foldhash::fast::RandomState>,
    /// What the source puts in front and the target does not, and the other way round.
    prefix: (String, String),
    /// For each module of the target, the module of the source that most of its tensors come from.
    modules: HashMap<&'a str, &'a str, foldhash::fast::RandomState>,
}

impl<'a> Names<'a> {
    /// What `pairs` of a source and a target key show; `source` is where keys are looked up.
    fn new(pairs: impl Iterator<Item = (Key<'a>, Key<'a>)>, source: &StateDict<'a>) -> Self {
        let mut prefixes: HashMap<(&str, &str), usize> = HashMap::new();
        let mut modules: HashMap<&str, HashMap<&str, usize>> = HashMap::new();
        for (a, b) in pairs {
            if let Some(p) = before(a.as_str(), b.as_str()) {
                *prefixes.entry((p, "")).or_default() += 1;
            } else if let Some(p) = before(b.as_str(), a.as_str()) {
                *prefixes.entry(("", p)).or_default() += 1;
            }
            if a.leaf() == b.leaf() {
                // The modules around them go together as well, as far as both are nested.
                let (mut x, mut y) = (a.module(), b.module());
                for _ in 0..DEPTH {
                    if x.is_empty() || y.is_empty() {
                        break;
                    }
                    *modules.entry(y).or_default().entry(x).or_default() += 1;
                    (x, y) = (Key(x).module(), Key(y).module());
                }
            }
        }
        let most = prefixes.into_iter().max_by(|a, b| a.1.cmp(&b.1).then_with(|| joined(b.0).cmp(&joined(a.0))));
        let prefix = most.map_or((String::new(), String::new()), |((a, b), _)| (a.to_owned(), b.to_owned()));
        let modules = modules
            .into_iter()
            .filter_map(|(t, from)| {
                from.into_iter().max_by(|a, b| a.1.cmp(&b.1).then(b.0.cmp(a.0))).map(|(s, _)| (t, s))
            })
            .collect();
        let source = source.entries.iter().enumerate().map(|(i, e)| (e.key.as_str(), i as u32)).collect();
        Names { source, prefix, modules }
    }

    /// Where in the source a key of the target may stand, and whether that is its own name.
    fn candidates<'k>(&'k self, key: &'k str) -> impl Iterator<Item = (String, bool)> + 'k {
        let prefixed = key.strip_prefix(self.prefix.1.as_str()).map(|rest| (format!("{}{rest}", self.prefix.0), false));
        std::iter::once((key.to_owned(), true)).chain(prefixed).chain(self.beside(key).map(|k| (k, false)))
    }

    /// Where in the source a key of the target stands if it stands where its siblings do.
    fn beside<'k>(&'k self, key: &'k str) -> impl Iterator<Item = String> + 'k {
        key.rmatch_indices('.')
            .take(DEPTH)
            .filter_map(|(at, _)| Some(format!("{}{}", self.modules.get(&key[..at])?, &key[at..])))
    }
}

/// A prefix relation as one text, the same from both sides.
fn joined(prefix: (&str, &str)) -> String {
    format!("{}{}", prefix.0, prefix.1)
}

/// `backbone.` for `backbone.conv1.weight` and `conv1.weight`.
fn before<'k>(long: &'k str, short: &str) -> Option<&'k str> {
    let p = long.strip_suffix(short)?;
    (p.is_empty() || p.ends_with('.')).then_some(p)
}
