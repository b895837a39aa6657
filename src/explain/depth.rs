//! Another number of blocks: the checkpoint is of a deeper or a shallower variant.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

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

/// So many blocks that one more is no other variant.
const MANY: usize = 8;

/// Numbers so small may as well tell one of a few parts (`embedders.1`) as a block.
const FIRST_BLOCKS: u32 = 4;

/// Lists spelled out in a message.
const SHOWN: usize = 3;

/// Explains missing and unexpected blocks at the end of lists that both sides have.
pub(super) fn explain(case: &mut Case<'_>) {
    let Some(about) = case.rules.diagnosis(Diagnosis::Depth) else { return };
    let (missing, unexpected) = (case.missing(), case.unexpected());
    if missing.is_empty() && unexpected.is_empty() {
        return;
    }
    let longer = if case.partial() { from_text(case, &missing, &unexpected) } else { from_lists(case) };
    if longer.is_empty() {
        return;
    }
    let beyond = |key: &str, shorter: &HashMap<&str, usize>| {
        lists::places(key).any(|(path, n)| shorter.get(path).is_some_and(|&count| n as usize >= count))
    };
    let here: HashMap<&str, usize> = longer.iter().map(|l| (l.target, l.given)).collect();
    let there: HashMap<&str, usize> = longer.iter().map(|l| (l.source, l.wanted)).collect();
    let lost = missing.iter().filter(|(_, e)| beyond(e.key.as_str(), &here));
    let extra = unexpected.iter().filter(|(_, e)| beyond(e.key.as_str(), &there));
    let claims: Vec<u32> = lost.chain(extra).map(|(d, _)| *d).collect();
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
    // Where a text names far more that differs, a list here and there is not what is wrong.
    let plain = |side: &StateDict<'_>| side.entries.iter().filter(|e| e.shape().is_none()).count();
    let minor = case.partial() && claims.len() * 4 < plain(case.source) + plain(case.target);
    let rank = if minor { Rank::Harmless } else { Rank::Build };
    let mut cause = Cause::new("CK106", rank, Remedy::Lost, message)
        .confidence(if minor { 0.6 } else { 1.0 })
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
    let mut found: Vec<Longer<'a>> = Vec::new();
    for (target, source) in lists::pairs(case) {
        if let (Some(a), Some(b)) = (run(&given, source), run(&wanted, target))
            && a != b
        {
            found.push(Longer { source, target, given: a, wanted: b });
        }
    }
    // A last block that the model is built without (encoders whose next to last layer is read) leaves nothing without a value.
    found.retain(|l| l.given != l.wanted + 1 || l.wanted < MANY || !case.missing().is_empty());
    let alike = alike(case, &found);
    let mut alike = alike.iter();
    found.retain(|_| alike.next().is_some_and(|&yes| yes));
    // Of lists within lists the outer one is the cause; it comes first, being shorter.
    let mut outer: Vec<&str> = Vec::new();
    found.retain(|l| {
        let within = outer.last().is_some_and(|o| l.target.strip_prefix(o).is_some_and(|rest| rest.starts_with('.')));
        if !within {
            outer.push(l.target);
        }
        !within
    });
    found
}

/// The length of a list whose numbers are 0, 1, 2, … without a gap.
fn run(lists: &Lists<'_>, path: &str) -> Option<usize> {
    let numbers = lists.get(path)?;
    numbers.iter().enumerate().all(|(i, &n)| i == n as usize).then_some(numbers.len())
}

/// Names of tensors in the blocks that both sides have, and in those beyond.
type Names<'a> = (HashSet<&'a str>, HashSet<&'a str>);

