//! What may be paired where only an error text speaks: it names the keys that differ, and mostly no shape of theirs.

use std::collections::{HashMap, HashSet};

use super::alike::share;
use super::lists;
use crate::align::{Alignment, Ambiguous, How, Match, Step, align};
use crate::checkpoint::{Entry, Format, StateDict};
use crate::read::log::LogReport;
use crate::rules::{Diagnosis, Head, RuleSet};

/// Pairs the keys of two sides, at least one of which is known from an error text alone.
///
/// What structure alone suggests must look alike, since there are no shapes to go by; a head that one task leaves behind is
/// not the head that another starts afresh; and the entries of the outermost dict are no parameters.
pub fn align_text(log: &LogReport, source: &StateDict<'_>, target: &StateDict<'_>, rules: &RuleSet) -> Alignment {
    let partial = [source, target].iter().any(|side| side.checkpoint.format == Format::Text);
    if partial && outer_dict(log, rules) {
        return Alignment {
            missing: (0..).take(target.entries.len()).collect(),
            unexpected: (0..).take(source.entries.len()).collect(),
            ..Alignment::default()
        };
    }
    let mut alignment = align(source, target, rules);
    if partial {
        let doubts = Doubts { source, target, rules };
        doubts.part(&mut alignment);
    }
    alignment
}

/// Whether the unexpected keys are the entries of a training checkpoint.
fn outer_dict(log: &LogReport, rules: &RuleSet) -> bool {
    let words = rules.words(Diagnosis::Container);
    let known = log.unexpected_keys.iter().any(|key| words.iter().any(|w| w == key));
    known && log.size_mismatches.is_empty() && log.unexpected_keys.iter().all(|key| !key.contains('.'))
}

/// How sure a match by structure must be where neither a shape nor the end of the name speaks for it.
const SURE: f32 = 0.7;

struct Doubts<'a> {
    source: &'a StateDict<'a>,
    target: &'a StateDict<'a>,
    rules: &'a RuleSet,
}

