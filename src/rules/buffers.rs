//! Rules of `buffers/`: tensors that a module keeps beside its parameters, and who fills them.

use serde::Deserialize;

use super::{RuleError, RuleSet};
use crate::checkpoint::Shape;

/// Who fills a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Filled {
    /// The model computes it when it is built; what the file holds adds nothing.
    ByTheModel,
    /// `num_batches_tracked`: PyTorch counts it, and makes it where a file from before 0.4.1 has none.
    ByCounting,
    /// The file only: the model cannot compute the values that were trained with.
    ByTheFile,
}

/// The values of a buffer that follow from its shape alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Made {
    /// Zero everywhere.
    Zeros,
    /// 0, 1, 2, … along the last dimension.
    Positions,
    /// Of `[W², W²]`: the row of a table of relative positions for every pair of places (Swin).
    WindowIndex,
    /// Of `[S², S²]`: the column of a table of absolute offsets for every pair of places (LeViT).
    OffsetIndex,
}

/// What a buffer's shape must be, so that a parameter of the same name is not taken for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// Anything.
    #[default]
    Any,
    /// `[]` or `[1]`.
    Scalar,
    /// One dimension.
    Vector,
    /// `[1, 1, n, n]`.
    CausalMask,
    /// `[n, n]`.
    Square,
    /// `[1, n]`.
    Row,
}

impl Form {
    /// Whether a shape has the form; one that is not known has any, as far as names alone can say.
    pub fn fits(self, shape: Option<&Shape>) -> bool {
        let Some(shape) = shape else { return matches!(self, Form::Any | Form::Scalar | Form::Row) };
        match (self, shape.dims()) {
            (Form::Any, _) | (Form::Scalar, [] | [1]) | (Form::Vector, [_]) | (Form::Row, [1, _]) => true,
            (Form::CausalMask, [1, 1, a, b]) | (Form::Square, [a, b]) => a == b,
            _ => false,
        }
    }
}

/// A buffer and who fills it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Buffer {
    /// Id of the rule.
    pub rule: String,
    /// Who fills it.
    pub filled: Filled,
    /// What its shape must be.
    pub form: Form,
    /// Its values, where the shape tells them.
    pub made: Option<Made>,
}

/// `[match]` of a file in `buffers/`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Match {
    keys: Vec<String>,
    filled: Filled,
    #[serde(default)]
    form: Form,
    made: Option<Made>,
}

/// Adds a file of `buffers/`.
pub(super) fn add(set: &mut RuleSet, id: &str, m: Match) -> Result<(), RuleError> {
    let buffer = Buffer { rule: id.to_owned(), filled: m.filled, form: m.form, made: m.made };
    m.keys.iter().try_for_each(|key| set.buffers.add(key, &buffer)).map_err(|what| RuleError::new(id, what))
}
