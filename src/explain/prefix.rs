//! Something stands before or within every key: wrappers of tools, a larger model around a smaller one, any other prefix.

use std::collections::HashMap;

use super::Remedy;
use super::case::{Case, Cause, Rank, some};
use crate::checkpoint::StateDict;
use crate::read::log::MODEL_CLASS;
use crate::rules::{Diagnosis, Place, RuleSet, Wrapper};

/// What separates a source key from its target key, apart from the end they share.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Around {
    /// Wrapper segments that only the source has, or only the target, as indices into the rules.
    given_wrappers: Vec<usize>,
    wanted_wrappers: Vec<usize>,
    /// Wrappers that both have, in other places.
    moved: Vec<usize>,
    /// What is left of the two beginnings.
    given: String,
    wanted: String,
}

/// Explains renamed matches whose names differ by wrappers and one prefix alone.
pub(super) fn explain(case: &mut Case<'_>) {
    let mut readings: HashMap<(&str, &str), Vec<u32>, foldhash::fast::RandomState> = HashMap::default();
    for (difference, _, source, target) in case.renamed() {
        let (given, wanted) = beginnings(source.key.as_str(), target.key.as_str());
        if !given.is_empty() || !wanted.is_empty() {
            readings.entry((given, wanted)).or_default().push(difference);
        }
    }
    let mut groups: HashMap<Around, Vec<u32>> = HashMap::new();
    for ((given, wanted), claims) in readings {
        let around = read(case.rules, given, wanted);
        // Two different beginnings are a rename.
        if around.given.is_empty() || around.wanted.is_empty() {
            groups.entry(around).or_default().extend(claims);
        }
    }
    let mut groups: Vec<(Around, Vec<u32>)> = groups.into_iter().collect();
    groups.sort_by(|a, b| (b.1.len(), &a.0).cmp(&(a.1.len(), &b.0)));
    let groups = nested(groups);
    // A prefix that one key of many has is a name like any other: rename rules tell it better.
    let most = case.renamed().len();
    for (around, claims) in groups {
        let tools = |wrappers: &[usize]| {
            wrappers.iter().any(|&w| case.rules.wrappers.get(w).is_some_and(|w| w.place == Place::Anywhere))
        };
        let wraps = tools(&around.given_wrappers) || tools(&around.wanted_wrappers);
        // `model.` before a minority, where the rest was renamed below it, is part of the renaming.
        let attribute = !around.given_wrappers.is_empty() || !around.wanted_wrappers.is_empty();
        // Where a text leaves most keys unexplained, a prefix before some is chance.
        let plain = |side: &StateDict<'_>| side.entries.iter().filter(|e| e.shape().is_none()).count();
        let chance = case.partial() && claims.len() * 4 < plain(case.source).min(plain(case.target));
        if wraps || !chance && claims.len() * if attribute { 2 } else { 20 } >= most {
            let cause = cause(case, &around, claims.len());
            case.claim(claims, cause);
        }
    }
}

/// Joins groups that differ by wrappers alone: some modules of one model are wrapped once more (adapted layers, units of
/// FSDP), which is one cause.
fn nested(groups: Vec<(Around, Vec<u32>)>) -> Vec<(Around, Vec<u32>)> {
    let mut out: Vec<(Around, Vec<u32>)> = Vec::new();
    for (around, claims) in groups {
        let within = |a: &[usize], b: &[usize]| !a.is_empty() && a.iter().all(|w| b.contains(w));
        let once_more = |less: &Around, more: &Around| {
            (more.given == less.given && more.wanted == less.wanted)
                && (within(&less.given_wrappers, &more.given_wrappers) && less.wanted_wrappers == more.wanted_wrappers
                    || within(&less.wanted_wrappers, &more.wanted_wrappers)
                        && less.given_wrappers == more.given_wrappers)
        };
        let same = out.iter_mut().find(|(known, _)| once_more(known, &around) || once_more(&around, known));
        match same {
            Some((known, list)) => {
                for (theirs, ours) in [
                    (&mut known.given_wrappers, around.given_wrappers),
                    (&mut known.wanted_wrappers, around.wanted_wrappers),
                ] {
                    for wrapper in ours {
                        if !theirs.contains(&wrapper) {
                            theirs.push(wrapper);
                        }
                    }
                }
                list.extend(claims);
            }
            None => out.push((around, claims)),
        }
    }
    out
}

