//! The structural step: units, modules, evidence, assignment, and back to keys.

use super::assign::{Sides, assign, pairs};
use super::certainty::{Decision, Side, decide};
use super::evidence::{Evidence, Fit, fit};
use super::neighbours;
use super::tree::{Templates, Tree};
use super::units::{Unit, split_fused, units};
use super::words::{Token, Words};
use super::{Alignment, Ambiguous, How, Match, Piece, Step};
use crate::checkpoint::{Key, StateDict};
use crate::rules::lexicon::Lexicon;

mod doubts;

use doubts::{follow_the_weight, forget_odd_ones, mostly_kept, own_names_first};

/// Aligns two state_dicts by structure and names.
///
/// The work is done from the smaller side whichever it is, so that swapping the sides swaps the result.
pub(crate) fn align(source: &StateDict<'_>, target: &StateDict<'_>, lexicon: &Lexicon) -> Alignment {
    let swap = after(source, target);
    let (first, second) = if swap { (target, source) } else { (source, target) };
    let mut words = Words::new(lexicon);
    let mut a = units(first, &mut words);
    let mut b = units(second, &mut words);
    split_fused(&mut a, &b, lexicon, &mut words);
    split_fused(&mut b, &a, lexicon, &mut words);
    neighbours::settle(&a, &mut words, lexicon);
    neighbours::settle(&b, &mut words, lexicon);
    let mut templates = Templates::default();
    let (a_tree, mut b_tree) = (Tree::new(&a, &mut templates), Tree::new(&b, &mut templates));
    b_tree.turn_where_reversed(&a_tree, &mut templates);
    let sides = Sides {
        source: &a,
        target: &b,
        source_tree: &a_tree,
        target_tree: &b_tree,
        ordered: registered(first) && registered(second),
    };
    let mut evidence = Evidence::new(&a, &b, &a_tree, &b_tree, &mut words, sides.ordered);
    let mut candidates = pairs(&sides, &mut evidence);
    let chosen = assign(&sides, &mut candidates);
    // Two copies of a network differ in one word at most, and not in the leaf.
    let alike = |side: Side, x: u32, y: u32| {
        let units = if side == Side::Source { &a } else { &b };
        let (x, y) = (&units[x as usize], &units[y as usize]);
        x.name.numbers == y.name.numbers
            && x.shape == y.shape
            && x.name.class != y.name.class
            && x.name.leaf_tokens() == y.name.leaf_tokens()
            && beyond(&x.name.tokens, &y.name.tokens) <= 1
            && beyond(&y.name.tokens, &x.name.tokens) <= 1
    };
    let mut decisions = decide(&chosen, &candidates, a.len(), &alike);
    if mostly_kept(&decisions, &a, &b) {
        forget_odd_ones(&mut decisions, &a, &b, &mut evidence);
    }
    own_names_first(&mut decisions, &a, &b);
    follow_the_weight(&mut decisions, &a, &b);
    let mut out = Collected::new(source, target);
    for (t, decision) in decisions.into_iter().enumerate() {
        match decision {
            Decision::Claim(s, confidence) => {
                let (x, y) = (&a[s as usize], &b[t]);
                let (x, y) = if swap { (y, x) } else { (x, y) };
                out.claim(x, y, confidence);
            }
            Decision::OneOf(sources) => {
                let these: Vec<u32> = sources.iter().flat_map(|&s| a[s as usize].entries.iter().copied()).collect();
                out.unsure(these, b[t].entries.clone(), swap);
            }
            Decision::Nothing => {}
        }
    }
    out.finish()
}

/// How many tokens of `a` are not in `b`.
fn beyond(a: &[Token], b: &[Token]) -> usize {
    a.iter().filter(|t| !b.contains(t)).count()
}

