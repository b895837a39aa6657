//! Tensors whose sizes differ, read by the laws that the rules of `shapes/` name.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::case::{Case, Cause, Rank, Resized, count, some};
use super::fold::fold_keys;
use crate::align::How;
use crate::checkpoint::Shape;
use crate::rules::{Law, Reading};

/// Explains size mismatches by their laws, one finding for each rule and reading.
pub(super) fn explain(case: &mut Case<'_>) {
    let mut groups: Groups<'_> = BTreeMap::new();
    let mut together: HashSet<&str> = HashSet::new();
    for one in case.resized() {
        let read = |key| case.rules.shapes.get(key).find_map(|r| Some((r, r.law.read(one.from, one.to)?)));
        let read = read(one.target.key).or_else(|| read(one.source.key));
        let Some((rule, reading)) = read else { continue };
        if rule.together {
            together.insert(&rule.rule);
        }
        let group =
            groups.entry((&rule.rule, reading.words.clone())).or_insert_with(|| (rule.law, reading, Vec::new()));
        group.2.push((one.difference, one.target.key.as_str()));
    }
    join_attention(&mut groups);
    let mut readings: HashMap<&str, usize> = HashMap::new();
    for (rule, _) in groups.keys() {
        *readings.entry(rule).or_default() += 1;
    }
    for ((rule, words), (law, reading, claims)) in groups {
        // Heads that disagree are not one number of classes: each is told as it is.
        if together.contains(rule) && readings.get(rule).is_some_and(|&n| n > 1) {
            continue;
        }
        let about = case.rules.rule(rule);
        let message = format!("{words} in {}", tables(&claims));
        let mut cause = Cause::new(code(law), Rank::Size, reading.mend.into(), message).by(about);
        for (name, value) in reading.facts {
            cause = cause.with(name, value);
        }
        case.claim(claims.into_iter().map(|(d, _)| d), cause);
    }
}

/// Explains convolutions over another number of axes, those of one place included, whose values would fit.
pub(super) fn axes(case: &mut Case<'_>) {
    let resized = case.resized();
    let read = |key, from: &[u64], to: &[u64]| {
        let mut rules = case.rules.shapes.get(key).filter(|r| r.law == Law::Axes);
        rules.find_map(|r| Some((r.rule.clone(), r.law.read(from, to)?)))
    };
    let mut found =
        resized.iter().filter_map(|r| Some((r.difference, r.target.key, read(r.target.key, r.from, r.to)?)));
    let Some((first, key, (rule, reading))) = found.next() else { return };
    let mut claims = vec![(first, key.as_str())];
    claims.extend(found.filter(|(_, _, (_, r))| r.words == reading.words).map(|(d, key, _)| (d, key.as_str())));
    claims.extend(case.renamed().into_iter().filter_map(|(difference, m, source, target)| {
        let (from, to) = (source.shape()?.dims(), target.shape()?.dims());
        let same = m.how == How::Reshaped && read(target.key, from, to).is_some_and(|(_, r)| r.words == reading.words);
        same.then_some((difference, target.key.as_str()))
    }));
    let message = format!("{} in {}", reading.words, tables(&claims));
    let mut cause = Cause::new(code(Law::Axes), Rank::Build, reading.mend.into(), message).by(case.rules.rule(&rule));
    for (name, value) in reading.facts {
        cause = cause.with(name, value);
    }
    case.claim(claims.into_iter().map(|(d, _)| d), cause);
}

/// Another number of key and value heads is only that where the queries are as they were.
fn join_attention(groups: &mut Groups<'_>) {
    let Some(whole) = groups.iter().find(|(_, g)| g.0 == Law::HeadSize).map(|(key, _)| key.clone()) else { return };
    let parts: Vec<_> = groups.iter().filter(|(_, g)| g.0 == Law::KvHeads).map(|(key, _)| key.clone()).collect();
    for part in parts {
        if let Some((_, _, claims)) = groups.remove(&part)
            && let Some(group) = groups.get_mut(&whole)
        {
            group.2.extend(claims);
        }
    }
}