/// What stands before the longest end that two keys share, cut at a dot.
fn beginnings<'a>(source: &'a str, target: &'a str) -> (&'a str, &'a str) {
    let (mut s, mut t) = (source, target);
    loop {
        let (head_s, last_s) = s.rsplit_once('.').unwrap_or(("", s));
        let (head_t, last_t) = t.rsplit_once('.').unwrap_or(("", t));
        if last_s != last_t || s.is_empty() || t.is_empty() {
            break;
        }
        (s, t) = (head_s, head_t);
    }
    (s, t)
}

/// Takes wrappers off both beginnings.
fn read(rules: &RuleSet, given: &str, wanted: &str) -> Around {
    let (inner_given, inner_wanted) = apart(rules, given, wanted);
    let inner = (inner_given, inner_wanted) != (given, wanted);
    let (given, wanted) = (inner_given, inner_wanted);
    let (mut given_wrappers, given_rest) = rules.unwrap(given);
    let (mut wanted_wrappers, wanted_rest) = rules.unwrap(wanted);
    // A segment that both sides have is a name of the model.
    given_wrappers.sort_unstable();
    wanted_wrappers.sort_unstable();
    let both: Vec<usize> = given_wrappers.iter().filter(|w| wanted_wrappers.contains(w)).copied().collect();
    given_wrappers.retain(|w| !both.contains(w));
    wanted_wrappers.retain(|w| !both.contains(w));
    given_wrappers.dedup();
    wanted_wrappers.dedup();
    let mut moved = both;
    moved.dedup();
    // The name of an attribute wraps at the start of a key; further in it is a prefix like any other.
    let attribute = |w: &usize| rules.wrappers.get(*w).is_some_and(|w| w.place == Place::Prefix);
    if inner && given_wrappers.iter().chain(&wanted_wrappers).any(attribute) {
        let (given, wanted) = (given.to_owned(), wanted.to_owned());
        return Around { given_wrappers: Vec::new(), wanted_wrappers: Vec::new(), moved: Vec::new(), given, wanted };
    }
    // Equal beginnings without the wrappers: nothing but wrappers differed.
    let (given, wanted) = if given_rest == wanted_rest {
        Default::default()
    } else {
        (given_rest.into_owned(), wanted_rest.into_owned())
    };
    Around { given_wrappers, wanted_wrappers, moved, given, wanted }
}

/// Two beginnings without the segments that both begin with, where these are part of a wrapper: `base_model.model` and
/// `base_model` differ by `model`.
fn apart<'a>(rules: &RuleSet, given: &'a str, wanted: &'a str) -> (&'a str, &'a str) {
    let part = |short: &str| {
        let longer = |w: &str| w.strip_prefix(short).is_some_and(|rest| rest.starts_with('.'));
        !short.is_empty() && rules.wrappers.iter().any(|w| longer(&w.segment))
    };
    let below = |long: &'a str, short: &str| long.strip_prefix(short)?.strip_prefix('.').filter(|_| part(short));
    match (below(given, wanted), below(wanted, given)) {
        (Some(rest), _) => (rest, ""),
        (_, Some(rest)) => ("", rest),
        _ => (given, wanted),
    }
}

