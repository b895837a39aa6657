//! What is matched one to one: tensors, stacks of equal tensors (experts), and parts of fused tensors (q of qkv).

use std::collections::{HashMap, HashSet};

use crate::checkpoint::{DtypeKind, Shape, StateDict};
use crate::rules::lexicon::{Lexicon, Role};

use super::counting::Cut;
use super::words::{Name, Token, Words};

/// One tensor, a stack of tensors, or a part of one.
#[derive(Clone, Debug)]
pub(crate) struct Unit {
    /// Entries of the state_dict that it stands for; several for a stack, in the order of their index.
    pub(crate) entries: Vec<u32>,
    /// Which part of its entries, of how many.
    pub(crate) part: Option<(u8, u8)>,
    /// The name; of a stack with the index taken out, of a part with the part's word put in.
    pub(crate) name: Name,
    /// The shape, a stack's with its count in front; `None` when not known.
    pub(crate) shape: Option<Vec<u64>>,
    /// Elements; 0 when the shape is not known.
    pub(crate) numel: u64,
    /// Whether it counts when modules are weighed.
    pub(crate) weighs: bool,
}

/// The units of one side, in stored order.
pub(crate) fn units(side: &StateDict<'_>, words: &mut Words) -> Vec<Unit> {
    let expert = words.concept("expert");
    let mut stacks: HashMap<Vec<Token>, usize, foldhash::fast::RandomState> = HashMap::default();
    let mut out: Vec<Unit> = Vec::with_capacity(side.entries.len());
    let mut indices: Vec<Vec<u32>> = Vec::new();
    let cuts = super::counting::cut(side.entries.iter().map(|e| e.key.as_str()), words);
    for (i, (entry, cut)) in side.entries.iter().zip(cuts).enumerate() {
        let Cut { tokens, last, starts } = cut;
        let at = expert.and_then(|e| index_after(&tokens, e, words));
        let shape = entry.shape().map(|s| s.dims().to_vec());
        if let Some(at) = at {
            let Token::Number(index) = tokens[at] else { continue };
            let mut rest = tokens;
            rest.remove(at);
            let known = stacks.get(&rest).copied().filter(|&u| out[u].shape == shape);
            if let Some(u) = known {
                out[u].entries.push(i as u32);
                indices[u].push(index);
                continue;
            }
            stacks.insert(rest.clone(), out.len());
            let last = if last > at { last - 1 } else { last };
            let starts = if at < 63 { starts & ((1 << at) - 1) | (starts >> (at + 1)) << at } else { starts };
            out.push(unit(i, words.name_of(rest, last, starts), shape, entry.dtype().map(|d| d.kind())));
            indices.push(vec![index]);
            continue;
        }
        out.push(unit(i, words.name_of(tokens, last, starts), shape, entry.dtype().map(|d| d.kind())));
        indices.push(Vec::new());
    }
    for (unit, index) in out.iter_mut().zip(&indices) {
        if index.len() > 1 {
            let mut order: Vec<usize> = (0..index.len()).collect();
            order.sort_by_key(|&k| index[k]);
            unit.entries = order.iter().map(|&k| unit.entries[k]).collect();
            let count = unit.entries.len() as u64;
            if let Some(shape) = &mut unit.shape {
                shape.insert(0, count);
            }
            unit.numel = unit.numel.saturating_mul(count);
        }
    }
    out
}

/// The position of a number right behind a word that means `concept`.
fn index_after(tokens: &[Token], concept: u32, words: &Words) -> Option<usize> {
    (1..tokens.len()).find(|&i| {
        matches!(tokens[i], Token::Number(_))
            && matches!(tokens[i - 1], Token::Word(_))
            && words.means(&tokens[i - 1..i], concept)
    })
}

fn unit(entry: usize, name: Name, shape: Option<Vec<u64>>, kind: Option<DtypeKind>) -> Unit {
    let numel = shape.as_ref().map_or(0, |s| s.iter().fold(1u64, |n, &d| n.saturating_mul(d)));
    let weighs = name.leaf.role.is_parameter() && !matches!(kind, Some(DtypeKind::Int | DtypeKind::Bool));
    Unit { entries: vec![entry as u32], part: None, name, shape, numel, weighs }
}

