//! Fixes to paste: the renames and drops of an alignment as code for the framework that loads the weights.
//!
//! Names and paths come from files that may be hostile and end in code that people run: every one of them is written as a
//! literal of the language, never as it is, also in comments.

use std::io::{self, Write};
use std::path::Path;

use regex::Regex;

use crate::align::{Alignment, How, Rename};
use crate::checkpoint::{Entry, Format, StateDict};

use crate::rules::{Law, Mend, Reading, RuleSet};

mod burn;
mod exact;
mod json;
mod literal;
mod mmengine;
mod pattern;
mod python;
mod resize;
mod transformers;
mod vllm;

/// The framework that a snippet is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// PyTorch alone.
    Python,
    /// MMEngine and mmcv: `revise_keys`, `init_cfg`.
    Mmengine,
    /// Transformers: `key_mapping`.
    Transformers,
    /// vLLM: `WeightsMapper`.
    Vllm,
    /// Burn: a store with key remapping.
    Burn,
    /// The renames and drops as data.
    Json,
}

/// What has to be done to the keys of a checkpoint, in the terms that all forms share.
#[derive(Clone, Debug)]
pub struct Plan<'a> {
    /// The checkpoint's side.
    source: &'a StateDict<'a>,
    /// The model's.
    target: &'a StateDict<'a>,
    /// How the ones become the others.
    alignment: &'a Alignment,
    /// What is done to names, in order: the alignment's renames, and one for each key that they do not reach.
    renames: Vec<Rename>,
    /// Target key and how its values change, for matches that need more than a rename.
    changes: Vec<(&'a str, Change<'a>)>,
    /// Matches whose shapes differ and that nothing mends: they must be left out.
    unfit: Vec<&'a str>,
    /// Keys of the checkpoint that would have to be split or joined in a way that is not known: they are left out.
    undecided: Vec<&'a str>,
    /// Keys of the model that nothing fills.
    missing: Vec<&'a str>,
    /// Whether both sides are known as wholes: then a strict load can be promised.
    whole: bool,
}

