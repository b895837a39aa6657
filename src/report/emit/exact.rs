//! What a conversion would do to values, in terms of the emitted code: so that both load the same numbers.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use super::literal::python;
use super::{Change, Plan};
use crate::align::How;
use crate::convert::{Options, Output, Plan as Conversion, Recipe, Share, Step};
use crate::judge::Report;
use crate::rules::RuleSet;

impl<'a> Plan<'a> {
    /// The plan for a verdict: values are changed as `ckdiff convert` changes them.
    ///
    /// Shapes alone do not show that a square matrix has to be turned, along which axis a tensor is cut, or that the rows of
    /// a fused one stand head by head; a conversion decides all three, or says that it cannot.
    pub fn of(report: &Report<'a>, rules: &RuleSet) -> Self {
        let mut plan = Plan::new(report.source, report.target, report.alignment, rules);
        let options = Options { resize: true, partial: true, unread: true, ..Options::default() };
        if let Ok(conversion) = Conversion::matched(report, report.differences, rules, options) {
            plan.follow(&conversion.outputs);
        }
        plan
    }

    /// Takes over what the outputs of a conversion are made of.
    fn follow(&mut self, outputs: &[Output]) {
        let outputs: HashMap<&str, &Output> = outputs.iter().map(|o| (o.key.as_str(), o)).collect();
        let mut changes: Vec<(&'a str, Change<'a>)> = Vec::with_capacity(self.changes.len());
        let mut before: HashMap<&'a str, Change<'a>> = self.changes.drain(..).collect();
        for m in &self.alignment.matches {
            let Some(key) = self.target_key(m.target) else { continue };
            let change = before.remove(key);
            match outputs.get(key).map(|o| (o, &o.recipe)) {
                Some((output, Recipe::Join { .. })) => changes.extend(self.change(output).map(|c| (key, c))),
                None if matches!(m.how, How::Split | How::Merged) => {
                    let sources: Vec<&'a str> = m.source.iter().filter_map(|&s| self.source_key(s)).collect();
                    self.undecided.extend(sources);
                    self.missing.push(key);
                }
                _ => changes.extend(change.map(|c| (key, c))),
            }
        }
        self.changes = changes;
        self.spell_out_partial_splits(&outputs);
    }

    fn source_key(&self, i: u32) -> Option<&'a str> {
        self.source.entries.get(i as usize).map(|e| e.key.as_str())
    }

    fn target_key(&self, i: u32) -> Option<&'a str> {
        self.target.entries.get(i as usize).map(|e| e.key.as_str())
    }

    /// What is done to the values of one output; `None` where they stay as they are.
    fn change(&self, output: &Output) -> Option<Change<'a>> {
        let Recipe::Join { axis, slices, .. } = &output.recipe else { return None };
        let plain = slices.iter().flatten().all(|share| share.steps.is_empty());
        let sources = || slices.iter().flatten().filter_map(|share| self.source_key(share.source)).collect::<Vec<_>>();
        match slices.as_slice() {
            [shares] => match shares.as_slice() {
                [share] => match share.steps.as_slice() {
                    [] => None,
                    [Step::Permute(order)] => Some(Change::Turn(order.clone())),
                    [Step::Reshape(shape)] if shape.as_slice() == output.shape.dims() => Some(Change::Reshape),
                    [Step::Narrow { axis: 0, .. }] => Some(Change::Split(self.source_key(share.source)?)),
                    _ => Some(self.spelled_out(output)),
                },
                _ if plain && *axis == 0 => Some(Change::Join(sources())),
                _ => Some(self.spelled_out(output)),
            },
            _ if plain && slices.iter().all(|shares| shares.len() == 1) => Some(Change::Join(sources())),
            _ => Some(self.spelled_out(output)),
        }
    }

    /// An output as one expression of the tensors `t` that it is made of.
    fn spelled_out(&self, output: &Output) -> Change<'a> {
        let Recipe::Join { axis, slice, slices } = &output.recipe else { return Change::Reshape };
        let one = |shares: &Vec<Share>| {
            let parts: Vec<String> = shares.iter().map(|share| self.expression(share)).collect();
            match parts.as_slice() {
                [part] => part.clone(),
                _ => format!("torch.cat([{}], {axis})", parts.join(", ")),
            }
        };
        let mut text = match slices.as_slice() {
            [shares] => one(shares),
            _ => format!("torch.stack([{}])", slices.iter().map(one).collect::<Vec<_>>().join(", ")),
        };
        if slices.len() == 1 && slice.as_slice() != output.shape.dims() {
            text.push_str(&reshape(output.shape.dims()));
        }
        let sources = slices.iter().flatten().filter_map(|share| self.source_key(share.source)).collect();
        Change::Made(text, sources)
    }

    fn expression(&self, share: &Share) -> String {
        let mut text = format!("t[{}]", python(self.source_key(share.source).unwrap_or_default()));
        for step in &share.steps {
            // Writing to a string cannot fail.
            let _ = match step {
                Step::Slice(i) => write!(text, "[{i}]"),
                Step::Narrow { axis, from, len } => write!(text, ".narrow({axis}, {from}, {len})"),
                Step::Permute(order) => write!(text, ".permute({})", list(order)),
                Step::Reshape(shape) => write!(text, "{}", reshape(shape)),
            };
        }
        text
    }

    /// Splits are written as "these rows, in order", which holds only where all rows of a tensor are taken so.
    fn spell_out_partial_splits(&mut self, outputs: &HashMap<&str, &Output>) {
        let mut rows: BTreeMap<&str, u64> = BTreeMap::new();
        let mut other: Vec<&str> = Vec::new();
        for (key, change) in &self.changes {
            match (change, outputs.get(key).map(|o| &o.recipe)) {
                (Change::Split(source), Some(Recipe::Join { slices, .. })) => {
                    let taken = slices.iter().flatten().flat_map(|share| &share.steps);
                    let taken = taken.map(|s| if let Step::Narrow { len, .. } = s { *len } else { 0 });
                    *rows.entry(source).or_default() += taken.sum::<u64>();
                }
                (Change::Made(_, sources), _) => other.extend(sources),
                _ => {}
            }
        }
        let length = |key: &str| {
            let entry = self.source.entries.iter().find(|e| e.key.as_str() == key)?;
            entry.shape()?.dims().first().copied()
        };
        let partial: Vec<&str> = rows
            .iter()
            .filter(|(key, n)| other.contains(key) || length(key) != Some(**n))
            .map(|(key, _)| *key)
            .collect();
        let spelled: Vec<(usize, Change<'a>)> = (self.changes.iter().enumerate())
            .filter(|(_, (_, c))| matches!(c, Change::Split(source) if partial.contains(source)))
            .filter_map(|(i, (key, _))| Some((i, self.spelled_out(outputs.get(key)?))))
            .collect();
        for (i, change) in spelled {
            self.changes[i].1 = change;
        }
    }
}

fn reshape(shape: &[u64]) -> String {
    format!(".reshape({})", if shape.is_empty() { "()".into() } else { list(shape) })
}

fn list<T: ToString>(numbers: &[T]) -> String {
    numbers.iter().map(T::to_string).collect::<Vec<_>>().join(", ")
}
