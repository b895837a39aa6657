//! The fewest anchored rename rules that reproduce an alignment, verified by applying them.
//!
//! Two kinds of rules are found: whole-segment prefixes (`^blocks\.(\d+)\.` → `encoder.layer.\1.`) by [`prefixes`], and, where it
//! saves rules, whole segments inside names (`\.in_layers\.2\.` → `.conv1.`) by [`edits`], applied before the prefixes.

use std::collections::{HashMap, HashSet};

use regex::{Regex, RegexBuilder};

use super::{Alignment, Drop, Rename, Step};
use crate::checkpoint::StateDict;

mod apply;
mod drops;
mod edits;
mod order;
mod prefixes;
mod samples;
mod substitution;

use apply::Applied;
pub(crate) use samples::template;

/// A source key and the target key it must become.
type Pair<'a> = (&'a str, &'a str);

/// A rule before it is written as a regular expression.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Rule {
    /// The pattern, anchored.
    pattern: String,
    /// The replacement, groups as `\1`.
    replacement: String,
}

/// Fills in `renames` and `drops` of an alignment.
pub(crate) fn find(out: &mut Alignment, source: &StateDict<'_>, target: &StateDict<'_>) {
    let key = |i: u32| source.entries[i as usize].key.0;
    let mut pairs: Vec<(&str, &str)> = Vec::with_capacity(out.matches.len());
    let mut moved: HashSet<u32, foldhash::fast::RandomState> = HashSet::default();
    let mut uses: HashMap<u32, u32, foldhash::fast::RandomState> = HashMap::default();
    for m in out.matches.iter().filter(|m| m.step != Step::Tied) {
        for &s in &m.source {
            *uses.entry(s).or_insert(0) += 1;
        }
    }
    for m in out.matches.iter().filter(|m| m.step != Step::Tied) {
        if let &[s] = m.source.as_slice()
            && uses[&s] == 1
        {
            moved.insert(s);
            pairs.push((source.entries[s as usize].key.0, target.entries[m.target as usize].key.0));
        }
    }
    let others: Vec<&str> = (0..source.entries.len() as u32).filter(|s| !moved.contains(s)).map(key).collect();
    if pairs.iter().any(|(s, t)| s != t) {
        out.renames = fewest(&pairs, &others);
    }
    let kept: Vec<&str> =
        uses.keys().map(|&s| key(s)).chain(out.ambiguous.iter().flat_map(|g| &g.source).map(|&s| key(s))).collect();
    let unexpected: Vec<&str> = out.unexpected.iter().map(|&s| key(s)).collect();
    out.drops = drops::find(&unexpected, &kept);
}

/// One rule that parts all names into segments, where they are not parted by dots.
struct Spelling {
    pattern: &'static str,
    replacement: &'static str,
}

/// TensorFlow, Flax, T5X: `encoder/layers_0/kernel`.
const SLASHES: Spelling = Spelling { pattern: "/", replacement: "." };

/// kohya: `lora_unet_input_blocks_8_1_proj_in`, whose numbers are one segment with all around them otherwise.
const NUMBERS: Spelling = Spelling { pattern: r"_(\d+)", replacement: r".\1" };

/// With more rules than this, it is tried whether numbers that are parted from their words need fewer.
const MANY: usize = 200;

