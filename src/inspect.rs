//! What a single file holds, summed up: sizes, dtypes, tied weights, what a pickle asks for, and what the reader noticed.

use std::collections::HashMap;

use crate::checkpoint::{Checkpoint, Dtype, Format, Remark, TensorInfo, Trust};
use crate::explain::{Finding, Severity};

/// Everything that `ckdiff inspect` shows beyond the checkpoint itself.
#[derive(Clone, Debug)]
pub struct Inspection<'a> {
    /// The checkpoint that was inspected.
    pub checkpoint: &'a Checkpoint,
    /// What the reader noticed and what the imports mean, errors first.
    pub findings: Vec<Finding>,
    /// Tensors and elements by dtype, in order of first appearance; `None` where the file does not say.
    pub dtypes: Vec<Share>,
    /// Names of one piece of memory: indices into the tensors, two or more each.
    pub tied: Vec<Vec<u32>>,
    /// Bytes that the tensors take in their files, shared ones counted once.
    pub bytes: u64,
}

/// How much of a checkpoint has one dtype.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// The dtype, when known.
    pub dtype: Option<Dtype>,
    /// How many tensors.
    pub tensors: usize,
    /// How many elements in them; saturating.
    pub elements: u64,
}

impl Inspection<'_> {
    /// Elements over all tensors; saturating.
    pub fn elements(&self) -> u64 {
        self.dtypes.iter().fold(0, |n, s| n.saturating_add(s.elements))
    }

    /// Whether one of the findings is an error.
    pub fn fails(&self) -> bool {
        self.findings.iter().any(|f| f.severity == Severity::Error)
    }
}

/// Sums up a checkpoint.
pub fn inspect(checkpoint: &Checkpoint) -> Inspection<'_> {
    let mut dtypes: Vec<Share> = Vec::new();
    for t in &checkpoint.tensors {
        let elements = t.shape.as_ref().and_then(|s| s.numel()).unwrap_or(0);
        match dtypes.iter_mut().find(|s| s.dtype == t.dtype) {
            Some(share) => {
                share.tensors += 1;
                share.elements = share.elements.saturating_add(elements);
            }
            None => dtypes.push(Share { dtype: t.dtype, tensors: 1, elements }),
        }
    }
    let mut findings = findings(checkpoint);
    findings.sort_by_key(|f| std::cmp::Reverse(f.severity));
    let bytes = checkpoint.storages.iter().fold(0u64, |n, s| n.saturating_add(s.bytes));
    Inspection { checkpoint, findings, dtypes, tied: tied(checkpoint), bytes }
}

/// Groups of tensors that are the same memory seen the same way: tied weights.
fn tied(checkpoint: &Checkpoint) -> Vec<Vec<u32>> {
    // Most files give every tensor a storage of its own; a count per storage tells without hashing.
    let mut users = vec![0u32; checkpoint.storages.len()];
    for p in checkpoint.tensors.iter().filter_map(|t| t.placement.as_ref()) {
        if let Some(n) = users.get_mut(p.storage as usize) {
            *n = n.saturating_add(1);
        }
    }
    let shared = |t: &&TensorInfo| {
        let storage = t.placement.as_ref().map(|p| p.storage as usize);
        storage.is_some_and(|s| users.get(s).is_some_and(|&n| n > 1))
            && t.shape.as_ref().is_none_or(|s| s.numel() != Some(0))
    };
    let mut known = HashMap::new();
    let mut groups: Vec<Vec<u32>> = Vec::new();
    for (i, t) in checkpoint.tensors.iter().enumerate().filter(|(_, t)| shared(t)) {
        let Some(p) = &t.placement else { continue };
        let at = *known.entry((p.storage, p.offset, &p.strides, &t.shape, t.dtype)).or_insert_with(|| {
            groups.push(Vec::new());
            groups.len() - 1
        });
        if let (Some(group), Ok(i)) = (groups.get_mut(at), u32::try_from(i)) {
            group.push(i);
        }
    }
    groups.retain(|g| g.len() > 1);
    groups
}

/// What the reader noticed, dangerous imports among it.
fn findings(checkpoint: &Checkpoint) -> Vec<Finding> {
    checkpoint.remarks.iter().map(of_remark).map(|finding| with_imports(finding, checkpoint)).collect()
}

/// What the finding is about, whole: its examples are only the first few, and who accepts one call to `exec` has not accepted
/// the next.
fn with_imports(mut finding: Finding, checkpoint: &Checkpoint) -> Finding {
    let trust = match finding.code {
        "CK501" => Trust::Dangerous,
        "CK502" => Trust::Unknown,
        _ => return finding,
    };
    let mut names: Vec<&str> =
        checkpoint.imports.iter().filter(|i| i.trust == trust).map(|i| i.global.as_str()).collect();
    names.sort_unstable();
    finding.arguments.insert("imports", names.into());
    finding
}