/// Cuts fused tensors of `whole` into parts wherever `parts` holds the parts as tensors of their own.
pub(crate) fn split_fused(whole: &mut Vec<Unit>, parts: &[Unit], lexicon: &Lexicon, words: &mut Words) {
    for fusion in &lexicon.fusions {
        let Some(fused) = words.concept(&fusion.whole) else { continue };
        let concepts: Vec<u32> = fusion.parts.iter().filter_map(|p| words.concept(p)).collect();
        if concepts.len() != fusion.parts.len() {
            continue;
        }
        let families = families(parts, &concepts, words);
        if families.is_empty() {
            continue;
        }
        let there: HashSet<&[Token], foldhash::fast::RandomState> =
            parts.iter().map(|p| p.name.tokens.as_slice()).collect();
        let mut out = Vec::with_capacity(whole.len());
        for unit in whole.drain(..) {
            // What stands on the other side under its own name is no sum of others there, whatever its size.
            if there.contains(unit.name.tokens.as_slice()) {
                out.push(unit);
                continue;
            }
            let place = words.find_in(&unit.name, fused);
            let named = place.is_some();
            let shapes = unit.shape.as_deref().and_then(|s| {
                families.iter().find(|f| f.role.accepts(unit.name.leaf.role) && fits(s, &f.shapes)).map(|f| &f.shapes)
            });
            let alone = || {
                // A tensor of this very shape on the other side speaks against cutting, unless the name says fused.
                !parts.iter().any(|p| p.shape == unit.shape && p.name.leaf == unit.name.leaf)
            };
            match shapes {
                Some(shapes)
                    if unit.part.is_none() && (named || alone()) && !same_class(&unit, parts, fused, words) =>
                {
                    let place = place.unwrap_or(unit.name.leaf_at..unit.name.leaf_at);
                    for (k, (shape, part)) in shapes.iter().zip(&fusion.parts).enumerate() {
                        let token = words.token_for(part);
                        let mut tokens = unit.name.tokens.clone();
                        tokens.splice(place.clone(), [token]);
                        let last = (unit.name.leaf_at + 1).saturating_sub(place.len()).min(tokens.len() - 1);
                        let mut piece = unit.clone();
                        piece.name = words.name_of(tokens, last, 0);
                        piece.part = Some((k as u8, shapes.len() as u8));
                        piece.numel = shape.iter().product();
                        piece.shape = Some(shape.clone());
                        out.push(piece);
                    }
                }
                _ => out.push(unit),
            }
        }
        *whole = out;
    }
}

/// Whether the other side holds this tensor fused as well: under the same word.
fn same_class(unit: &Unit, other: &[Unit], fused: u32, words: &mut Words) -> bool {
    let mine = words.find_in(&unit.name, fused).map(|r| unit.name.tokens[r].to_vec());
    let mut parts_there = None;
    for o in other.iter().filter(|o| o.shape == unit.shape && o.name.leaf.role == unit.name.leaf.role) {
        let Some(theirs) = words.find_in(&o.name, fused).map(|r| &o.name.tokens[r]) else { continue };
        if mine.as_deref() == Some(theirs) || !*parts_there.get_or_insert_with(|| has_parts(other, fused, words)) {
            return true;
        }
    }
    false
}

/// Whether a side holds both fused tensors and parts of others: then another word for the fused one may stand for the parts.
fn has_parts(units: &[Unit], fused: u32, words: &mut Words) -> bool {
    let parts = ["query", "gate", "key"].map(|c| words.concept(c));
    units.iter().any(|u| {
        words.find_in(&u.name, fused).is_none() && parts.iter().flatten().any(|&c| words.find_in(&u.name, c).is_some())
    })
}

/// Tensors that stand side by side as the parts of one fused tensor would.
struct Family {
    role: Role,
    shapes: Vec<Vec<u64>>,
}

/// All distinct families of parts.
fn families(units: &[Unit], concepts: &[u32], words: &mut Words) -> Vec<Family> {
    type Members = Vec<Option<usize>>;
    let mut found: HashMap<(Vec<Token>, usize), Members, foldhash::fast::RandomState> = HashMap::default();
    // Experts of two sizes share a name once their numbers are taken out.
    let mut copies: HashMap<&[Token], usize, foldhash::fast::RandomState> = HashMap::default();
    for (i, unit) in units.iter().enumerate() {
        if unit.part.is_some() || unit.shape.is_none() {
            continue;
        }
        let copy = copies.entry(unit.name.tokens.as_slice()).or_default();
        *copy += 1;
        for (k, &concept) in concepts.iter().enumerate() {
            if let Some(place) = words.find_in(&unit.name, concept) {
                let mut rest = unit.name.tokens.clone();
                rest.splice(place, [Token::Number(u32::MAX - 2)]);
                found.entry((rest, *copy)).or_insert_with(|| vec![None; concepts.len()])[k] = Some(i);
            }
        }
    }
    let mut out: Vec<Family> = Vec::new();
    for members in found.values() {
        let Some(members) = members.iter().copied().collect::<Option<Vec<usize>>>() else { continue };
        let shapes: Vec<Vec<u64>> = members.iter().filter_map(|&m| units[m].shape.clone()).collect();
        let role = units[members[0]].name.leaf.role;
        if shapes.len() == members.len() && !out.iter().any(|f| f.role == role && f.shapes == shapes) {
            out.push(Family { role, shapes });
        }
    }
    out.sort_by(|a, b| a.shapes.cmp(&b.shapes));
    out
}

/// Whether tensors of these shapes, joined along one axis, make `whole` (dimensions in any order, neighbours joined or not).
fn fits(whole: &[u64], parts: &[Vec<u64>]) -> bool {
    let numel = |s: &[u64]| s.iter().fold(1u64, |n, &d| n.saturating_mul(d));
    let total = numel(whole);
    if total == 0 || parts.iter().map(|p| numel(p)).fold(0, u64::saturating_add) != total {
        return false;
    }
    (0..whole.len()).any(|axis| {
        parts.iter().all(|p| {
            let share = numel(p) as u128 * whole[axis] as u128;
            if !share.is_multiple_of(total as u128) {
                return false;
            }
            let mut cut = whole.to_vec();
            cut[axis] = (share / total as u128) as u64;
            // Flax keeps the projections of heads as `[in, heads, width]`, and their biases as `[heads, width]`.
            let turned: Vec<u64> = cut.iter().rev().copied().collect();
            if p.len() == cut.len() + 1 && (Shape::joins(p, &cut) || Shape::joins(p, &turned)) {
                return true;
            }
            let mut have = p.clone();
            cut.sort_unstable();
            have.sort_unstable();
            cut == have
        })
    })
}