/// Puts a group into words.
fn cause(case: &Case<'_>, around: &Around, keys: usize) -> Cause {
    let rules = case.rules;
    let (wrappers, prefix, from_source) =
        if !around.given.is_empty() || (around.wanted.is_empty() && !around.given_wrappers.is_empty()) {
            (&around.given_wrappers, &around.given, true)
        } else {
            (&around.wanted_wrappers, &around.wanted, false)
        };
    let wrappers = if wrappers.is_empty() && prefix.is_empty() { &around.moved } else { wrappers };
    let wrapper_rules = || wrappers.iter().filter_map(|&w| rules.wrappers.get(w));
    let part = rules.parts.iter().find(|p| p.prefix == *prefix);
    let elsewhere = prefix.is_empty() && around.given_wrappers.is_empty() && around.wanted_wrappers.is_empty();
    let mut shown: Vec<String> = wrapper_rules().filter(|_| !elsewhere).map(|w| format!("{}.", w.segment)).collect();
    if !prefix.is_empty() {
        shown.push(format!("{prefix}."));
    }
    let total = if from_source { case.target.entries.len() } else { case.source.entries.len() };
    let how_many = if keys >= total { format!("all {total}") } else { format!("{keys} of {total}") };
    let place = some(&shown, 4);
    let message = if shown.is_empty() {
        let both = around.moved.iter().filter_map(|&w| Some(format!("{}.", rules.wrappers.get(w)?.segment)));
        format!("{how_many} keys carry {} in another place than the model's", some(&both.collect::<Vec<_>>(), 2))
    } else if from_source {
        let where_ = if prefix.is_empty() { "with" } else { "under" };
        format!("{how_many} expected keys are there {where_} {place}")
    } else {
        format!("the model expects {how_many} keys of the checkpoint under {place}")
    };
    let rule = part
        .and_then(|p| rules.rule(&p.rule))
        .or_else(|| wrapper_rules().find_map(|w| rules.rule(&w.rule)).filter(|_| prefix.is_empty()))
        .or_else(|| rules.diagnosis(Diagnosis::Prefix));
    let help = match (part, rule) {
        (Some(p), Some(r)) if from_source => format!("{}; {}", p.whole_given, r.help),
        (Some(p), Some(_)) => format!("{}; add the prefix, or load into that part of the model", p.part_given),
        (None, Some(r)) if elsewhere => {
            format!("{}; move it to where the model has it, or strip it on both sides", r.summary)
        }
        (None, Some(_)) if prefix.is_empty() && from_source && wrappers.len() > 1 => {
            let all: Vec<&str> = wrapper_rules().filter_map(|w| Some(rules.rule(&w.rule)?.summary.as_str())).collect();
            format!("{}; strip them all, in whichever order they come", all.join("; "))
        }
        (None, Some(r)) if prefix.is_empty() && from_source => format!("{}; {}", r.summary, r.help),
        (None, Some(r)) if prefix.is_empty() => format!("{}; load into the module inside, or add it", r.summary),
        (_, Some(r)) if from_source => r.help.clone(),
        _ => "add the prefix, or load into that part of the model".to_owned(),
    };
    let mut cause = Cause::new("CK103", Rank::Prefix, Remedy::Edit, message)
        .by(rule)
        .help(help)
        .with("side", if from_source { "source" } else { "target" })
        .with("prefix", shown.concat())
        .with("keys", keys)
        .with("of", total);
    if let Some(p) = part {
        cause = cause.with("whole", p.whole.clone()).with("part", p.part.clone());
    }
    cause
}

/// Explains keys that nothing answers but whose names tell their wrapper: an error text may show one side only.
pub(super) fn explain_one_side(case: &mut Case<'_>) {
    if !case.missing().is_empty() || !case.alignment.matches.is_empty() {
        return;
    }
    let unexpected = case.unexpected();
    // Buffers alone say nothing of a wrapper: all other keys of the model may carry it as well, and fit.
    if unexpected.iter().all(|(_, e)| case.rules.buffers.contains(e.key)) {
        return;
    }
    let named = case.target.checkpoint.metadata.iter().find(|(name, _)| name == MODEL_CLASS);
    let class = named.map(|(_, class)| class.as_str());
    let mut by_wrapper: HashMap<usize, Vec<u32>> = HashMap::new();
    for (difference, entry) in &unexpected {
        for wrapper in case.rules.unwrap(entry.key.module()).0 {
            // A model that is wrapped itself has the segment in all its keys.
            let own = |w: &Wrapper| w.classes.iter().any(|c| Some(c.as_str()) == class);
            let tool = case.rules.wrappers.get(wrapper).is_some_and(|w| w.place == Place::Anywhere && !own(w));
            let list = by_wrapper.entry(wrapper).or_default();
            if tool && list.last() != Some(difference) {
                list.push(*difference);
            }
        }
    }
    let common = by_wrapper.into_iter().max_by_key(|(w, keys)| (keys.len(), std::cmp::Reverse(*w)));
    if let Some((wrapper, claims)) = common
        && claims.len() * 5 >= unexpected.len() * 4
        && let Some(w) = case.rules.wrappers.get(wrapper)
    {
        let message = format!("{} of {} unexpected keys carry `{}.`", claims.len(), unexpected.len(), w.segment);
        let rule = case.rules.rule(&w.rule);
        let help = rule.map_or_else(String::new, |r| format!("{}; {}", r.summary, r.help));
        let cause = Cause::new("CK103", Rank::Prefix, Remedy::Edit, message)
            .by(rule)
            .help(help)
            .confidence(0.8)
            .with("side", "source")
            .with("prefix", format!("{}.", w.segment));
        case.claim(claims, cause);
    }
}