/// What has to be said of the two files before their keys are compared: what the readers noticed, and code that would run.
///
/// That a training checkpoint asks for names on no list (its arguments, its scheduler) says nothing about its weights, so
/// that warning is left to [`inspect`].
pub fn of_both(source: &Checkpoint, target: &Checkpoint) -> Vec<Finding> {
    let relevant = |f: &Finding| f.severity == Severity::Error || f.code.starts_with("CK0");
    let mut out: Vec<Finding> = findings(source).into_iter().filter(relevant).collect();
    if source.path == target.path {
        // Beside itself a file has no oddities; but what could not be read, or would run, is not compared at all.
        out.retain(|f| !source.complete || f.code.starts_with("CK5"));
    } else {
        out.extend(findings(target).into_iter().filter(relevant));
    }
    out.sort_by_key(|f| std::cmp::Reverse(f.severity));
    out
}

/// Whether files of this format can run code when they are loaded.
pub fn may_hold_code(format: Format) -> bool {
    !matches!(format, Format::Safetensors | Format::SafetensorsSharded | Format::Json | Format::Text)
}

fn of_remark(remark: &Remark) -> Finding {
    let severity = if remark.error { Severity::Error } else { Severity::Warning };
    Finding {
        keys: remark.examples.len(),
        examples: remark.examples.clone(),
        ..Finding::new(remark.code, severity, remark.message.clone(), remark.help.clone())
    }
}

/// The container that most likely is the model's state_dict: the one with the most tensors of its own, optimizers aside; the whole
/// file where no container stands out.
pub fn main_container(checkpoint: &Checkpoint) -> u32 {
    let trains = |name: &str| {
        name.split('.').any(|s| {
            let s = s.to_ascii_lowercase();
            s.contains("optim") || s.contains("sched") || s.contains("scaler") || s.contains("rng")
        })
    };
    let own = checkpoint.containers.iter().enumerate().filter(|(_, c)| !trains(&c.name));
    let total: usize = own.clone().map(|(_, c)| c.tensors).sum();
    // The first of equals: files list the model before its averaged copy.
    let largest = own.rev().max_by_key(|(_, c)| c.tensors);
    match largest {
        Some((at, c)) if c.tensors.saturating_mul(4) >= total => u32::try_from(at).unwrap_or(0),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::{Container, Placement, Shape, Storage};

    fn checkpoint(containers: &[(&str, Option<u32>, usize)]) -> Checkpoint {
        let mut out = Checkpoint::new("model.pth", Format::TorchZip);
        out.containers = (containers.iter())
            .map(|&(name, parent, tensors)| Container { name: name.into(), parent, tensors, version: None })
            .collect();
        out
    }

    fn tensor(path: &str, storage: u32, offset: u64) -> TensorInfo {
        let placement = Some(Placement { storage, offset, strides: None });
        let shape = Some(Shape::from([2, 3]));
        TensorInfo {
            path: path.into(),
            container: 0,
            dtype: Some(Dtype::F32),
            shape,
            role: Default::default(),
            placement,
        }
    }

    #[test]
    fn the_state_dict_is_chosen_and_not_the_optimizer() {
        let c = checkpoint(&[
            ("", None, 0),
            ("optimizer.state", Some(0), 60),
            ("model", Some(0), 30),
            ("ema", Some(0), 30),
        ]);
        assert_eq!(main_container(&c), 2);
        let c = checkpoint(&[("", None, 1), ("state_dict", Some(0), 30)]);
        assert_eq!(main_container(&c), 1);
        let nested: Vec<_> = (0..9).map(|_| ("layer", Some(0), 2)).collect();
        assert_eq!(main_container(&checkpoint(&[&[("", None, 0)], &nested[..]].concat())), 0);
    }

    #[test]
    fn tensors_in_the_same_memory_are_tied_and_neighbours_in_one_storage_are_not() {
        let mut c = checkpoint(&[("", None, 4)]);
        c.storages = vec![Storage { file: 0, name: "0".into(), start: None, bytes: 48, coding: Default::default() }; 2];
        c.tensors = vec![tensor("a", 0, 0), tensor("b", 0, 6), tensor("c", 1, 0), tensor("d", 0, 0)];
        let inspection = inspect(&c);
        assert_eq!(inspection.tied, [vec![0, 3]]);
        assert_eq!((inspection.bytes, inspection.elements()), (96, 24));
    }

    #[test]
    fn errors_come_first_and_make_the_inspection_fail() {
        let mut c = checkpoint(&[("", None, 0)]);
        let remark =
            |code, error| Remark { code, error, message: "m".into(), help: String::new(), examples: Vec::new() };
        c.remarks = vec![remark("CK004", false)];
        assert!(!inspect(&c).fails());
        c.remarks.push(remark("CK501", true));
        let inspection = inspect(&c);
        assert!(inspection.fails());
        assert_eq!(inspection.findings.iter().map(|f| f.code).collect::<Vec<_>>(), ["CK501", "CK004"]);
    }
}