impl Doubts<'_> {
    /// Takes back what is no more than a guess.
    fn part(&self, alignment: &mut Alignment) {
        let before = (alignment.matches.len(), alignment.ambiguous.len());
        let same = self.same_names();
        let shaped: HashSet<u32> = same.values().copied().collect();
        let mut twice = false;
        let strange = self.strange(alignment);
        let unlike = self.unlike(alignment);
        for m in std::mem::take(&mut alignment.matches) {
            // The names that a text gives two shapes for are on both sides: they are not each other's.
            let own = same.get(&m.target).is_some_and(|s| m.source == [*s]);
            let crossed = m.how != How::Identical
                && !own
                && (same.contains_key(&m.target) || m.source.iter().any(|s| shaped.contains(s)));
            twice |= crossed;
            if !crossed && self.stands(&m) && !(strange && self.mere(&m)) && !unlike.contains(&m.target) {
                alignment.matches.push(m);
            } else {
                alignment.missing.push(m.target);
                alignment.unexpected.extend(m.source);
            }
        }
        for group in std::mem::take(&mut alignment.ambiguous) {
            if strange || self.is_heads(&group) || self.is_chance(&group) {
                alignment.missing.extend(group.target);
                alignment.unexpected.extend(group.source);
            } else {
                alignment.ambiguous.push(group);
            }
        }
        if (alignment.matches.len(), alignment.ambiguous.len()) == before {
            return;
        }
        if twice {
            let open: HashSet<u32> = alignment.missing.iter().copied().collect();
            let pairs = same.into_iter().filter(|(target, _)| open.contains(target)).map(|(target, source)| Match {
                target,
                source: vec![source],
                how: How::Identical,
                step: Step::Identical,
                confidence: 1.0,
            });
            alignment.matches.extend(pairs);
            alignment.matches.sort_by_key(|m| m.target);
        }
        let found: HashSet<u32> = alignment.matches.iter().map(|m| m.target).collect();
        // A source may stand in several groups.
        let taken: HashSet<u32> = alignment.matches.iter().flat_map(|m| m.source.iter().copied()).collect();
        for (open, done) in [(&mut alignment.missing, found), (&mut alignment.unexpected, taken)] {
            open.retain(|i| !done.contains(i));
            open.sort_unstable();
            open.dedup();
        }
        self.keep_used_renames(alignment);
    }

    /// Target and source of each name that both sides have, where both are known from a text alone.
    fn same_names(&self) -> HashMap<u32, u32> {
        let texts = [self.source, self.target].iter().all(|side| side.checkpoint.format == Format::Text);
        if !texts {
            return HashMap::new();
        }
        let given: HashMap<&str, u32> = (0..).zip(&self.source.entries).map(|(i, e)| (e.key.as_str(), i)).collect();
        let wanted = (0..).zip(&self.target.entries);
        wanted.filter_map(|(t, e)| Some((t, *given.get(e.key.as_str())?))).collect()
    }

    /// Renames that none of the remaining matches needs went with the guesses.
    fn keep_used_renames(&self, alignment: &mut Alignment) {
        let sources = alignment.matches.iter().filter(|m| m.how != How::Identical).flat_map(|m| &m.source);
        let kept: Vec<&str> = sources.filter_map(|&s| Some(self.given(s)?.key.as_str())).collect();
        alignment.renames.retain(|r| {
            regex::Regex::new(&r.pattern).is_ok_and(|pattern| kept.iter().any(|key| pattern.is_match(key)))
        });
    }

    fn given(&self, index: u32) -> Option<&Entry<'_>> {
        self.source.entries.get(index as usize)
    }

    fn wanted(&self, index: u32) -> Option<&Entry<'_>> {
        self.target.entries.get(index as usize)
    }

    /// Whether most matches that structure suggests are between names without a word in common: two architectures.
    fn strange(&self, alignment: &Alignment) -> bool {
        const FEWEST: usize = 8;
        let (mut all, mut unlike) = (0, 0);
        for m in alignment.matches.iter().filter(|m| m.step == Step::Structure && m.how != How::Identical) {
            all += 1;
            unlike += usize::from(self.common_word(m) == Some(false));
        }
        all >= FEWEST && unlike * 2 > all
    }

    /// Targets of matches between names without a word in common, of which there are too few to be a way of renaming.
    fn unlike(&self, alignment: &Alignment) -> HashSet<u32> {
        const FEWEST: usize = 4;
        let mut ways: HashMap<(String, String), Vec<u32>> = HashMap::new();
        for m in alignment.matches.iter().filter(|m| self.common_word(m).is_some()) {
            let ([source], Some(wanted)) = (m.source.as_slice(), self.wanted(m.target)) else { continue };
            let Some(given) = self.given(*source) else { continue };
            // The name of the whole (`bert.`) is on both sides of every pair.
            let (here, there) = without_common(given.key.as_str(), wanted.key.as_str());
            if share(here, there) != Some(false) {
                continue;
            }
            let way = (lists::class(given.key.module()), lists::class(wanted.key.module()));
            ways.entry(way).or_default().push(m.target);
        }
        ways.into_values().filter(|targets| targets.len() < FEWEST).flatten().collect()
    }

    /// Whether a match that only structure suggests is between names with a word in common; `None` where a shape speaks for
    /// it, or names have no words.
    fn common_word(&self, m: &Match) -> Option<bool> {
        let wanted = self.wanted(m.target)?;
        let given: Vec<&Entry<'_>> = m.source.iter().filter_map(|&s| self.given(s)).collect();
        let shaped = wanted.shape().is_some() && given.iter().all(|e| e.shape().is_some());
        if m.step != Step::Structure || m.how == How::Identical || shaped {
            return None;
        }
        given.iter().map(|e| share(e.key.as_str(), wanted.key.as_str())).max().flatten()
    }

    /// Whether a match has nothing to say for itself but structure.
    fn mere(&self, m: &Match) -> bool {
        let shaped = self.wanted(m.target).is_some_and(|e| e.shape().is_some());
        m.step == Step::Structure && m.how != How::Identical && !shaped && self.common_word(m) != Some(true)
    }

    fn stands(&self, m: &Match) -> bool {
        let Some(wanted) = self.wanted(m.target) else { return false };
        let given: Vec<&Entry<'_>> = m.source.iter().filter_map(|&s| self.given(s)).collect();
        let shaped = wanted.shape().is_some() && given.iter().all(|e| e.shape().is_some());
        if m.how == How::Identical || shaped {
            return true;
        }
        let alike = given.iter().all(|e| e.key.leaf() == wanted.key.leaf());
        let other_head = given.iter().any(|e| self.other_head(e.key.as_str(), wanted.key.as_str()));
        (m.step != Step::Structure || alike || m.confidence >= SURE) && !other_head
    }

    /// Whether a group that could not be decided is nothing but a fresh head beside the heads of another task.
    fn is_heads(&self, group: &Ambiguous) -> bool {
        let given: Vec<&str> = group.source.iter().filter_map(|&s| Some(self.given(s)?.key.as_str())).collect();
        let mut wanted = group.target.iter().filter_map(|&t| Some(self.wanted(t)?.key.as_str()));
        wanted.all(|w| given.iter().all(|g| self.other_head(g, w)))
    }

    /// Whether nothing but chance brought the members of a group together: no shape, and hardly two names that end alike and
    /// have a word in common.
    fn is_chance(&self, group: &Ambiguous) -> bool {
        let given: Vec<&Entry<'_>> = group.source.iter().filter_map(|&s| self.given(s)).collect();
        let wanted: Vec<&Entry<'_>> = group.target.iter().filter_map(|&t| self.wanted(t)).collect();
        let shaped = given.iter().chain(&wanted).any(|e| e.shape().is_some());
        let related = |w: &Entry<'_>, g: &Entry<'_>| {
            let (here, there) = without_common(g.key.as_str(), w.key.as_str());
            g.key.leaf() == w.key.leaf() && share(here, there) != Some(false)
        };
        let alike = wanted.iter().flat_map(|w| given.iter().map(|g| related(w, g))).filter(|yes| *yes).count();
        !shaped && alike * 2 < wanted.len() * given.len()
    }

    /// Whether both keys lie in heads, and these are of different tasks or built in another way.
    fn other_head(&self, given: &str, wanted: &str) -> bool {
        match (self.head(given), self.head(wanted)) {
            // One head under its own name, or the same modules under another one, was renamed and not replaced.
            (Some((_, _, a)), Some((_, _, b))) if a == b => false,
            (Some((_, below, _)), Some((_, inside, _))) if below == inside && below.contains('.') => false,
            (Some((task, below, _)), Some((other, inside, _))) => task.rule != other.rule || below != inside,
            _ => false,
        }
    }

    /// The head that a key lies in, the name within it, and its own name.
    fn head<'k>(&self, key: &'k str) -> Option<(&Head, &'k str, &'k str)> {
        let mut rest = key;
        loop {
            let (first, below) = rest.split_once('.')?;
            if let Some(head) = self.rules.head(first) {
                return Some((head, below, first));
            }
            // Wrappers and the name of the larger model stand before it.
            let around = self.rules.wrappers.iter().any(|w| w.segment == first)
                || self.rules.parts.iter().any(|p| p.prefix == first);
            if !around {
                return None;
            }
            rest = below;
        }
    }
}

