//! Another kind of block, and another kind of norm, in a model of the same outline.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::Remedy;
use super::case::{Case, Cause, Rank, count};
use super::lists;
use crate::checkpoint::Entry;
use crate::rules::{BlockType, Diagnosis};

/// Explains modules that the blocks of one side have throughout and those of the other never.
pub(super) fn explain(case: &mut Case<'_>) {
    for block in &case.rules.blocks {
        for given in [true, false] {
            one(case, block, given);
        }
    }
}

fn one(case: &mut Case<'_>, block: &BlockType, given: bool) {
    let open = if given { case.unexpected() } else { case.missing() };
    let mut claims = Vec::new();
    // The blocks that have each of the children.
    let mut with: BTreeMap<&str, BTreeSet<(&str, u32)>> = BTreeMap::new();
    for (difference, entry) in &open {
        let key = entry.key.as_str();
        if !block.children.iter().any(|c| key.contains(c.as_str())) {
            continue;
        }
        let Some((path, number)) = lists::places(key).last() else { continue };
        let Some(below) = lists::below(key, path) else { continue };
        if let Some(child) = block.children.iter().find(|c| below.split('.').any(|segment| segment == c.as_str())) {
            with.entry(child).or_default().insert((path, number));
            claims.push(*difference);
        }
    }
    if with.len() < block.children.len() {
        return;
    }
    // Where the other side has such children as well, names differ and not the blocks.
    let other = if given { case.target } else { case.source };
    let has_child = |e: &Entry<'_>| {
        let below = lists::places(e.key.as_str()).last().and_then(|(path, _)| lists::below(e.key.as_str(), path));
        below.is_some_and(|b| b.split('.').any(|segment| block.children.iter().any(|c| c == segment)))
    };
    if other.entries.iter().any(has_child) {
        return;
    }
    let mut blocks: BTreeSet<(&str, u32)> = with.values().flatten().copied().collect();
    if case.partial() {
        // A block that a text names with all its layers is not there at all, whatever it is built of.
        for (_, entry) in &open {
            let key = entry.key.as_str();
            if let Some((path, number)) = lists::places(key).last()
                && lists::below(key, path).is_some_and(|below| FIRST.contains(&below))
            {
                blocks.remove(&(path, number));
            }
        }
    }
    let classes: HashSet<String> = blocks.iter().map(|(path, _)| lists::class(path)).collect();
    let all = if case.partial() { blocks.len() } else { all_blocks(case, &classes, given) };
    // A single block in many is a quirk of that block and not the kind that the model is built of.
    if blocks.len() < 2 || blocks.len() * 4 < all * 3 {
        return;
    }
    let n = count(blocks.len(), "block");
    let message = if given {
        format!("the checkpoint has {}, the model has {} ({n})", block.with, block.without)
    } else {
        format!("the model has {}, the checkpoint has {} ({n})", block.with, block.without)
    };
    if block.throughout {
        claims.extend(within(case, &classes));
    }
    let cause = Cause::new("CK112", Rank::Build, Remedy::Lost, message)
        .by(case.rules.rule(&block.rule))
        .with("blocks", blocks.len())
        .with("side", if given { "source" } else { "target" });
    case.claim(claims, cause);
}

/// The layers that blocks of every kind begin with.
const FIRST: [&str; 4] = ["conv1.weight", "norm1.weight", "ln_1.weight", "attn.qkv.weight"];

/// Everything that is amiss within lists of these classes.
fn within(case: &Case<'_>, classes: &HashSet<String>) -> Vec<u32> {
    let inside = |e: &Entry<'_>| lists::places(e.key.as_str()).any(|(path, _)| classes.contains(&lists::class(path)));
    let resized = case.resized().into_iter().filter(|r| inside(&r.target)).map(|r| r.difference);
    let keys = case.missing().into_iter().chain(case.unexpected()).filter(|(_, e)| inside(e)).map(|(d, _)| d);
    resized.chain(keys).collect()
}

/// How many blocks there are in lists of these classes.
fn all_blocks(case: &Case<'_>, classes: &HashSet<String>, given: bool) -> usize {
    let side = if given { case.source } else { case.target };
    let lists = lists::of(side.entries.iter().map(|e| e.key.as_str()));
    lists.iter().filter(|(path, _)| classes.contains(&lists::class(path))).map(|(_, numbers)| numbers.len()).sum()
}

