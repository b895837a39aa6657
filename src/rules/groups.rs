//! Rules of `groups/` (keys that stand for another way to store a module) and `diagnoses/` (causes that Rust recognises).

use serde::Deserialize;

use super::{About, RuleError, RuleSet};

/// What it takes when a group is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GroupRemedy {
    /// A mechanical edit.
    Edit,
    /// Nothing.
    Lost,
}

/// Keys of a checkpoint that together mean that it is stored in another way, or is not a model.
#[derive(Clone, Debug)]
pub struct Group {
    /// Id of the rule.
    pub rule: String,
    /// Code of its findings.
    pub code: String,
    /// How many signs an unexpected key must show, each at least once.
    pub given: usize,
    /// How many signs a missing key must show.
    pub wanted: usize,
    /// Whether everything else that is missing or unexpected has the same cause, when most of the checkpoint is of the group.
    pub whole: bool,
    /// Whether the model has the same modules, stored otherwise.
    pub otherwise: bool,
    /// The cause, in lower case.
    pub message: String,
    /// The cause where the checkpoint holds more than the group; empty where that makes no difference.
    pub partly: String,
    /// What it takes.
    pub remedy: GroupRemedy,
}

/// The part that a key plays in a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// An unexpected key that is a sign of the group, by number of the sign.
    Given(usize),
    /// A missing key that is a sign of the group.
    Wanted(usize),
    /// An unexpected key that belongs to it as well, beside a sign.
    AlsoGiven,
    /// A missing key that belongs to it as well, beside a sign.
    AlsoWanted,
}

/// A key's part in one of the groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Role {
    /// Index into [`RuleSet::groups`].
    pub group: usize,
    /// What it is there.
    pub part: Part,
}

/// `[match]` of a file in `groups/`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Match {
    #[serde(default)]
    given: Vec<String>,
    #[serde(default)]
    wanted: Vec<String>,
    #[serde(default)]
    also_given: Vec<String>,
    #[serde(default)]
    also_wanted: Vec<String>,
    #[serde(default)]
    whole: bool,
    message: String,
    #[serde(default)]
    partly: String,
    remedy: GroupRemedy,
}

/// Adds a file of `groups/`.
pub(super) fn add(set: &mut RuleSet, id: &str, m: Match) -> Result<(), RuleError> {
    let fail = |what| RuleError::new(id, what);
    if m.given.is_empty() && m.wanted.is_empty() {
        return Err(RuleError::new(id, "[match] needs `given` or `wanted`"));
    }
    let Some(code) = set.rule(id).and_then(|about| about.code.clone()) else {
        return Err(RuleError::new(id, "needs a `code`"));
    };
    let group = Group {
        rule: id.to_owned(),
        code,
        given: m.given.len(),
        wanted: m.wanted.len(),
        whole: m.whole,
        otherwise: m.wanted.is_empty() && !m.also_wanted.is_empty(),
        message: m.message,
        partly: m.partly,
        remedy: m.remedy,
    };
    let at = set.groups.len();
    let signs = m.given.iter().enumerate().map(|(i, key)| (key, Part::Given(i)));
    let signs = signs.chain(m.wanted.iter().enumerate().map(|(i, key)| (key, Part::Wanted(i))));
    let also = m.also_given.iter().map(|key| (key, Part::AlsoGiven));
    let also = also.chain(m.also_wanted.iter().map(|key| (key, Part::AlsoWanted)));
    for (key, part) in signs.chain(also) {
        set.group_roles.add(key, &Role { group: at, part }).map_err(fail)?;
    }
    set.groups.push(group);
    Ok(())
}

/// A cause that is recognised in Rust; its rule carries what is said about it, and the cases that prove it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Diagnosis {
    /// A prefix before every key that no rule of `wrappers/` knows.
    Prefix,
    /// The same tensors under other names.
    Renamed,
    /// Another number of blocks.
    Depth,
    /// Another width.
    Width,
    /// Norms without running statistics where the model has them, or the reverse.
    NormType,
    /// Keys cut in the middle of a segment.
    CutKey,
    /// Nothing in common.
    WrongFile,
    /// Sizes 0 and 1 everywhere: parameters that are kept elsewhere.
    Placeholders,
    /// The dict that holds the state_dict was passed.
    Container,
    /// The model had no parameters yet.
    NotBuilt,
    /// A whole module of the checkpoint that the model does not have.
    Leftover,
    /// A whole module of the model that the checkpoint does not have.
    Fresh,
    /// A bias that the layers of one side do not have.
    Bias,
    /// Several answers are possible.
    Ambiguous,
    /// A key whose memory another key has as well.
    SharedMemory,
    /// A dtype that holds every value.
    DtypeWidened,
    /// A dtype that loses range or precision.
    DtypeNarrowed,
    /// A dtype of another kind.
    DtypeKind,
}

/// `[match]` of a file in `diagnoses/`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DiagnosisMatch {
    law: Diagnosis,
    #[serde(default)]
    words: Vec<String>,
}

/// Adds a file of `diagnoses/`.
pub(super) fn add_diagnosis(set: &mut RuleSet, id: &str, m: DiagnosisMatch) -> Result<(), RuleError> {
    if let Some((_, other, _)) = set.diagnoses.iter().find(|(law, _, _)| *law == m.law) {
        return Err(RuleError::new(id, format!("`{other}` has the same law already")));
    }
    set.diagnoses.push((m.law, id.to_owned(), m.words));
    Ok(())
}

impl RuleSet {
    /// The rule of a cause that Rust recognises, when the set has one.
    pub fn diagnosis(&self, law: Diagnosis) -> Option<&About> {
        self.diagnoses.iter().find(|(l, _, _)| *l == law).and_then(|(_, id, _)| self.rule(id))
    }

    /// The words that the rule of a cause lists.
    pub fn words(&self, law: Diagnosis) -> &[String] {
        self.diagnoses.iter().find(|(l, _, _)| *l == law).map_or(&[], |(_, _, words)| words)
    }
}
