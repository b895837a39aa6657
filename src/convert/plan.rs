//! What is written: for every key where its values come from and what is done to them. Nothing is read for it.

use std::collections::HashMap;

use super::resize::Resize;
use super::{ConvertError, Options, storable};
use crate::checkpoint::{Dtype, DtypeKind, Entry, Shape, StateDict, quoted};
use crate::rules::Made;

/// One change of how a tensor is looked at. No values move.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// One slice of the first dimension, which goes away.
    Slice(u64),
    /// Part of a dimension.
    Narrow {
        /// Which dimension.
        axis: usize,
        /// First index.
        from: u64,
        /// How many.
        len: u64,
    },
    /// Dimensions in another order.
    Permute(Vec<usize>),
    /// The same elements in the same order under another shape.
    Reshape(Vec<u64>),
}

/// A source tensor, or a part of one, as it goes into an output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// Index into the entries of the source.
    pub source: u32,
    /// What is done to it, in order.
    pub steps: Vec<Step>,
}

/// Where the values of an output come from.
#[derive(Clone, Debug, PartialEq)]
pub enum Recipe {
    /// Shares joined along a dimension, once for every slice of a stack (a tensor that is no stack has one).
    Join {
        /// The dimension of a slice along which its shares stand one after another.
        axis: usize,
        /// The shape of one slice.
        slice: Vec<u64>,
        /// For every slice its shares, in order.
        slices: Vec<Vec<Share>>,
    },
    /// One tensor, resized.
    Resize(u32, Resize),
    /// A buffer that the model builds by itself, as the target holds it: an index into the entries of the target.
    Target(u32),
    /// A buffer whose values follow from its shape.
    Made(Made),
}

/// What happens to a tensor on its way, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Change {
    /// Kept as it is.
    Kept,
    /// Another name.
    Renamed,
    /// A part of a fused tensor.
    Split,
    /// Several tensors in one.
    Merged,
    /// A slice of a stack.
    Unstacked,
    /// Tensors stacked.
    Stacked,
    /// Turned.
    Transposed,
    /// Another shape of the same elements.
    Reshaped,
    /// Interpolated, cut or extended.
    Resized,
    /// A second copy of what another key holds.
    Copied,
    /// A buffer that the model builds by itself, filled in.
    Built,
}

impl Change {
    /// The word in reports and in JSON.
    pub fn id(self) -> &'static str {
        match self {
            Change::Kept => "kept",
            Change::Renamed => "renamed",
            Change::Split => "split",
            Change::Merged => "merged",
            Change::Unstacked => "unstacked",
            Change::Stacked => "stacked",
            Change::Transposed => "transposed",
            Change::Reshaped => "reshaped",
            Change::Resized => "resized",
            Change::Copied => "copied",
            Change::Built => "built",
        }
    }
}

/// One tensor to write.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// Its key.
    pub key: String,
    /// The dtype it is written in.
    pub dtype: Dtype,
    /// The dtype it is read in.
    pub given: Dtype,
    /// Its shape.
    pub shape: Shape,
    /// Where its values come from.
    pub recipe: Recipe,
    /// What happens to it.
    pub change: Change,
}

impl Output {
    /// Size in bytes when written.
    pub fn bytes(&self) -> u64 {
        bytes(&self.shape, self.dtype).unwrap_or(u64::MAX)
    }

    /// The source entries that it is made of.
    pub fn sources(&self) -> Vec<u32> {
        match &self.recipe {
            Recipe::Resize(source, _) => vec![*source],
            Recipe::Target(_) | Recipe::Made(_) => Vec::new(),
            Recipe::Join { slices, .. } => slices.iter().flatten().map(|s| s.source).collect(),
        }
    }
}

pub(super) fn bytes(shape: &Shape, dtype: Dtype) -> Option<u64> {
    Some(shape.numel()?.checked_mul(u64::from(dtype.bits()))?.div_ceil(8))
}

/// Everything that is written, and what is not.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// The tensors, in the order in which the target has them.
    pub outputs: Vec<Output>,
    /// Keys of the source that nothing is made of.
    pub dropped: Vec<String>,
    /// Keys of the target that the model builds by itself and whose values are not known here.
    pub rebuilt: Vec<String>,
    /// Keys of the target that nothing fills, or that do not fit.
    pub left_out: Vec<String>,
    /// Keys whose values are those of another key: `(copy, first)`.
    pub tied: Vec<(String, String)>,
}

impl Plan {
    /// A format change: every tensor of `source` under its own name.
    ///
    /// # Errors
    /// Where a tensor has no values, or a dtype that safetensors does not know.
    pub fn same(source: &StateDict<'_>, options: Options) -> Result<Plan, ConvertError> {
        Plan::named(source, options, |key| Some(key.to_owned()))
    }

    /// Every tensor under the name that `name` gives it; those without one are dropped.
    ///
    /// # Errors
    /// Where two keys get one name, a tensor has no values, or a dtype that safetensors does not know.
    pub fn named(
        source: &StateDict<'_>,
        options: Options,
        name: impl Fn(&str) -> Option<String>,
    ) -> Result<Plan, ConvertError> {
        let mut plan = Plan::default();
        let mut known: HashMap<String, usize> = HashMap::new();
        for (i, entry) in source.entries.iter().enumerate() {
            let given = entry.key.as_str();
            let Some(key) = name(given) else {
                plan.dropped.push(given.to_owned());
                continue;
            };
            let change = if key == given { Change::Kept } else { Change::Renamed };
            let output = plain(&key, i as u32, entry, change, options)?;
            match known.get(&key) {
                // A name that occurs twice in a file: the last one counts, as in a Python dict.
                Some(&at) if source.entries.get(origin(&plan, at)).is_some_and(|e| e.key == entry.key) => {
                    if let Some(slot) = plan.outputs.get_mut(at) {
                        *slot = output;
                    }
                }
                Some(&at) => {
                    let other = source.entries.get(origin(&plan, at)).map_or("", |e| e.key.as_str());
                    let what = format!("{} and {} would both become {}", quoted(other), quoted(given), quoted(&key));
                    return Err(ConvertError::new(what, "change the renames, or drop one of the two"));
                }
                None => {
                    known.insert(key, plan.outputs.len());
                    plan.outputs.push(output);
                }
            }
        }
        plan.close(source)?;
        Ok(plan)
    }