/// Whether the work is done from the second side: the side with more keys, or with later ones, comes second.
pub(super) fn after(a: &StateDict<'_>, b: &StateDict<'_>) -> bool {
    let all = |side: &StateDict<'_>| side.entries.len();
    let keys = || a.entries.iter().map(|e| (e.key, e.shape())).cmp(b.entries.iter().map(|e| (e.key, e.shape())));
    all(a).cmp(&all(b)).then_with(keys).is_gt()
}

/// Whether the stored order is that of registration. A file whose keys stand in alphabetical order was sorted by whoever wrote it.
fn registered(side: &StateDict<'_>) -> bool {
    side.ordered() && side.entries.windows(2).any(|pair| descends(pair[0].key, pair[1].key))
}

/// Whether a key stands before another that comes earlier in the alphabet. Numbers are left out of it: some sort 10 before 2, some behind.
fn descends(first: Key<'_>, second: Key<'_>) -> bool {
    let words = |segment: &str| segment.split(|c: char| c.is_ascii_digit()).map(str::to_owned).collect::<Vec<_>>();
    let differ = first.segments().zip(second.segments()).find(|(a, b)| a != b);
    differ.is_some_and(|(a, b)| {
        words(a) > words(b) && [a, b].iter().all(|s| !s.starts_with(|c: char| c.is_ascii_digit()))
    })
}

/// From units back to keys.
struct Collected<'a> {
    source: &'a StateDict<'a>,
    target: &'a StateDict<'a>,
    made: Vec<Option<Match>>,
    pieces: Vec<Piece>,
    ambiguous: Vec<Ambiguous>,
}

impl<'a> Collected<'a> {
    fn new(source: &'a StateDict<'a>, target: &'a StateDict<'a>) -> Self {
        let made = vec![None; target.entries.len()];
        Collected { source, target, made, pieces: Vec::new(), ambiguous: Vec::new() }
    }

    /// Notes that source unit `a` makes target unit `b`.
    fn claim(&mut self, a: &Unit, b: &Unit, confidence: f32) {
        let each: Vec<(u32, Vec<u32>)> = if a.entries.len() == b.entries.len() {
            b.entries.iter().copied().zip(a.entries.iter().map(|&e| vec![e])).collect()
        } else {
            b.entries.iter().map(|&e| (e, a.entries.clone())).collect()
        };
        self.note_pieces(a, b);
        for (target, sources) in each {
            let identical = sources.len() == 1
                && self.source.entries[sources[0] as usize].key == self.target.entries[target as usize].key;
            match &mut self.made[target as usize] {
                Some(m) => {
                    let fresh: Vec<u32> = sources.into_iter().filter(|e| !m.source.contains(e)).collect();
                    m.source.extend(fresh);
                    m.confidence = m.confidence.min(confidence);
                }
                slot => {
                    let step = if identical { Step::Identical } else { Step::Structure };
                    *slot = Some(Match { target, source: sources, how: how(a, b, identical), step, confidence });
                }
            }
        }
    }

    /// Notes which part or slice of which tensor goes where, unless whole tensors do.
    fn note_pieces(&mut self, a: &Unit, b: &Unit) {
        let (n, m) = (a.entries.len(), b.entries.len());
        if n == m && a.part.is_none() && b.part.is_none() {
            return;
        }
        let piece = |source: u32, target: u32| Piece {
            target,
            target_part: b.part,
            target_slice: None,
            source,
            source_part: a.part,
            source_slice: None,
        };
        match (a.entries.as_slice(), b.entries.as_slice()) {
            (from, to) if n == m => self.pieces.extend(from.iter().zip(to).map(|(&s, &t)| piece(s, t))),
            (&[s], to) => {
                let slices = to.iter().zip(0u32..);
                self.pieces.extend(slices.map(|(&t, i)| Piece { source_slice: Some((i, m as u32)), ..piece(s, t) }));
            }
            (from, &[t]) => {
                let slices = from.iter().zip(0u32..);
                self.pieces.extend(slices.map(|(&s, i)| Piece { target_slice: Some((i, n as u32)), ..piece(s, t) }));
            }
            // Stacks of different heights have no order in common.
            _ => {}
        }
    }

