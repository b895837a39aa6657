//! The two state_dicts of an error text, as far as it tells: keys that are alike on both sides are never printed.

use std::collections::HashMap;
use std::path::Path;

use super::{LogReport, Lookup};
use crate::checkpoint::{Checkpoint, Format, Role, Shape, StateDict, TensorInfo};
use crate::rules::RuleSet;

/// Under this name the class that an error text names stands in the metadata of the model's side.
pub const MODEL_CLASS: &str = "model_class";

impl LogReport {
    /// The checkpoint's and the model's keys that the text names, with the shapes it gives.
    pub fn sides(&self, path: &Path) -> (Checkpoint, Checkpoint) {
        let shaped = |source: bool| {
            self.size_mismatches.iter().map(move |m| (m.key.as_str(), Some(if source { &m.source } else { &m.target })))
        };
        let plain = |keys: &[&'_ str]| keys.iter().map(|k| (k.to_string(), None)).collect::<Vec<_>>();
        let (given, wanted) = (self.in_order(&self.unexpected_keys), self.in_order(&self.missing_keys));
        let build = |plain: Vec<(String, Option<&Shape>)>, source: bool| {
            let shaped = shaped(source).map(|(key, shape)| (key.to_owned(), shape));
            checkpoint(path, plain.into_iter().chain(shaped))
        };
        let (source, mut target) = (build(plain(&given), true), build(plain(&wanted), false));
        target.metadata.extend(self.model_class.clone().map(|class| (MODEL_CLASS.to_owned(), class)));
        (source, target)
    }

    /// The model's keys, rebuilt from a real checkpoint: what it has, less what was unexpected, with what was missing.
    pub fn target_of(&self, source: &StateDict<'_>, path: &Path) -> Checkpoint {
        let other: HashMap<&str, &Shape> = self.size_mismatches.iter().map(|m| (m.key.as_str(), &m.target)).collect();
        rebuild(path, source, &self.unexpected_keys, &self.missing_keys, &other)
    }

    /// The checkpoint's keys, rebuilt from what the model expects: that, less what was missing, with what was unexpected.
    pub fn source_of(&self, target: &StateDict<'_>, path: &Path) -> Checkpoint {
        let other: HashMap<&str, &Shape> = self.size_mismatches.iter().map(|m| (m.key.as_str(), &m.source)).collect();
        rebuild(path, target, &self.missing_keys, &self.unexpected_keys, &other)
    }

    /// Whether the lists stand for all differences, so that one real side gives the other.
    pub fn is_whole(&self) -> bool {
        let listed =
            !(self.missing_keys.is_empty() && self.unexpected_keys.is_empty() && self.size_mismatches.is_empty());
        listed && !self.truncated && !self.folded && self.key_errors.is_empty()
    }

    /// Keys in the order of the text; sorted where the framework prints sets, whose order is chance.
    fn in_order<'a>(&self, keys: &'a [String]) -> Vec<&'a str> {
        let mut keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        if matches!(self.kind.as_str(), "mmengine" | "transformers" | "load-report") {
            keys.sort_by_cached_key(|key| natural(key));
        }
        keys
    }

    /// Decides of lone keys whether the checkpoint or the model lacks them, where the traceback did not show it.
    pub(super) fn place_lone_keys(&mut self, rules: &RuleSet) {
        for error in &mut self.key_errors {
            if error.looked_up_in != Lookup::Unknown || !is_parameter(&error.key, rules) {
                continue;
            }
            let starts = |prefix: &str| error.key.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('.'));
            // A key that carries a wrapper, or a table that loaders resize, comes from the file and was looked up in the model.
            let wrapped =
                rules.wrappers.iter().any(|w| starts(&w.segment)) || rules.parts.iter().any(|p| starts(&p.prefix));
            let resized = RESIZED.iter().any(|table| error.key.ends_with(table));
            // The counter came with torch 0.4.1: files of older versions lack it, models never do.
            let counter = error.key.ends_with(".num_batches_tracked");
            let (lookup, list) = if (wrapped || resized) && !counter {
                (Lookup::Model, &mut self.unexpected_keys)
            } else {
                (Lookup::File, &mut self.missing_keys)
            };
            error.looked_up_in = lookup;
            if !list.contains(&error.key) {
                list.push(error.key.clone());
            }
        }
    }
}