/// The fewest rules of those that were found without and with a spelling.
fn fewest(pairs: &[Pair<'_>], others: &[&str]) -> Vec<Rename> {
    let slashed = pairs.iter().filter(|(s, t)| s.contains('/') && !t.contains('/')).count();
    if slashed * 2 > pairs.len()
        && let Some((found, _)) = SLASHES.rules(pairs, others)
    {
        return found;
    }
    let (found, wrong) = rules(pairs, others);
    match (found.len() > MANY).then(|| NUMBERS.rules(pairs, others)).flatten() {
        Some((other, less_wrong)) if other.len() < found.len() && less_wrong <= wrong => other,
        _ => found,
    }
}

impl Spelling {
    /// The rules behind this one, with how many pairs they do not reproduce; `None` where two names would become one.
    fn rules(&self, pairs: &[Pair<'_>], others: &[&str]) -> Option<(Vec<Rename>, usize)> {
        let pattern = compile(self.pattern)?;
        let replacement = dollars(self.replacement);
        let spelled = |key: &str| pattern.replace_all(key, replacement.as_str()).into_owned();
        let sources: Vec<String> = pairs.iter().map(|(s, _)| spelled(s)).collect();
        let others: Vec<String> = others.iter().map(|s| spelled(s)).collect();
        let names: HashSet<&str> = sources.iter().chain(&others).map(String::as_str).collect();
        if names.len() < sources.len() + others.len() {
            return None;
        }
        let keys = pairs.iter().zip(&sources).filter(|((s, _), new)| s != new).count();
        let first = Rename { pattern: self.pattern.into(), replacement: self.replacement.into(), keys };
        let pairs: Vec<Pair<'_>> = sources.iter().zip(pairs).map(|(s, (_, t))| (s.as_str(), *t)).collect();
        let others: Vec<&str> = others.iter().map(String::as_str).collect();
        let (found, wrong) = rules(&pairs, &others);
        Some((std::iter::once(first).chain(found).collect(), wrong))
    }
}

/// Rules that turn the first of each pair into the second, without sending two keys to one, and how many pairs they fail.
fn rules(pairs: &[Pair<'_>], others: &[&str]) -> (Vec<Rename>, usize) {
    let mut extra: Vec<Pair<'_>> = Vec::new();
    let mut best: Option<(Vec<Rule>, Applied<'_>)> = None;
    for _ in 0..3 {
        let sampled = samples::take(pairs, &extra);
        let found = order::sequence(edits::solve(&sampled));
        let applied = Applied::new(&found, pairs, others);
        // What the samples did not show: these keys are looked at one by one.
        let before = extra.len();
        extra.extend(applied.wrong.iter().take(200).copied().filter(|p| !extra.contains(p)).collect::<Vec<_>>());
        if best.as_ref().is_none_or(|(_, b)| applied.wrong.len() < b.wrong.len()) {
            best = Some((found, applied));
        }
        if extra.len() == before {
            break;
        }
    }
    let Some((mut rules, mut applied)) = best else { return (Vec::new(), pairs.len()) };
    if !applied.wrong.is_empty() {
        // Names that change places are renamed in a circle: no order of rules will do.
        let marked = order::marked(&rules);
        let there = Applied::new(&marked, pairs, others);
        if there.wrong.len() < applied.wrong.len() {
            (rules, applied) = (marked, there);
        }
    }
    if !applied.collisions.is_empty() {
        rules = apply::aside(rules, &applied.collisions, pairs);
        applied = Applied::new(&rules, pairs, others);
    }
    let counted = rules.into_iter().zip(applied.counts).filter(|(_, keys)| *keys > 0);
    let found = counted.map(|(r, keys)| Rename { pattern: r.pattern, replacement: r.replacement, keys }).collect();
    (found, applied.wrong.len())
}

/// Compiles a pattern of ours. Patterns are built from escaped text, so this does not fail; a key of absurd length may.
fn compile(pattern: &str) -> Option<Regex> {
    // Digits of ASCII alone: keys hold no others, and all of Unicode's take a hundred times as long to compile.
    RegexBuilder::new(pattern).unicode(false).build().or_else(|_| Regex::new(pattern)).ok()
}

/// A replacement in the notation of the regex crate.
pub(crate) fn dollars(replacement: &str) -> String {
    let mut out = String::with_capacity(replacement.len() + 8);
    let mut chars = replacement.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.peek() {
                Some(d) if d.is_ascii_digit() => {
                    let digit = chars.next().unwrap_or('0');
                    out.push_str("${");
                    out.push(digit);
                    out.push('}');
                }
                Some('\\') => {
                    chars.next();
                    out.push('\\');
                }
                _ => out.push('\\'),
            },
            '$' => out.push_str("$$"),
            c => out.push(c),
        }
    }
    out
}

/// Literal text in a replacement.
fn literal(text: &str) -> String {
    text.replace('\\', "\\\\")
}