    /// Notes that each of `targets` may be any of `sources`; the other way round when `swap` is set.
    fn unsure(&mut self, sources: Vec<u32>, targets: Vec<u32>, swap: bool) {
        let why = "names, shapes and places fit several equally well".to_owned();
        let (source, target) = if swap { (targets, sources) } else { (sources, targets) };
        self.ambiguous.push(Ambiguous { target, source, why });
    }

    fn finish(self) -> Alignment {
        let mut pieces = self.pieces;
        pieces.sort_unstable();
        let mut matches: Vec<Match> = self.made.into_iter().flatten().collect();
        for m in matches.iter_mut().filter(|m| m.source.len() > 1) {
            // In the order of joining, whichever order they were found in.
            let first = pieces.partition_point(|p| p.target < m.target);
            let place =
                |s: u32| pieces.iter().skip(first).take_while(|p| p.target == m.target).position(|p| p.source == s);
            m.source.sort_by_cached_key(|&s| place(s));
        }
        let mut out = Alignment { matches, pieces, ..Alignment::default() };
        let mut done_s = vec![false; self.source.entries.len()];
        let mut done_t = vec![false; self.target.entries.len()];
        for m in &out.matches {
            done_t[m.target as usize] = true;
            for &s in &m.source {
                done_s[s as usize] = true;
            }
        }
        out.ambiguous = join(self.ambiguous, &done_s, &done_t);
        for group in &out.ambiguous {
            group.source.iter().for_each(|&s| done_s[s as usize] = true);
            group.target.iter().for_each(|&t| done_t[t as usize] = true);
        }
        let open = |done: &[bool]| (0..done.len() as u32).filter(|&i| !done[i as usize]).collect::<Vec<u32>>();
        out.missing = open(&done_t);
        out.unexpected = open(&done_s);
        out
    }
}

/// Joins groups that share a key, and leaves out keys that were claimed.
fn join(groups: Vec<Ambiguous>, done_s: &[bool], done_t: &[bool]) -> Vec<Ambiguous> {
    let mut of_source: Vec<Option<usize>> = vec![None; done_s.len()];
    let mut of_target: Vec<Option<usize>> = vec![None; done_t.len()];
    let mut leader: Vec<usize> = (0..groups.len()).collect();
    fn root(leader: &mut [usize], mut i: usize) -> usize {
        while leader[i] != i {
            leader[i] = leader[leader[i]];
            i = leader[i];
        }
        i
    }
    for (i, g) in groups.iter().enumerate() {
        let slots = g.source.iter().map(|&s| (true, s)).chain(g.target.iter().map(|&t| (false, t)));
        for (side, key) in slots {
            let slot = if side { &mut of_source[key as usize] } else { &mut of_target[key as usize] };
            match *slot {
                Some(j) => {
                    let (x, y) = (root(&mut leader, i), root(&mut leader, j));
                    leader[x.max(y)] = x.min(y);
                }
                None => *slot = Some(i),
            }
        }
    }
    let mut joined: std::collections::BTreeMap<usize, Ambiguous> = std::collections::BTreeMap::new();
    for (i, g) in groups.into_iter().enumerate() {
        let into = joined.entry(root(&mut leader, i)).or_insert_with(|| Ambiguous {
            target: Vec::new(),
            source: Vec::new(),
            why: g.why.clone(),
        });
        into.source.extend(g.source.into_iter().filter(|&s| !done_s[s as usize]));
        into.target.extend(g.target.into_iter().filter(|&t| !done_t[t as usize]));
    }
    joined
        .into_values()
        .map(|mut g| {
            g.source.sort_unstable();
            g.source.dedup();
            g.target.sort_unstable();
            g.target.dedup();
            g
        })
        .filter(|g| !g.source.is_empty() && !g.target.is_empty())
        .collect()
}