    /// Notes copies of one tensor, and refuses what the format cannot hold.
    ///
    /// # Errors
    /// Where a tensor has no values, or a dtype that safetensors does not know.
    pub(super) fn close(&mut self, source: &StateDict<'_>) -> Result<(), ConvertError> {
        let foreign: Vec<&Output> = self.outputs.iter().filter(|o| !storable(o.dtype)).collect();
        if let Some(first) = foreign.first() {
            let names: Vec<String> = foreign.iter().take(3).map(|o| quoted(&o.key)).collect();
            let more = if foreign.len() > 3 { format!(" and {} more", foreign.len() - 3) } else { String::new() };
            let what = format!("safetensors cannot hold {}: {}{more}", first.dtype, names.join(", "));
            let remedy = match first.dtype.kind() {
                DtypeKind::Complex => "save the real and the imaginary part as two tensors (torch.view_as_real)",
                DtypeKind::Quantized => {
                    "dequantise them in PyTorch first (tensor.dequantize(), or int_repr() and its scales)"
                }
                _ => "leave them out with --renames",
            };
            return Err(ConvertError::new(what, remedy));
        }
        self.tied = tied(&mut self.outputs, source);
        Ok(())
    }

    /// Bytes of values that are written.
    pub fn bytes(&self) -> u64 {
        self.outputs.iter().fold(0, |n, o| n.saturating_add(o.bytes()))
    }

    /// How many outputs each change makes, in the order of [`Change`].
    pub fn changes(&self) -> Vec<(Change, Vec<&str>)> {
        let mut groups: std::collections::BTreeMap<Change, Vec<&str>> = Default::default();
        for output in &self.outputs {
            groups.entry(output.change).or_default().push(&output.key);
        }
        groups.into_iter().collect()
    }
}

/// The source entry of the output at `at`.
fn origin(plan: &Plan, at: usize) -> usize {
    plan.outputs.get(at).and_then(|o| o.sources().first().copied()).map_or(usize::MAX, |s| s as usize)
}

/// A whole tensor under a name.
pub(super) fn plain(
    key: &str,
    source: u32,
    entry: &Entry<'_>,
    change: Change,
    options: Options,
) -> Result<Output, ConvertError> {
    let (given, shape) = options.known(entry)?;
    let slices = vec![vec![Share { source, steps: Vec::new() }]];
    let recipe = Recipe::Join { axis: 0, slice: shape.dims().to_vec(), slices };
    let dtype = options.output(given);
    Ok(Output { key: key.to_owned(), dtype, given, shape: shape.clone(), recipe, change })
}

/// Dtype and shape of an entry that has values.
pub(super) fn known<'a>(entry: &Entry<'a>) -> Result<(Dtype, &'a Shape), ConvertError> {
    match (entry.dtype(), entry.shape(), &entry.tensor.placement) {
        (Some(dtype), Some(shape), Some(_)) if bytes(shape, dtype).is_some() => Ok((dtype, shape)),
        _ => {
            let what = format!("{} has no values in this file", quoted(entry.key.as_str()));
            Err(ConvertError::new(what, "meta and sparse tensors and lists of keys hold none: save the model itself"))
        }
    }
}

impl Options {
    /// Dtype and shape of an entry of the source; only what the plan needs of it where the plan is only read.
    pub(super) fn known<'a>(self, entry: &Entry<'a>) -> Result<(Dtype, &'a Shape), ConvertError> {
        match entry.shape().filter(|_| self.unread) {
            Some(shape) => Ok((entry.dtype().unwrap_or(Dtype::F32), shape)),
            None => known(entry),
        }
    }

    /// The dtype that a tensor is written in.
    pub(super) fn output(self, given: Dtype) -> Dtype {
        self.dtype.filter(|_| given.kind() == DtypeKind::Float).unwrap_or(given)
    }
}

/// Finds outputs that hold the very same values: the same memory seen the same way, and written the same way.
fn tied(outputs: &mut [Output], source: &StateDict<'_>) -> Vec<(String, String)> {
    let mut first: HashMap<_, usize> = HashMap::new();
    let mut found: Vec<(usize, usize)> = Vec::new();
    for (i, output) in outputs.iter().enumerate() {
        let Recipe::Join { slices, .. } = &output.recipe else { continue };
        let ([share], true) = (slices.first().map_or(&[][..], Vec::as_slice), slices.len() == 1) else { continue };
        let Some(entry) = source.entries.get(share.source as usize) else { continue };
        let Some(place) = entry.tensor.placement.as_ref().filter(|_| output.bytes() > 0) else { continue };
        let memory = (place.storage, place.offset, &place.strides, entry.shape(), entry.dtype());
        match first.entry((memory, share.steps.clone(), output.dtype)) {
            std::collections::hash_map::Entry::Occupied(known) => found.push((i, *known.get())),
            std::collections::hash_map::Entry::Vacant(free) => {
                free.insert(i);
            }
        }
    }
    found
        .into_iter()
        .filter_map(|(copy, of)| {
            let pair = (outputs.get(copy)?.key.clone(), outputs.get(of)?.key.clone());
            outputs.get_mut(copy)?.change = Change::Copied;
            Some(pair)
        })
        .collect()
}