/// Size mismatches by rule and reading, with the law and what it read.
type Groups<'a> = BTreeMap<(&'a str, String), (Law, Reading, Vec<(u32, &'a str)>)>;

/// `3 tensors: ` and their names, folded; the name alone where it is one.
fn tables(claims: &[(u32, &str)]) -> String {
    let keys = claims.iter().map(|(_, key)| *key);
    let patterns: Vec<String> = fold_keys(keys).into_iter().map(|f| f.pattern).collect();
    match claims.len() {
        1 => some(&patterns, 1),
        n => format!("{}: {}", count(n, "tensor"), some(&patterns, 2)),
    }
}

/// The code of what a law explains.
fn code(law: Law) -> &'static str {
    match law {
        Law::WindowBias | Law::SquareBias | Law::RelPos | Law::Buckets => "CK202",
        Law::TokenGrid => "CK203",
        Law::Classes | Law::AnchorClasses | Law::YoloClasses => "CK204",
        Law::Vocabulary => "CK205",
        Law::InChannels | Law::ImageChannels => "CK206",
        Law::Transpose => "CK207",
        Law::Kernel | Law::Axes => "CK208",
        Law::Queries => "CK210",
        Law::ContextLength => "CK211",
        Law::KvHeads | Law::HeadSize => "CK212",
        Law::Rank => "CK115",
        Law::Packed => "CK117",
        Law::CoordsTable | Law::SquareIndex => "CK401",
    }
}

/// Tells what no law explains: both shapes, one finding for each pair of them.
pub(super) fn plain(case: &mut Case<'_>) {
    one_number(case);
    let mut groups: BTreeMap<(&[u64], &[u64]), Vec<(u32, &str)>> = BTreeMap::new();
    for one in case.resized() {
        groups.entry((one.from, one.to)).or_default().push((one.difference, one.target.key.as_str()));
    }
    // Weight and bias of one layer differ for one reason.
    let mut modules: BTreeMap<String, Vec<Mismatch<'_>>> = BTreeMap::new();
    for ((from, to), keys) in groups {
        let mut parents: Vec<&str> = keys.iter().map(|(_, k)| parent(k)).collect();
        parents.sort_unstable();
        parents.dedup();
        modules.entry(parents.join("\n")).or_default().push((from, to, keys));
    }
    for group in modules.into_values() {
        let keys = group.iter().flat_map(|(_, _, keys)| keys.iter().map(|(_, k)| *k));
        let patterns: Vec<String> = fold_keys(keys).into_iter().map(|f| f.pattern).collect();
        let sizes = group.iter().map(|(from, to, _)| format!("{} → {}", shape(from), shape(to)));
        let sizes: Vec<String> = sizes.take(2).collect();
        let more = if group.len() > 2 { ", …" } else { "" };
        let message = format!("size mismatch of {}: {}{more}", some(&patterns, 2), sizes.join(", "));
        let claims: Vec<u32> = group.iter().flat_map(|(_, _, keys)| keys.iter().map(|(d, _)| *d)).collect();
        let cause = Cause::new("CK201", Rank::Size, super::Remedy::Lost, message).help(CONFIGURATION);
        case.claim(claims, cause);
    }
}

/// The fewest tensors of different shapes that are told by the one number in which they differ.
const FEWEST: usize = 3;

/// Tells tensors of several shapes that differ in the same number: the width of what they all read.
fn one_number(case: &mut Case<'_>) {
    let mut groups: BTreeMap<(u64, u64), Vec<Resized<'_>>> = BTreeMap::new();
    for one in case.resized().into_iter().filter(|r| r.from.len() == r.to.len()) {
        let mut changes: Vec<(u64, u64)> =
            one.from.iter().zip(one.to).filter(|(a, b)| a != b).map(|(&a, &b)| (a, b)).collect();
        changes.dedup();
        if let [only] = changes.as_slice() {
            groups.entry(*only).or_default().push(one);
        }
    }
    for ((from, to), same) in groups {
        let shapes: HashSet<&[u64]> = same.iter().map(|r| r.from).collect();
        if same.len() < FEWEST || shapes.len() < 2 {
            continue;
        }
        let keys = same.iter().map(|r| r.target.key.as_str());
        let patterns: Vec<String> = fold_keys(keys).into_iter().map(|f| f.pattern).collect();
        let message =
            format!("size mismatch of {}: {from} → {to} in {}", some(&patterns, 2), count(same.len(), "tensor"));
        let cause = Cause::new("CK201", Rank::Size, super::Remedy::Lost, message)
            .help(CONFIGURATION)
            .with("from", from)
            .with("to", to);
        case.claim(same.iter().map(|r| r.difference).collect::<Vec<_>>(), cause);
    }
}

/// What to do about sizes that no rule explains.
const CONFIGURATION: &str = "build the model with the configuration of the checkpoint, or leave these keys out";

/// Two shapes, and the differences and keys that have them.
type Mismatch<'a> = (&'a [u64], &'a [u64], Vec<(u32, &'a str)>);

fn parent(key: &str) -> &str {
    key.rsplit_once('.').map_or("", |(module, _)| module)
}

fn shape(dims: &[u64]) -> Shape {
    Shape::from(dims.to_vec())
}