/// What happens on the way from `a` to `b`.
fn how(a: &Unit, b: &Unit, identical: bool) -> How {
    if b.part.is_some() || a.entries.len() > b.entries.len() {
        How::Merged
    } else if a.part.is_some() || b.entries.len() > a.entries.len() {
        How::Split
    } else {
        let fit = match (&a.shape, &b.shape) {
            (Some(x), Some(y)) => fit(x, y),
            _ => Fit::Equal,
        };
        match fit {
            Fit::Permuted => How::Transposed,
            // Under one name, as many elements in sizes that no joining explains are another size.
            Fit::Equal | Fit::Reshaped if identical => How::Identical,
            Fit::Squeezed | Fit::Joined | Fit::Reshaped => How::Reshaped,
            Fit::Equal => How::Renamed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::{Example, Line, RuleSet};

    fn lines(text: &[&str]) -> Vec<Line> {
        text.iter().map(|l| Line::try_from((*l).to_owned()).unwrap()).collect()
    }

    const FUSED: &[&str] = &["blocks.{0-1}.attn.qkv.weight [24, 8]", "blocks.{0-1}.attn.proj.weight [8, 8]"];
    const APART: &[&str] =
        &["layers.{0-1}.self_attn.{k,v,q}_proj.weight [8, 8]", "layers.{0-1}.self_attn.out_proj.weight [8, 8]"];

    fn aligned(source: &[&str], target: &[&str], look: impl Fn(&Alignment, &StateDict<'_>, &StateDict<'_>)) {
        let case = Example { source: lines(source), target: lines(target), ..Example::default() };
        let (a, b) = case.checkpoints();
        let (a, b) = (StateDict::below(&a, 0), StateDict::below(&b, 0));
        look(&align(&a, &b, &RuleSet::embedded().lexicon), &a, &b);
    }

    #[test]
    fn a_split_says_which_part_each_target_is_whatever_order_they_stand_in() {
        aligned(FUSED, APART, |found, _, target| {
            let part = |word: &str| {
                let key = format!("layers.1.self_attn.{word}_proj.weight");
                let at = target.entries.iter().position(|e| e.key.as_str() == key).unwrap() as u32;
                found.pieces.iter().find(|p| p.target == at).unwrap().source_part
            };
            assert_eq!([part("q"), part("k"), part("v")], [Some((0, 3)), Some((1, 3)), Some((2, 3))]);
        });
    }

    #[test]
    fn what_is_joined_is_listed_in_the_order_of_joining() {
        aligned(APART, FUSED, |found, source, target| {
            let at = target.entries.iter().position(|e| e.key.as_str() == "blocks.1.attn.qkv.weight").unwrap() as u32;
            let m = found.matches.iter().find(|m| m.target == at).unwrap();
            let names: Vec<&str> = m.source.iter().map(|&s| source.entries[s as usize].key.as_str()).collect();
            assert_eq!(names, ["q", "k", "v"].map(|w| format!("layers.1.self_attn.{w}_proj.weight")));
        });
    }

    #[test]
    fn experts_are_stacked_by_their_numbers() {
        let apart = ["mlp.experts.{0-10}.up_proj.weight [8, 4]", "mlp.gate.weight [11, 4]"];
        let stacked = ["mlp.experts.up_proj.weight [11, 8, 4]", "mlp.gate.weight [11, 4]"];
        aligned(&apart, &stacked, |found, source, _| {
            let of: Vec<(u32, &str)> = (found.pieces.iter())
                .filter_map(|p| Some((p.target_slice?.0, source.entries[p.source as usize].key.as_str())))
                .collect();
            assert_eq!(of.len(), 11);
            assert_eq!(of[10], (10, "mlp.experts.10.up_proj.weight"));
            assert_eq!(of[2], (2, "mlp.experts.2.up_proj.weight"));
        });
        aligned(&stacked, &apart, |found, _, _| {
            assert_eq!(found.pieces.iter().filter(|p| p.source_slice.is_some()).count(), 11);
        });
    }
}
