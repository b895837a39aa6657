//! What is known about checkpoints, as data: one TOML file a rule under `rules/`, embedded at build time.
//!
//! The id of a rule is its path below `rules/` without the suffix; the folder says what kind of rule it is.

use std::collections::HashMap;
use std::path::Path;

mod about;
mod buffers;
mod error;
mod example;
mod groups;
mod laws;
pub mod lexicon;
mod load;
mod modules;
mod pattern;
mod shapes;
mod texts;
mod wrappers;

pub use about::{About, Grade};
pub use buffers::{Buffer, Filled, Form, Made};
pub use error::RuleError;
pub use example::{Example, Line};
pub use groups::{Diagnosis, Group, GroupRemedy, Part as GroupPart, Role};
pub use laws::{Law, Mend, Reading};
pub use modules::{BlockType, Copies, Head, Tied, Variant, Variants};
pub use pattern::{Pattern, PatternMap};
pub use shapes::{ShapeRule, Shapes};
pub use texts::Saying;
pub use wrappers::{Part, Place, Wrapper};

pub mod safety;

/// Every rule file that ships with the program: id (path below `rules/` without suffix) and text.
pub const EMBEDDED: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/rules.rs"));

/// All rules, parsed and checked.
#[derive(Clone, Debug, Default)]
pub struct RuleSet {
    /// Id and text of every file, sorted by id.
    files: Vec<(String, String)>,
    /// What every rule says of itself, sorted by id.
    pub about: Vec<About>,
    /// The words of the field.
    pub lexicon: lexicon::Lexicon,
    /// Segments that tools put into keys.
    pub wrappers: Vec<Wrapper>,
    /// Prefixes under which one model sits inside a larger one.
    pub parts: Vec<Part>,
    /// Error texts that name their cause by themselves.
    pub sayings: Vec<Saying>,
    /// Which tensors obey which law of shapes.
    pub shapes: Shapes,
    /// Tensors beside the parameters, and who fills them.
    pub buffers: PatternMap<Buffer>,
    /// Modules of one use of a model.
    pub heads: Vec<Head>,
    /// Parameters that share their memory with another.
    pub tied: Vec<Tied>,
    /// Names of second copies.
    pub copies: Vec<Copies>,
    /// Names of models by depth and width.
    pub variants: Vec<Variants>,
    /// Kinds of blocks.
    pub blocks: Vec<BlockType>,
    /// Other ways to store a module.
    pub groups: Vec<Group>,
    /// Names of head modules, and which of the `heads` has them.
    head_names: HashMap<String, usize>,
    /// The first segments of wrappers, and which wrappers begin so.
    wrapper_heads: HashMap<String, Vec<usize>>,
    /// Which keys play which part in which of the `groups`.
    pub group_roles: PatternMap<Role>,
    /// Causes recognised in Rust: the law, the id of its rule, the words it lists.
    diagnoses: Vec<(Diagnosis, String, Vec<String>)>,
}

impl RuleSet {
    /// The rules that ship with the program.
    ///
    /// # Panics
    /// Never in a build whose tests passed: they parse every embedded file.
    pub fn embedded() -> RuleSet {
        let files = EMBEDDED.iter().map(|&(id, text)| (id.to_owned(), text.to_owned())).collect();
        Self::parse(files).unwrap_or_else(|e| panic!("an embedded rule is broken: {e}"))
    }

    /// The rules below a folder of the user's, instead of those that ship with the program.
    ///
    /// # Errors
    /// Where the folder or a file cannot be read, or a file is not a rule; the error names file, line and column.
    pub fn load(folder: &Path) -> Result<RuleSet, RuleError> {
        Self::parse(load::files(folder)?)
    }

    /// The rules that ship with the program and, over them, those below a folder of the user's: one with the id of a
    /// rule that ships replaces it.
    ///
    /// # Errors
    /// As [`RuleSet::load`].
    pub fn embedded_and(folder: &Path) -> Result<RuleSet, RuleError> {
        let mut files: std::collections::BTreeMap<String, String> =
            EMBEDDED.iter().map(|&(id, text)| (id.to_owned(), text.to_owned())).collect();
        files.extend(load::files(folder)?);
        Self::parse(files.into_iter().collect())
    }

    /// Parses and checks files given as id and text.
    ///
    /// # Errors
    /// Names the first file that is not a rule, with line and column.
    pub fn parse(mut files: Vec<(String, String)>) -> Result<RuleSet, RuleError> {
        files.sort();
        let mut set = RuleSet::default();
        for (id, text) in &files {
            load::one(&mut set, id, text)?;
        }
        set.shapes.close()?;
        set.files = files;
        Ok(set)
    }

    /// Id and text of every file below `folder` (`lexicon`), sorted by id.
    pub fn files<'a>(&'a self, folder: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> + 'a {
        let inside = move |id: &str| id.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
        self.files.iter().filter(move |(id, _)| inside(id)).map(|(id, text)| (id.as_str(), text.as_str()))
    }

    /// The id of every file, sorted.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(|(id, _)| id.as_str())
    }

    /// What the rule with this id says of itself.
    pub fn rule(&self, id: &str) -> Option<&About> {
        self.about.binary_search_by(|a| a.id.as_str().cmp(id)).ok().and_then(|i| self.about.get(i))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_embedded_rule_parses() {
        let rules = RuleSet::embedded();
        assert!(rules.rule("wrappers/data-parallel").is_some());
        assert!(rules.about.is_sorted_by(|a, b| a.id < b.id));
    }

    #[test]
    fn a_rule_of_the_user_replaces_the_one_of_the_same_name_and_keeps_the_others() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("wrappers")).unwrap();
        let text = EMBEDDED.iter().find(|(id, _)| *id == "wrappers/data-parallel").unwrap().1;
        let text =
            text.lines().map(|l| if l.starts_with("summary") { "summary = \"mine\"" } else { l }).collect::<Vec<_>>();
        std::fs::write(folder.path().join("wrappers/data-parallel.toml"), text.join("\n")).unwrap();
        let rules = RuleSet::embedded_and(folder.path()).unwrap();
        assert_eq!(rules.rule("wrappers/data-parallel").unwrap().summary, "mine");
        assert_eq!(rules.about.len(), RuleSet::embedded().about.len());
    }

    #[test]
    fn an_unknown_field_is_named_with_line_and_caret() {
        let text = "summary = \"x\"\nexplanation = \"y\"\nsources = []\nsegmnts = []\n[match]\nplace = \"anywhere\"\n";
        let error = RuleSet::parse(vec![("wrappers/mine".into(), text.into())]).unwrap_err().to_string();
        assert!(error.contains("wrappers/mine.toml"), "{error}");
        assert!(error.contains("line 4, column 1"), "{error}");
        assert!(error.contains("^^^^"), "{error}");
        assert!(error.contains("segmnts"), "{error}");
    }

    #[test]
    fn a_rule_in_an_unknown_folder_is_refused_and_the_known_ones_are_listed() {
        let error = RuleSet::parse(vec![("wrapers/mine".into(), String::new())]).unwrap_err().to_string();
        assert!(error.contains("wrapers") && error.contains("wrappers"), "{error}");
    }
}
