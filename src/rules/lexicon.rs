//! What words mean across frameworks: `rules/lexicon/*.toml`.

use serde::Deserialize;

use super::RuleError;

/// What the last part of a key is to its module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// The main matrix, kernel or scale.
    Weight,
    /// What is added.
    Bias,
    /// A running mean.
    Mean,
    /// A running variance.
    Variance,
    /// A counter of batches.
    Count,
    /// The magnitude of a weight-normalised tensor.
    Magnitude,
    /// The direction of a weight-normalised tensor.
    Direction,
    /// A table that the model computes from its configuration.
    Table,
    /// Anything else.
    #[default]
    Other,
}

impl Role {
    /// Whether a tensor of this role may be part of one of role `other`: a fused tensor often stands without a leaf of its own.
    pub fn accepts(self, other: Role) -> bool {
        self == other
            || (self == Role::Weight && other == Role::Other)
            || (self == Role::Other && other == Role::Weight)
    }

    /// Whether a tensor of this role counts as a parameter when modules are weighed.
    pub fn is_parameter(self) -> bool {
        !matches!(self, Role::Mean | Role::Variance | Role::Count | Role::Table)
    }
}

/// Forms that mean the same.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Concept {
    /// What it is called here.
    pub name: String,
    /// Spellings, as they stand in keys; cut into tokens like keys.
    pub forms: Vec<String>,
}

/// Forms of the last part of a key.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LeafForms {
    /// What it is to its module.
    pub role: Role,
    /// Whether matrices under this name are stored input first, the reverse of PyTorch's `nn.Linear`.
    #[serde(default)]
    pub turned: bool,
    /// Spellings.
    pub forms: Vec<String>,
}

/// How a fused tensor is made of parts.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Fusion {
    /// The concept of the fused tensor.
    pub whole: String,
    /// The concepts of its parts, in the usual order.
    pub parts: Vec<String>,
    /// Names under which some models keep the parts' rows group by group (head by head) and others one part after another.
    #[serde(default)]
    pub grouped: Vec<String>,
}

/// A form that means something of its own where certain others stand beside it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Beside {
    /// The form.
    pub form: String,
    /// The one concept it stands for.
    pub means: String,
    /// Forms that must all stand in the same module.
    pub with: Vec<String>,
    /// Forms that must not.
    #[serde(default)]
    pub without: Vec<String>,
    /// Where that can be read.
    #[allow(dead_code, reason = "read by people")]
    pub source: String,
}

/// A weight that a quantiser replaces by several tensors.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Packed {
    /// What stands there without quantisation.
    pub whole: String,
    /// What stands there instead.
    pub parts: Vec<String>,
    /// How many of the parts must be there.
    pub at_least: usize,
}

/// One file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    #[allow(dead_code, reason = "read by people and by `ckdiff rules`")]
    summary: String,
    #[allow(dead_code, reason = "read by people and by `ckdiff rules`")]
    #[serde(default)]
    sources: Vec<String>,
    #[serde(default)]
    concept: Vec<Concept>,
    #[serde(default)]
    leaf: Vec<LeafForms>,
    #[serde(default)]
    fusion: Vec<Fusion>,
    #[serde(default)]
    packed: Vec<Packed>,
    #[serde(default)]
    beside: Vec<Beside>,
    #[serde(default)]
    countdown: Vec<Countdown>,
}

/// Forms whose numbers count down: the last is used first.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Countdown {
    /// The forms, each followed by a number in keys.
    pub forms: Vec<String>,
    /// Where the code uses them in that order.
    pub source: String,
}

/// The words of the field.
#[derive(Clone, Debug, Default)]
pub struct Lexicon {
    /// Groups of forms that mean the same.
    pub concepts: Vec<Concept>,
    /// Forms of leaves.
    pub leaves: Vec<LeafForms>,
    /// Fused tensors and their parts.
    pub fusions: Vec<Fusion>,
    /// Quantised weights.
    pub packed: Vec<Packed>,
    /// Forms that mean something of their own beside others.
    pub besides: Vec<Beside>,
    /// Forms whose numbers count down.
    pub countdowns: Vec<Countdown>,
}

impl Lexicon {
    /// Whether the rows of a fused tensor of this name may come in groups, one for each head: its name does not tell.
    pub fn may_be_grouped(&self, key: &str) -> bool {
        let names = |f: &'_ Fusion| key.split('.').any(|segment| f.grouped.iter().any(|g| g == segment));
        self.fusions.iter().any(names)
    }

    /// Whether tensors are called so within their module: `weight`, `running_mean`.
    pub fn is_leaf(&self, name: &str) -> bool {
        self.leaves.iter().any(|leaf| leaf.forms.iter().any(|form| form == name))
    }

    /// Adds one file's entries.
    ///
    /// # Errors
    /// Where the text is no valid lexicon file; the message names line and column.
    pub fn add(&mut self, id: &str, text: &str) -> Result<(), RuleError> {
        let file: File = toml::from_str(text).map_err(|e| RuleError::parse(id, &e))?;
        self.concepts.extend(file.concept);
        self.leaves.extend(file.leaf);
        self.fusions.extend(file.fusion);
        self.packed.extend(file.packed);
        self.besides.extend(file.beside);
        self.countdowns.extend(file.countdown);
        Ok(())
    }
}