/// What happens to the values of one target key.
#[derive(Clone, Debug)]
enum Change<'a> {
    /// Sources joined, in order.
    Join(Vec<&'a str>),
    /// A part of one source; which one is told by the order of the targets.
    Split(&'a str),
    /// Dimensions in another order, which the shapes tell.
    Transpose,
    /// Dimensions in this order.
    Turn(Vec<usize>),
    /// The same elements under another shape.
    Reshape,
    /// An expression of the tensors `t`, and the keys of those.
    Made(String, Vec<&'a str>),
    /// A resize by a law of shapes.
    Resize(Law, Reading, &'a [u64]),
}

impl<'a> Plan<'a> {
    /// Reads the plan off an alignment alone, as far as names and shapes tell: for texts, which hold no more.
    pub fn new(
        source: &'a StateDict<'a>,
        target: &'a StateDict<'a>,
        alignment: &'a Alignment,
        rules: &RuleSet,
    ) -> Self {
        let mut plan = Plan {
            source,
            target,
            alignment,
            renames: alignment.renames.clone(),
            changes: Vec::new(),
            unfit: Vec::new(),
            undecided: Vec::new(),
            missing: alignment.missing.iter().filter_map(|&i| Some(key(target, i)?.as_str())).collect(),
            whole: source.checkpoint.format != Format::Text && target.checkpoint.format != Format::Text,
        };
        plan.missing
            .extend(alignment.ambiguous.iter().flat_map(|a| &a.target).filter_map(|&i| Some(key(target, i)?.as_str())));
        for m in &alignment.matches {
            let Some(wanted) = target.entries.get(m.target as usize) else { continue };
            let sources: Vec<&Entry<'_>> = m.source.iter().filter_map(|&s| source.entries.get(s as usize)).collect();
            let [first, ..] = sources.as_slice() else { continue };
            let name = wanted.key.as_str();
            match m.how {
                How::Merged => {
                    let names = sources.iter().map(|e| e.key.as_str()).collect();
                    plan.changes.push((name, Change::Join(names)));
                }
                How::Split => plan.changes.push((name, Change::Split(first.key.as_str()))),
                How::Transposed => plan.changes.push((name, Change::Transpose)),
                How::Reshaped => plan.changes.push((name, Change::Reshape)),
                How::Identical | How::Renamed => {
                    let (Some(from), Some(to)) = (first.shape(), wanted.shape()) else { continue };
                    if from == to {
                        continue;
                    }
                    match law(rules, first, wanted, from.dims(), to.dims()) {
                        Some((law, reading)) => plan.changes.push((name, Change::Resize(law, reading, from.dims()))),
                        None => plan.unfit.push(name),
                    }
                }
            }
        }
        plan.name_the_rest();
        plan
    }

    /// Adds a rename of its own for every match that the alignment's renames do not reproduce.
    fn name_the_rest(&mut self) {
        let rules: Vec<(Regex, String)> = self
            .renames
            .iter()
            .filter_map(|r| Some((Regex::new(&r.pattern).ok()?, pattern::rust_replacement(&r.replacement))))
            .collect();
        for m in &self.alignment.matches {
            let one = matches!(m.how, How::Identical | How::Renamed | How::Transposed | How::Reshaped);
            let (Some(wanted), [source]) = (key(self.target, m.target), m.source.as_slice()) else { continue };
            let Some(given) = key(self.source, *source).filter(|_| one) else { continue };
            let mut name = std::borrow::Cow::Borrowed(given.as_str());
            for (rule, replacement) in &rules {
                if let std::borrow::Cow::Owned(renamed) = rule.replace_all(&name, replacement.as_str()) {
                    name = renamed.into();
                }
            }
            if name != wanted.as_str() {
                self.renames.push(Rename {
                    pattern: format!("^{}$", regex::escape(&name)),
                    replacement: wanted.as_str().replace('\\', r"\\"),
                    keys: 1,
                });
            }
        }
    }

    /// Whether the keys that a strict load wants are all there in the end.
    fn complete(&self) -> bool {
        self.whole && self.missing.is_empty() && self.unfit.is_empty() && self.alignment.ambiguous.is_empty()
    }

    /// Whether there is more to do than to rename and to leave out.
    fn changes_values(&self) -> bool {
        !self.changes.is_empty()
    }

    /// How many keys of the model are filled.
    fn filled(&self) -> usize {
        self.target.entries.len().saturating_sub(self.missing.len() + self.unfit.len())
    }

    /// The names of the dicts around the state_dict, outermost first.
    fn containers(&self) -> Vec<&'a str> {
        let all = &self.source.checkpoint.containers;
        let mut names = Vec::new();
        let mut at = all.iter().position(|c| *c.name == *self.source.container);
        // A chain has no more links than there are containers.
        for _ in 0..all.len() {
            let Some(container) = at.and_then(|i| all.get(i)) else { break };
            let Some(parent) = container.parent.and_then(|p| all.get(p as usize)) else { break };
            let skip = if parent.name.is_empty() { 0 } else { parent.name.len() + 1 };
            names.push(container.name.get(skip..).unwrap_or(&container.name));
            at = container.parent.map(|p| p as usize);
        }
        names.reverse();
        names
    }

    /// The checkpoint's path, where it is a file and not only a text.
    fn path(&self) -> Option<&'a Path> {
        let checkpoint = self.source.checkpoint;
        (checkpoint.format != Format::Text).then_some(checkpoint.path.as_path())
    }

    /// Whether safetensors reads the file.
    fn is_safetensors(&self) -> bool {
        matches!(self.source.checkpoint.format, Format::Safetensors | Format::SafetensorsSharded)
    }
}

fn key<'a>(side: &StateDict<'a>, i: u32) -> Option<crate::checkpoint::Key<'a>> {
    side.entries.get(i as usize).map(|e| e.key)
}

/// The law by which a tensor can be resized.
fn law(rules: &RuleSet, source: &Entry<'_>, target: &Entry<'_>, from: &[u64], to: &[u64]) -> Option<(Law, Reading)> {
    let rules = rules.shapes.get(target.key).chain(rules.shapes.get(source.key));
    let read = rules.filter_map(|r| Some((r.law, r.law.read(from, to)?))).next()?;
    (read.1.mend == Mend::Resize && resize::known(read.0)).then_some(read)
}

/// Writes the snippet.
///
/// # Errors
/// What the writer reports.
pub fn write(form: Form, plan: &Plan<'_>, out: &mut dyn Write) -> io::Result<()> {
    match form {
        Form::Python => python::write(plan, out),
        Form::Mmengine => mmengine::write(plan, out),
        Form::Transformers => transformers::write(plan, out),
        Form::Vllm => vllm::write(plan, out),
        Form::Burn => burn::write(plan, out),
        Form::Json => json::write(plan, out),
    }
}

/// What a form cannot do, in lines of comment; nothing where it can do all.
fn beyond(plan: &Plan<'_>, mark: &str, out: &mut dyn Write) -> io::Result<()> {
    if plan.changes_values() {
        let n = plan.changes.len();
        writeln!(
            out,
            "{mark} {n} tensors need more than a rename (split, joined, turned or resized): --emit python does that."
        )?;
    }
    if !plan.unfit.is_empty() {
        let n = plan.unfit.len();
        writeln!(out, "{mark} {n} tensors have another size than the model wants and have to be left out.")?;
    }
    if !plan.undecided.is_empty() {
        let n = plan.undecided.len();
        writeln!(
            out,
            "{mark} {n} tensors come apart or together in a way that neither names nor shapes tell: ckdiff convert --groups takes it."
        )?;
    }
    if !plan.missing.is_empty() {
        let n = plan.missing.len();
        writeln!(out, "{mark} {n} keys of the model are not in the checkpoint and stay as they were initialised.")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
