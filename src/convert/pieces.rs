//! Tensors that are parts or slices of others: cut out of what is fused or stacked, and put together.

use super::cuts::{Cut, cut};
use super::fit::fit;
use super::matched::{Draft, Planner, no_way};
use super::plan::{Change, Share, Step};
use crate::align::Piece;
use crate::checkpoint::{Shape, quoted};

impl Planner<'_> {
    /// The shares of a target that pieces make.
    pub(super) fn pieced(&mut self, target: u32, pieces: &[&Piece]) -> Result<Draft, String> {
        let wanted = self.target_shape(target)?;
        let height = pieces.iter().find_map(|p| p.target_slice).map(|(_, of)| of);
        let mut slice = wanted.to_vec();
        if let Some(height) = height {
            if wanted.first() != Some(&u64::from(height)) {
                let shape = Shape::from(wanted.to_vec());
                return Err(format!("{height} tensors do not make a stack of shape {shape}"));
            }
            slice.remove(0);
        }
        let change = match pieces {
            [p, ..] if p.target_part.is_some() => Change::Merged,
            [p, ..] if p.target_slice.is_some() => Change::Stacked,
            [p, ..] if p.source_part.is_some() => Change::Split,
            _ => Change::Unstacked,
        };
        let whole = self.target_cut(target, pieces, &slice)?;
        let groups = match &whole {
            Some(_) => self.groups(self.target(target)?.key.as_str())?,
            None => 1,
        };
        let mut slices = vec![Vec::new(); height.map_or(1, |h| h as usize)];
        for piece in pieces {
            let part = whole.as_ref().zip(piece.target_part).map(|(cut, (k, _))| cut.shape(&slice, k as usize));
            let wanted = match part {
                Some(part) => part.ok_or("a part that is not there")?,
                None => slice.clone(),
            };
            let (mut steps, from) = self.taken(piece)?;
            let key = self.source(piece.source)?.key;
            let crossed = self.layout.crossed(key, self.target(target)?.key);
            let turn = fit(&from, &wanted, crossed).ok_or_else(|| no_way(&from, &wanted))?;
            self.layout.learn(key, &from, &wanted, &turn);
            steps.extend(turn);
            if let Some(cut) = whole.as_ref().filter(|_| groups > 1) {
                steps.push(Step::Reshape(grouped(&wanted, cut.axis, groups)?));
            }
            let place = piece.target_slice.map_or(0, |(i, _)| i as usize);
            let shares: &mut Vec<Share> = slices.get_mut(place).ok_or("a slice that is not there")?;
            shares.push(Share { source: piece.source, steps });
        }
        let parts = whole.as_ref().map_or(1, |cut| cut.sizes.len());
        if slices.iter().any(|shares| shares.len() != parts) {
            return Err("some of the tensors that it is made of are missing".into());
        }
        let mut axis = whole.as_ref().map_or(0, |cut| cut.axis);
        if groups > 1 {
            slice = grouped(&slice, axis, groups)?;
            axis += 1;
        }
        Ok(Draft { target, axis, slice, slices, change })
    }

    /// How the target of `pieces` is put together of parts; `None` where it is not.
    fn target_cut(&self, target: u32, pieces: &[&Piece], slice: &[u64]) -> Result<Option<Cut>, String> {
        let Some((_, of)) = pieces.iter().find_map(|p| p.target_part) else { return Ok(None) };
        let mut shapes: Vec<Option<&[u64]>> = vec![None; of as usize];
        for piece in pieces {
            let Some((k, _)) = piece.target_part else { continue };
            if piece.source_part.is_some() {
                return Err("it is a part of one fused tensor and of another".into());
            }
            let mut shape = self.source_shape(piece.source)?;
            if piece.source_slice.is_some() {
                shape = shape.get(1..).unwrap_or_default();
            }
            *shapes.get_mut(k as usize).ok_or("a part that is not there")? = Some(shape);
        }
        if shapes.iter().any(Option::is_none) {
            return Err("some of the tensors that it is made of are missing".into());
        }
        let found = cut(slice, &shapes).ok_or_else(|| {
            let name = self.target(target).map_or(String::new(), |e| quoted(e.key.as_str()));
            format!("the sizes of its parts do not add up to {name}")
        })?;
        Ok(Some(found))
    }

    /// The part or slice of its source that a piece takes, and its shape.
    fn taken(&self, piece: &Piece) -> Result<(Vec<Step>, Vec<u64>), String> {
        let mut shape = self.source_shape(piece.source)?.to_vec();
        let mut steps = Vec::new();
        if let Some((i, of)) = piece.source_slice {
            if shape.first() != Some(&u64::from(of)) {
                return Err(format!("{of} tensors do not come out of a stack of shape {}", Shape::from(shape)));
            }
            shape.remove(0);
            steps.push(Step::Slice(u64::from(i)));
        }
        let Some((k, of)) = piece.source_part else { return Ok((steps, shape)) };
        // The sizes of all parts are those of what they become.
        let siblings = self.by_source.get(&piece.source).map_or(&[][..], Vec::as_slice);
        let mut shapes: Vec<Option<&[u64]>> = vec![None; of as usize];
        for p in siblings.iter().filter(|p| p.source_slice == piece.source_slice) {
            let (Some((k, _)), None) = (p.source_part, p.target_part) else {
                return Err("it is a part of one fused tensor and of another".into());
            };
            let mut wanted = self.target_shape(p.target)?;
            if p.target_slice.is_some() {
                wanted = wanted.get(1..).unwrap_or_default();
            }
            *shapes.get_mut(k as usize).ok_or("a part that is not there")? = Some(wanted);
        }
        let key = self.source(piece.source)?.key.as_str();
        let cut = cut(&shape, &shapes).ok_or_else(|| format!("the parts do not add up to {}", quoted(key)))?;
        let (from, len) = cut.part(k as usize).ok_or("a part that is not there")?;
        let part = cut.shape(&shape, k as usize).ok_or("a part that is not there")?;
        let groups = self.groups(key)?;
        if groups == 1 {
            steps.push(Step::Narrow { axis: cut.axis, from, len });
        } else {
            steps.push(Step::Reshape(grouped(&shape, cut.axis, groups)?));
            if !from.is_multiple_of(groups) || !len.is_multiple_of(groups) {
                return Err(format!("its {len} rows do not come in {groups} groups"));
            }
            steps.push(Step::Narrow { axis: cut.axis + 1, from: from / groups, len: len / groups });
            steps.push(Step::Reshape(part.clone()));
        }
        Ok((steps, part))
    }

    /// In how many groups the rows of a fused tensor come.
    fn groups(&self, key: &str) -> Result<u64, String> {
        if !self.rules.lexicon.may_be_grouped(key) {
            return Ok(1);
        }
        self.options.groups.filter(|&g| g > 0).ok_or_else(|| {
            format!(
                "the rows of {} may stand head by head (GPT-NeoX, BLOOM, Megatron), which neither name nor shape tells; \
                 --groups says in how many groups they come: 1 where queries, keys and values follow each other whole, \
                 otherwise the number of heads, or of key-value heads",
                quoted(key)
            )
        })
    }
}

/// A shape with one dimension cut into groups.
fn grouped(shape: &[u64], axis: usize, groups: u64) -> Result<Vec<u64>, String> {
    let length = *shape.get(axis).ok_or("an axis that is not there")?;
    if groups == 0 || !length.is_multiple_of(groups) {
        return Err(format!("{length} rows do not come in {groups} groups"));
    }
    let mut out = shape.to_vec();
    out.splice(axis..=axis, [groups, length / groups]);
    Ok(out)
}