/// Two keys without the segments that both begin with.
fn without_common<'k>(mut given: &'k str, mut wanted: &'k str) -> (&'k str, &'k str) {
    while let (Some((a, below)), Some((b, inside))) = (given.split_once('.'), wanted.split_once('.'))
        && a == b
    {
        (given, wanted) = (below, inside);
    }
    (given, wanted)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::read::log::parse;

    /// How many matches, missing, unexpected keys and undecided groups a text gives.
    fn counts(text: &str) -> [usize; 4] {
        let rules = RuleSet::embedded();
        let log = parse(text.as_bytes(), &rules);
        let (source, target) = log.sides(Path::new("log"));
        let a = align_text(&log, &StateDict::below(&source, 0), &StateDict::below(&target, 0), &rules);
        [a.matches.len(), a.missing.len(), a.unexpected.len(), a.ambiguous.len()]
    }

    fn lists(missing: &str, unexpected: &str) -> String {
        format!("Missing key(s) in state_dict: {missing}. \n\tUnexpected key(s) in state_dict: {unexpected}. ")
    }

    #[test]
    fn a_fresh_head_is_none_of_the_heads_that_pretraining_leaves_behind() {
        let text = lists(
            r#""classifier.bias", "classifier.weight""#,
            r#""cls.predictions.bias", "cls.seq_relationship.bias", "cls.seq_relationship.weight""#,
        );
        assert_eq!(counts(&text), [0, 2, 3, 0]);
        let text = lists(r#""qa_outputs.weight""#, r#""cls.predictions.decoder.weight""#);
        assert_eq!(counts(&text), [0, 1, 1, 0]);
    }

    #[test]
    fn a_head_under_another_name_is_still_that_head() {
        let text = lists(r#""fc.weight", "fc.bias""#, r#""module.fc.weight", "module.fc.bias""#);
        assert_eq!(counts(&text), [2, 0, 0, 0]);
    }

    #[test]
    fn entries_of_the_outermost_dict_are_no_parameters() {
        let text = lists(r#""fc.weight", "fc.bias""#, r#""epoch", "state_dict", "optimizer""#);
        assert_eq!(counts(&text), [0, 2, 3, 0]);
    }
}