/// For each list, whether the blocks beyond the end of the shorter one are built like those before it.
fn alike(case: &Case<'_>, found: &[Longer<'_>]) -> Vec<bool> {
    let mut names: Vec<Names<'_>> = found.iter().map(|_| Names::default()).collect();
    for given in [true, false] {
        let entries = if given { &case.source.entries } else { &case.target.entries };
        let lists: HashMap<&str, usize> =
            found.iter().enumerate().map(|(i, l)| (if given { l.source } else { l.target }, i)).collect();
        if lists.is_empty() {
            break;
        }
        for key in entries.iter().map(|e| e.key.as_str()) {
            for (path, number) in lists::places(key) {
                let Some(&i) = lists.get(path) else { continue };
                if let (Some(list), Some((before, beyond)), Some(name)) =
                    (found.get(i), names.get_mut(i), lists::below(key, path))
                {
                    let common = (number as usize) < list.given.min(list.wanted);
                    if common {
                        before.insert(name)
                    } else {
                        beyond.insert(name)
                    };
                }
            }
        }
    }
    let alike = |(before, beyond): &Names<'_>| {
        let known = beyond.iter().filter(|name| before.contains(*name)).count();
        !beyond.is_empty() && known * 2 >= beyond.len()
    };
    names.iter().map(alike).collect()
}

/// Reads depths off lists of keys in which what both sides have is not named: numbers from `k` on are there on one side
/// only, and nothing below `k` is, so `k` is the depth of the other.
fn from_text<'a>(case: &Case<'a>, missing: &[(u32, Entry<'a>)], unexpected: &[(u32, Entry<'a>)]) -> Vec<Longer<'a>> {
    // A block of which a tensor has another size is on both sides.
    let resized = case.resized();
    let both = lists::of(resized.iter().map(|r| r.target.key.as_str()));
    // Blocks before the first one are only taken to be on both sides where the text does not name them, or where only what
    // stands before the list has another name.
    let named =
        |side: &StateDict<'a>| lists::of(side.entries.iter().filter(|e| e.shape().is_none()).map(|e| e.key.as_str()));
    let (all_given, all_wanted) = (named(case.source), named(case.target));
    let paired: HashSet<&str> = lists::pairs(case)
        .into_iter()
        .filter(|(t, s)| t == s || t.ends_with(&format!(".{s}")) || s.ends_with(&format!(".{t}")))
        .flat_map(|(t, s)| [t, s])
        .collect();
    let keys = |side: &[(u32, Entry<'a>)]| side.iter().map(|(_, e)| e.key.as_str()).collect::<Vec<&'a str>>();
    let (missing, unexpected) = (keys(missing), keys(unexpected));
    let (wanted, given) = (lists::of(missing.iter().copied()), lists::of(unexpected.iter().copied()));
    let mut found: Vec<Longer<'a>> = Vec::new();
    let sides =
        [(&wanted, &all_given, &missing, &all_wanted, false), (&given, &all_wanted, &unexpected, &all_given, true)];
    for (these, others, keys, all, in_source) in sides {
        for (&path, numbers) in these {
            let (Some(&first), Some(&last)) = (numbers.first(), numbers.last()) else { continue };
            let whole = last as usize - first as usize + 1 == numbers.len();
            let beyond: BTreeSet<u32> =
                others.get(path).into_iter().flatten().copied().filter(|&n| n >= first).collect();
            let within = found.iter().any(|l| path.strip_prefix(l.target).is_some_and(|r| r.starts_with('.')));
            let below: HashSet<&str> = keys.iter().filter_map(|k| lists::below(k, path)).collect();
            // One number, or one key a block, may as well be a layer that was added inside of a block.
            let before = all.get(path).is_some_and(|numbers| numbers.iter().any(|&n| n < first));
            // One number before everything is a part of the prefix.
            let prefix =
                numbers.len() == 1 && first < FIRST_BLOCKS && keys.iter().all(|k| lists::below(k, path).is_some());
            if first == 0
                || prefix
                || before && !paired.contains(path)
                || !whole
                || !beyond.is_empty()
                || both.get(path).is_some_and(|there| there.iter().any(|&n| n >= first))
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
