//! Error texts and logs: which keys were missing, unexpected or of another shape, in whatever surroundings they were pasted.
//!
//! The text is cleaned (encodings, notebooks, colours, launcher prefixes), squeezed (white space does not count, so a line
//! that a terminal broke is found all the same), searched once for all known wordings, and each is read where it stands.
//! Everything is linear in the length of the text.

use crate::checkpoint::Shape;
use crate::rules::RuleSet;

mod clean;
mod groups;
mod lists;
mod markers;
mod scan;
mod shapes;
mod sides;
mod single;
mod squeezed;
mod words;

pub use clean::MOST_BYTES;
pub use sides::MODEL_CLASS;
pub use single::{KeyError, Lookup};

/// A key whose tensor has another shape in the checkpoint than in the model.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SizeMismatch {
    /// The key.
    pub key: String,
    /// The checkpoint's shape.
    pub source: Shape,
    /// The model's shape.
    pub target: Shape,
}

/// Words of a rule that were found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Index into [`RuleSet::sayings`].
    pub saying: usize,
    /// What stood in place of the names within the words.
    pub words: Vec<(String, String)>,
}

/// All that an error text says about two state_dicts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LogReport {
    /// Keys that the model wants and the checkpoint lacks, in order of the text, each once.
    pub missing_keys: Vec<String>,
    /// Keys that the checkpoint has and the model does not know, likewise.
    pub unexpected_keys: Vec<String>,
    /// Keys on both sides whose shapes differ.
    pub size_mismatches: Vec<SizeMismatch>,
    /// Keys that a lookup failed on, each once.
    pub key_errors: Vec<KeyError>,
    /// What the text says without any key.
    pub said: Vec<Said>,
    /// The class that was loaded into, as far as the text names it.
    pub model_class: Option<String>,
    /// The form of the text: `load-state-dict`, `mmengine`, `key-error`, the name of a rule in `texts/`; `unknown`.
    pub kind: String,
    /// Whether a list was cut short (`...`), so that more keys are concerned than are known.
    pub truncated: bool,
    /// Whether keys were unfolded from a table that shows ranges, which may hide gaps.
    pub folded: bool,
    /// How many places of the text were recognised.
    pub places: usize,
}

impl LogReport {
    /// Whether nothing of the text was recognised.
    pub fn is_empty(&self) -> bool {
        self.places == 0
    }
}

/// Reads the bytes of a log, of which the last [`MOST_BYTES`] are looked at.
pub fn parse(bytes: &[u8], rules: &RuleSet) -> LogReport {
    let text = clean::clean(&clean::decode(bytes));
    let mut report = scan::scan(&text, &rules.sayings);
    report.place_lone_keys(rules);
    report
}
