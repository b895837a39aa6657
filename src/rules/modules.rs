//! Rules of `heads/`, `tied/`, `copies/`, `variants/` and `blocks/`: what modules are called and what they are.

use serde::Deserialize;

use super::pattern::{Pattern, PatternMap};
use super::{RuleError, RuleSet};

/// Modules that belong to one use of a model and not to the model: neck, heads, losses.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// Id of the rule.
    #[serde(skip)]
    pub rule: String,
    /// Names of modules, as whole segments.
    pub names: Vec<String>,
    /// What has them: "detector".
    pub of: String,
    /// What they are: "head", "loss".
    pub what: String,
}

/// Parameters that share their memory with another.
#[derive(Clone, Debug)]
pub struct Tied {
    /// Id of the rule.
    pub rule: String,
    /// Keys that may be absent.
    pub absent: PatternMap<()>,
    /// Keys one of which then holds the values.
    pub holders: PatternMap<()>,
}

/// `[match]` of a file in `tied/`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TiedMatch {
    absent: Vec<String>,
    holders: Vec<String>,
}

/// Names under which a second copy of a model is kept.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Copies {
    /// Id of the rule.
    #[serde(skip)]
    pub rule: String,
    /// The first segment of the copy's keys, or what a first segment begins with when it ends in `*`.
    pub names: Vec<String>,
    /// What the copy is: "an exponential moving average".
    pub what: String,
}

/// Model names by depth and width.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variants {
    /// Id of the rule.
    #[serde(skip)]
    pub rule: String,
    /// The stages of the model in order, `#` for the number of the stage: `layers.#.blocks`; `{a,b}` for other spellings.
    pub stages: Vec<String>,
    /// A key whose first size is the width, to tell variants of equal depths apart.
    #[serde(default)]
    pub width_key: Vec<String>,
    /// The variants.
    pub models: Vec<Variant>,
}

/// One model of a family.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    /// `Swin-T`.
    pub name: String,
    /// Blocks in each stage.
    pub depths: Vec<u64>,
    /// The first size of the width key.
    pub width: Option<u64>,
}

/// Children that tell what kind of block a model is built of.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlockType {
    /// Id of the rule.
    #[serde(skip)]
    pub rule: String,
    /// Names below a block, dots inside allowed: all must be there.
    pub children: Vec<String>,
    /// Blocks that have them: "bottleneck blocks".
    pub with: String,
    /// Blocks that do not: "basic blocks".
    pub without: String,
    /// Whether sizes and other children of these blocks differ for the same reason.
    #[serde(default)]
    pub throughout: bool,
}

/// Adds a file of `heads/`.
pub(super) fn add_head(set: &mut RuleSet, id: &str, mut m: Head) -> Result<(), RuleError> {
    m.rule = id.to_owned();
    for name in &m.names {
        if let Some(other) = set.head_names.insert(name.clone(), set.heads.len()).and_then(|at| set.heads.get(at)) {
            return Err(RuleError::new(id, format!("`{name}` is a name of `{}` already", other.rule)));
        }
    }
    set.heads.push(m);
    Ok(())
}

impl RuleSet {
    /// The rule that knows a module of this name as a head.
    pub fn head(&self, name: &str) -> Option<&Head> {
        self.head_names.get(name).and_then(|&at| self.heads.get(at))
    }
}

/// Adds a file of `tied/`.
pub(super) fn add_tied(set: &mut RuleSet, id: &str, m: TiedMatch) -> Result<(), RuleError> {
    let fail = |what| RuleError::new(id, what);
    let mut tied = Tied { rule: id.to_owned(), absent: PatternMap::default(), holders: PatternMap::default() };
    m.absent.iter().try_for_each(|key| tied.absent.add(key, &())).map_err(fail)?;
    m.holders.iter().try_for_each(|key| tied.holders.add(key, &())).map_err(fail)?;
    set.tied.push(tied);
    Ok(())
}

/// Adds a file of `copies/`.
pub(super) fn add_copies(set: &mut RuleSet, id: &str, mut m: Copies) -> Result<(), RuleError> {
    m.rule = id.to_owned();
    set.copies.push(m);
    Ok(())
}

/// Adds a file of `variants/`.
pub(super) fn add_variants(set: &mut RuleSet, id: &str, mut m: Variants) -> Result<(), RuleError> {
    m.rule = id.to_owned();
    for key in m.stages.iter().chain(&m.width_key) {
        Pattern::parse(key).map_err(|what| RuleError::new(id, what))?;
    }
    if let Some(bad) = m.stages.iter().find(|s| s.matches('#').count() > 1) {
        return Err(RuleError::new(id, format!("`{bad}`: only one `#`, the number of the stage")));
    }
    set.variants.push(m);
    Ok(())
}

/// Adds a file of `blocks/`.
pub(super) fn add_blocks(set: &mut RuleSet, id: &str, mut m: BlockType) -> Result<(), RuleError> {
    m.rule = id.to_owned();
    if m.children.is_empty() {
        return Err(RuleError::new(id, "`children` must name at least one"));
    }
    set.blocks.push(m);
    Ok(())
}
