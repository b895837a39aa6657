//! Another number of blocks: the checkpoint is of a deeper or a shallower variant.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::Remedy;
use super::case::{Case, Cause, Rank};
use super::lists::{self, Lists};
use crate::checkpoint::{Entry, StateDict};
use crate::rules::{Diagnosis, Variants};

/// A list that is longer on one side.
struct Longer<'a> {
    source: &'a str,
    target: &'a str,
    given: usize,
    wanted: usize,
}

/// Lists spelled out in a message.
const SHOWN: usize = 3;

/// Explains missing and unexpected blocks at the end of lists that both sides have.
pub(super) fn explain(case: &mut Case<'_>) {
    let Some(about) = case.rules.diagnosis(Diagnosis::Depth) else { return };
    let (missing, unexpected) = (case.missing(), case.unexpected());
    if missing.is_empty() && unexpected.is_empty() {
        return;
    }
    let longer = if case.partial() { from_text(&missing, &unexpected) } else { from_lists(case) };
    if longer.is_empty() {
        return;
    }
    let mut claims = Vec::new();
    for one in &longer {
        let beyond = |key: &str, list: &str, count: usize| {
            lists::places(key).any(|(path, n)| path == list && n as usize >= count)
        };
        claims.extend(missing.iter().filter(|(_, e)| beyond(e.key.as_str(), one.target, one.given)).map(|(d, _)| *d));
        claims
            .extend(unexpected.iter().filter(|(_, e)| beyond(e.key.as_str(), one.source, one.wanted)).map(|(d, _)| *d));
    }
    let named = case.rules.variants.iter().find_map(|v| {
        let given = name(v, case.source)?;
        let wanted = name(v, case.target)?;
        (given != wanted).then_some((v, given, wanted))
    });
    let shown: Vec<String> = longer
        .iter()
        .take(SHOWN)
        .map(|l| format!("`{}` has {} blocks, the model {}", l.target, l.given, l.wanted))
        .collect();
    let more = longer.len().saturating_sub(SHOWN);
    let mut message = shown.join("; ");
    if more > 0 {
        message += &format!("; and {more} lists more");
    }
    let mut rule = about;
    if let Some((v, given, wanted)) = &named {
        message += &format!(": {given} weights, a {wanted} model");
        rule = case.rules.rule(&v.rule).unwrap_or(about);
    }
    let (given, wanted): (Vec<usize>, Vec<usize>) = longer.iter().map(|l| (l.given, l.wanted)).unzip();
    let mut cause = Cause::new("CK106", Rank::Build, Remedy::Lost, message)
        .by(Some(rule))
        .with("lists", longer.iter().map(|l| l.target).collect::<Vec<_>>())
        .with("given", given)
        .with("wanted", wanted);
    if let Some((_, given, wanted)) = named {
        cause = cause.with("source_model", given).with("target_model", wanted);
    }
    case.claim(claims, cause);
}

/// Compares whole lists, of which the shorter one must be the beginning of the longer.
fn from_lists<'a>(case: &Case<'a>) -> Vec<Longer<'a>> {
    let given = lists::of(case.source.entries.iter().map(|e| e.key.as_str()));
    let wanted = lists::of(case.target.entries.iter().map(|e| e.key.as_str()));
    let mut found = Vec::new();
    let mut inside: Vec<&str> = Vec::new();
    for (target, source) in lists::pairs(case) {
        let (Some(a), Some(b)) = (run(&given, source), run(&wanted, target)) else { continue };
        let within = inside.iter().any(|outer| target.strip_prefix(outer).is_some_and(|r| r.starts_with('.')));
        if a == b || within || !alike(case, source, target, a.min(b)) {
            continue;
        }
        inside.push(target);
        found.push(Longer { source, target, given: a, wanted: b });
    }
    found
}

/// The length of a list whose numbers are 0, 1, 2, … without a gap.
fn run(lists: &Lists<'_>, path: &str) -> Option<usize> {
    let numbers = lists.get(path)?;
    numbers.iter().enumerate().all(|(i, &n)| i == n as usize).then_some(numbers.len())
}

/// Whether the blocks beyond the end of the shorter list are built like those before it.
fn alike(case: &Case<'_>, source: &str, target: &str, shorter: usize) -> bool {
    let (mut before, mut beyond): (BTreeSet<&str>, BTreeSet<&str>) = Default::default();
    for (entries, list) in [(&case.source.entries, source), (&case.target.entries, target)] {
        for entry in entries {
            let key = entry.key.as_str();
            let number = lists::places(key).find(|(path, _)| *path == list).map(|(_, n)| n as usize);
            if let (Some(n), Some(name)) = (number, lists::below(key, list)) {
                if n < shorter {
                    before.insert(name)
                } else {
                    beyond.insert(name)
                };
            }
        }
    }
    let known = beyond.iter().filter(|name| before.contains(*name)).count();
    !beyond.is_empty() && known * 2 >= beyond.len()
}

