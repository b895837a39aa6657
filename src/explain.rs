//! Causes: each finding claims the differences it accounts for; what no explanation claims is still reported.

use std::collections::BTreeMap;

use crate::align::Alignment;
use crate::checkpoint::StateDict;
use crate::compare::Difference;
use crate::rules::RuleSet;

mod alike;
mod biases;
mod blocks;
mod buffers;
mod case;
mod copies;
mod cut;
mod depth;
mod dtypes;
mod file;
mod fold;
mod groups;
mod lists;
mod pairs;
mod picked;
mod prefix;
mod renamed;
mod rest;
mod sizes;
mod text;
mod tied;
mod width;

pub use fold::{Folded, fold_keys, roots};
pub use pairs::align_text;
pub use picked::add_container;
pub use text::{explain_text, nothing_known};

/// How bad a finding is, judged by what `load_state_dict(strict=True)` would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing; loading is not affected.
    Note,
    /// Loads, and may not be what is meant.
    Warning,
    /// Does not load, or loads the wrong thing.
    Error,
}

impl Severity {
    /// The name in JSON output: `error`.
    pub fn id(self) -> &'static str {
        match self {
            Severity::Note => "note",
            Severity::Warning => "warning",
            Severity::Error => "error",
        }
    }
}

/// What it takes to make the keys of a finding load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Remedy {
    /// Nothing: it loads as it is, or does not matter.
    None,
    /// A mechanical edit without loss: pick a container, strip, rename, drop, leave to the model.
    Edit,
    /// A resize that a rule names.
    Resize,
    /// Nothing but leaving the keys out.
    Lost,
}

/// One cause, with everything a report needs to say it.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// `CK103`.
    pub code: &'static str,
    /// Id of the rule that explains it (`wrappers/detector-backbone`).
    pub rule: Option<String>,
    /// By what PyTorch would do.
    pub severity: Severity,
    /// Indices of the differences it accounts for.
    pub claims: Vec<u32>,
    /// How many keys are concerned.
    pub keys: usize,
    /// A handful of them.
    pub examples: Vec<String>,
    /// The cause in one line, lower case.
    pub message: String,
    /// What to do; may be empty.
    pub help: String,
    /// How sure, 0 to 1.
    pub confidence: f32,
    /// What it takes.
    pub remedy: Remedy,
    /// Typed facts of the message (window sizes, counts), for machines and fingerprints.
    pub arguments: BTreeMap<&'static str, serde_json::Value>,
}

impl Finding {
    /// A cause that is certain, claims no difference, names no key and needs nothing done.
    pub fn new(code: &'static str, severity: Severity, message: impl Into<String>, help: impl Into<String>) -> Finding {
        Finding {
            code,
            rule: None,
            severity,
            claims: Vec::new(),
            keys: 0,
            examples: Vec::new(),
            message: message.into(),
            help: help.into(),
            confidence: 1.0,
            remedy: Remedy::None,
            arguments: BTreeMap::new(),
        }
    }
}

/// Explains differences, most important cause first. Every difference is claimed by exactly one finding.
pub fn explain(
    source: &StateDict<'_>,
    target: &StateDict<'_>,
    alignment: &Alignment,
    differences: &[Difference],
    rules: &RuleSet,
) -> Vec<Finding> {
    let mut case = case::Case::new(source, target, alignment, differences, rules);
    // What the file is comes before what is in it; what a tool did to names comes before what they mean.
    file::container(&mut case);
    file::placeholders(&mut case);
    groups::explain(&mut case);
    cut::explain(&mut case);
    prefix::explain(&mut case);
    copies::explain(&mut case);
    file::other_model(&mut case);
    depth::explain(&mut case);
    blocks::explain(&mut case);
    blocks::norms(&mut case);
    sizes::axes(&mut case);
    renamed::explain(&mut case);
    buffers::explain(&mut case);
    tied::explain(&mut case);
    prefix::explain_one_side(&mut case);
    file::not_built(&mut case);
    width::explain(&mut case);
    sizes::explain(&mut case);
    dtypes::explain(&mut case);
    biases::explain(&mut case);
    file::wrong(&mut case);
    rest::explain(&mut case);
    case.close()
}

/// The code as the table of codes has it; `None` where it has no page.
fn known_code(code: &str) -> Option<&'static str> {
    crate::codes::PAGES.iter().map(|(known, _)| *known).find(|known| *known == code)
}
