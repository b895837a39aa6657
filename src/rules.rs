//! What is known about checkpoints, as data: one TOML file a rule under `rules/`, embedded at build time.

/// Every rule file that ships with the program: id (path below `rules/` without suffix) and text.
pub const EMBEDDED: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/rules.rs"));

/// All rules, parsed and checked.
#[derive(Clone, Debug, Default)]
pub struct RuleSet {}

impl RuleSet {
    /// The rules that ship with the program.
    pub fn embedded() -> RuleSet {
        RuleSet::default()
    }
}