/// Reads depths off lists of keys in which what both sides have is not named: numbers from `k` on are there on one side
/// only, and nothing below `k` is, so `k` is the depth of the other.
fn from_text<'a>(missing: &[(u32, Entry<'a>)], unexpected: &[(u32, Entry<'a>)]) -> Vec<Longer<'a>> {
    let keys = |side: &[(u32, Entry<'a>)]| side.iter().map(|(_, e)| e.key.as_str()).collect::<Vec<&'a str>>();
    let (missing, unexpected) = (keys(missing), keys(unexpected));
    let (wanted, given) = (lists::of(missing.iter().copied()), lists::of(unexpected.iter().copied()));
    let mut found: Vec<Longer<'a>> = Vec::new();
    let sides = [(&wanted, &given, &missing, false), (&given, &wanted, &unexpected, true)];
    for (these, others, keys, in_source) in sides {
        for (&path, numbers) in these {
            let (Some(&first), Some(&last)) = (numbers.first(), numbers.last()) else { continue };
            let whole = last as usize - first as usize + 1 == numbers.len();
            let beyond: BTreeSet<u32> =
                others.get(path).into_iter().flatten().copied().filter(|&n| n >= first).collect();
            let within = found.iter().any(|l| path.strip_prefix(l.target).is_some_and(|r| r.starts_with('.')));
            let below: HashSet<&str> = keys.iter().filter_map(|k| lists::below(k, path)).collect();
            // One number, or one key a block, may as well be a layer that was added inside of a block.
            if first == 0
                || !whole
                || !beyond.is_empty()
                || within
                || numbers.len() * below.len() < 4
                || below.len() < 2
            {
                continue;
            }
            let (short, long) = (first as usize, last as usize + 1);
            let (given, wanted) = if in_source { (long, short) } else { (short, long) };
            found.push(Longer { source: path, target: path, given, wanted });
        }
    }
    found
}

/// The name of the variant that one side is of: by its depths, and by its width where that is known.
fn name(family: &Variants, side: &StateDict<'_>) -> Option<String> {
    let lists = lists::of(side.entries.iter().map(|e| e.key.as_str()));
    let width = side.entries.iter().find_map(|e| {
        let key = e.key.as_str();
        let fits = |w: &String| key.strip_suffix(w.as_str()).is_some_and(|r| r.is_empty() || r.ends_with('.'));
        let dims = e.shape()?.dims();
        // A class token is (1, 1, width).
        let size = if dims.first() == Some(&1) { dims.last() } else { dims.first() };
        family.width_key.iter().any(fits).then_some(*size?)
    });
    let depths = family.stages.iter().find_map(|stage| depths(&lists, stage))?;
    let fits =
        |m: &&crate::rules::Variant| m.depths == depths && m.width.is_none_or(|w| width.is_none_or(|known| known == w));
    let names: Vec<&str> = family.models.iter().filter(fits).map(|m| m.name.as_str()).collect();
    (!names.is_empty() && names.len() <= 3).then(|| names.join(" or "))
}

/// The number of blocks in each stage, in order of the stages.
fn depths(lists: &Lists<'_>, stage: &str) -> Option<Vec<u64>> {
    let mut by_prefix: BTreeMap<&str, BTreeMap<u32, u64>> = BTreeMap::new();
    let ends = |rest: &str| rest.is_empty() || rest.ends_with('.');
    for (path, numbers) in lists {
        let found = match stage.split_once('#') {
            None => path.strip_suffix(stage).map(|prefix| (prefix, 0)),
            Some((before, after)) => path.strip_suffix(after).and_then(|rest| {
                let stem = rest.trim_end_matches(|c: char| c.is_ascii_digit());
                let number = rest.get(stem.len()..)?.parse().ok()?;
                Some((stem.strip_suffix(before)?, number))
            }),
        };
        if let Some((prefix, number)) = found.filter(|(prefix, _)| ends(prefix)) {
            by_prefix.entry(prefix).or_default().insert(number, numbers.len() as u64);
        }
    }
    by_prefix.into_values().next().map(|stages| stages.into_values().collect())
}