/// Whether a dotted name is one of a tensor, and not of a file, a setting or a column of a table.
fn is_parameter(key: &str, rules: &RuleSet) -> bool {
    let numbered = || key.split('.').any(|segment| segment.parse::<u64>().is_ok());
    let known = || {
        let leaf = key.rsplit('.').next().unwrap_or("");
        rules.lexicon.is_leaf(leaf) || RESIZED.contains(&leaf)
    };
    key.contains('.') && !key.contains([' ', '/']) && (known() || numbered())
}

/// Tables whose model side loaders look up to resize the file's (`self.state_dict()[key]`).
const RESIZED: [&str; 6] = [
    "relative_position_bias_table",
    "attention_biases",
    "rpe_table",
    "pos_embed",
    "position_embeddings",
    "absolute_pos_embed",
];

fn checkpoint<'a>(path: &Path, keys: impl Iterator<Item = (String, Option<&'a Shape>)>) -> Checkpoint {
    let mut out = Checkpoint::new(path, Format::Text);
    out.tensors = keys.map(|(key, shape)| tensor(&key, shape.cloned())).collect();
    if let Some(top) = out.containers.first_mut() {
        top.tensors = out.tensors.len();
    }
    out
}

fn tensor(key: &str, shape: Option<Shape>) -> TensorInfo {
    TensorInfo { path: key.into(), container: 0, dtype: None, shape, role: Role::Unknown, placement: None }
}

/// `known` without the keys `less`, with `more`, and with other shapes where given.
fn rebuild(
    path: &Path,
    known: &StateDict<'_>,
    less: &[String],
    more: &[String],
    shapes: &HashMap<&str, &Shape>,
) -> Checkpoint {
    let less: std::collections::HashSet<&str> = less.iter().map(String::as_str).collect();
    let kept = known.entries.iter().filter(|e| !less.contains(e.key.as_str())).map(|e| {
        let shape = shapes.get(e.key.as_str()).copied().or(e.shape());
        (e.key.as_str().to_owned(), shape)
    });
    checkpoint(path, kept.chain(more.iter().map(|key| (key.clone(), None))))
}

/// A sort key under which `layer.9` comes before `layer.10`.
fn natural(key: &str) -> Vec<(String, u64)> {
    key.split('.').map(|segment| segment.parse().map_or((segment.to_owned(), 0), |n| (String::new(), n))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> LogReport {
        super::super::parse(text.as_bytes(), &RuleSet::embedded())
    }

    #[test]
    fn both_sides_have_the_keys_whose_shapes_differ() {
        let log = read(
            "Missing key(s) in state_dict: \"a.b\". \n\tsize mismatch for c.d: copying a param with shape torch.Size([3]) from checkpoint, the shape in current model is torch.Size([4]).",
        );
        let (source, target) = log.sides(Path::new("log"));
        let of = |c: &Checkpoint| c.tensors.iter().map(|t| (t.path.to_string(), t.shape.clone())).collect::<Vec<_>>();
        assert_eq!(of(&source), [("c.d".into(), Some(Shape::from([3])))]);
        assert_eq!(of(&target), [("a.b".into(), None), ("c.d".into(), Some(Shape::from([4])))]);
    }

    #[test]
    fn a_real_checkpoint_and_whole_lists_give_the_model() {
        let log = read("Missing key(s) in state_dict: \"a.b\". \n\tUnexpected key(s) in state_dict: \"x.y\". ");
        assert!(log.is_whole());
        let mut file = Checkpoint::new("f.pth", Format::TorchZip);
        file.tensors = ["x.y", "k.l"].iter().map(|k| tensor(k, Some(Shape::from([2])))).collect();
        let model = log.target_of(&StateDict::below(&file, 0), Path::new("log"));
        let keys: Vec<&str> = model.tensors.iter().map(|t| &*t.path).collect();
        assert_eq!(keys, ["k.l", "a.b"]);
    }

    #[test]
    fn a_lone_key_with_a_wrapper_comes_from_the_file() {
        assert_eq!(read("KeyError: 'module.conv1.weight'").unexpected_keys, ["module.conv1.weight"]);
        assert_eq!(read("KeyError: 'stem.0.weight'").missing_keys, ["stem.0.weight"]);
        assert!(read("KeyError: 'epoch'").missing_keys.is_empty());
    }
}