/// Every module of one side within which a tensor is matched.
fn matched_modules<'a>(case: &Case<'a>, given: bool) -> HashSet<&'a str> {
    let mut out = HashSet::new();
    for (source, target) in case.alignment.matches.iter().filter_map(|m| case.pair(m)) {
        let mut key = if given { source.key.as_str() } else { target.key.as_str() };
        while let Some((module, _)) = key.rsplit_once('.')
            && out.insert(module)
        {
            key = module;
        }
    }
    out
}

/// Names of statistics that a norm keeps.
const STATISTICS: [&str; 3] = ["running_mean", "running_var", "num_batches_tracked"];

/// Explains norms that keep running statistics on one side only.
pub(super) fn norms(case: &mut Case<'_>) {
    for given in [true, false] {
        let (these, others) =
            if given { (case.unexpected(), case.missing()) } else { (case.missing(), case.unexpected()) };
        let with: BTreeSet<&str> =
            these.iter().filter(|(_, e)| e.key.leaf() == "running_mean").map(|(_, e)| e.key.module()).collect();
        let other = if given { case.target } else { case.source };
        let keeps = |e: &Entry<'_>| e.key.leaf() == "running_mean";
        let both = other.entries.iter().any(keeps);
        if with.len() < 2 || both || others.iter().any(|(_, e)| keeps(e)) {
            continue;
        }
        // Norms of a module of which nothing else is matched are missing with it.
        let known: HashSet<&str> = matched_modules(case, given);
        let with: BTreeSet<&str> = match case.partial() {
            true => with,
            false => with.into_iter().filter(|m| m.rsplit_once('.').is_none_or(|(p, _)| known.contains(p))).collect(),
        };
        if with.len() < 2 {
            continue;
        }
        // Where a text names one side alone, norms of which it names everything are modules that the other side lacks.
        let layer = |e: &Entry<'_>| e.key.leaf() == "weight" && !with.contains(e.key.module());
        let layers = these.iter().filter(|(_, e)| layer(e)).count();
        if case.partial() && others.is_empty() && layers * 2 > with.len() {
            continue;
        }
        let ours = |e: &Entry<'_>| with.contains(e.key.module());
        let mut claims: Vec<u32> = these.iter().filter(|(_, e)| ours(e)).map(|(d, _)| *d).collect();
        // Norms of the other side are modules of a weight and a bias whose name is a word for a norm.
        let words = case.rules.words(Diagnosis::NormType);
        let norm = |e: &Entry<'_>| {
            let name = e.key.module().rsplit('.').next().unwrap_or("").to_ascii_lowercase();
            let stem = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '_');
            matches!(e.key.leaf(), "weight" | "bias") && words.iter().any(|w| stem.ends_with(w.as_str()))
        };
        claims.extend(others.iter().filter(|(_, e)| norm(e)).map(|(d, _)| *d));
        let statistics = these.iter().filter(|(_, e)| STATISTICS.contains(&e.key.leaf())).count();
        let n = count(with.len(), "norm");
        // Norms whose weight and bias are there under the same names may be of another kind, or keep the statistics elsewhere.
        let unsure = case.partial() && statistics == claims.len();
        let message = if given && unsure {
            format!(
                "{n} of the checkpoint keep running statistics that the model has no place for: it has another norm, or other names for them"
            )
        } else if unsure {
            format!(
                "the running statistics of {n} are not in the checkpoint: it has another norm, or keeps them under other names"
            )
        } else if given {
            format!("{n} of the checkpoint keep running statistics (BatchNorm), the model has no running statistics")
        } else {
            format!("{n} of the model keep running statistics (BatchNorm), the checkpoint has no running statistics")
        };
        let cause = Cause::new("CK113", Rank::Build, Remedy::Lost, message)
            .by(case.rules.diagnosis(Diagnosis::NormType))
            .confidence(if unsure { 0.5 } else { 1.0 })
            .with("norms", with.len())
            .with("statistics", statistics);
        case.claim(claims, cause);
    }
}
