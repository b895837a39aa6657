//! Which contracts and which of their sources are checked.

use super::Failure;
use crate::checkpoint::escaped;
use crate::cli::CheckArgs;
use crate::config::{Config, Contract};

/// A contract with what of it is to be checked.
pub(super) struct Job<'a> {
    pub(super) contract: &'a Contract,
    /// Paths relative to the configuration.
    pub(super) sources: Vec<String>,
    /// Entries of `source` that matched nothing: their index.
    pub(super) unmatched: Vec<usize>,
}

/// What is to be checked.
pub(super) struct Selection<'a> {
    pub(super) jobs: Vec<Job<'a>>,
    /// Whether that is everything.
    pub(super) complete: bool,
}

impl<'a> Selection<'a> {
    /// Everything, or what the given files belong to. A file that belongs to no contract is passed over: hooks hand over every file
    /// of a commit.
    pub(super) fn of(config: &'a Config, args: &CheckArgs) -> Result<Selection<'a>, Failure> {
        let complete = args.files.is_empty();
        if !complete && args.update_baseline {
            let failure = Failure::new("--update-baseline needs all contracts, and files are given");
            return Err(failure.help("leave the files out: what is not checked would be taken out of the baseline"));
        }
        let given: Vec<String> = args.files.iter().filter_map(|f| config.relative(f)).collect();
        let all_of_it = |path: &str| {
            let is = |file: &std::path::Path| config.relative(file).as_deref() == Some(path);
            is(&config.path) || args.baseline.as_deref().is_some_and(is)
        };
        let everything = complete || given.iter().any(|path| all_of_it(path));
        let mut jobs = Vec::new();
        for contract in &config.contracts {
            let found = config.sources(contract).map_err(|e| {
                Failure::new(format!("contract {}: cannot look for its files: {e}", escaped(&contract.name)))
            })?;
            let (mut sources, mut unmatched) = (found.paths, found.unmatched);
            // A pattern like `*.json` may match the model's own list as well.
            sources.retain(|s| *s != contract.expected);
            if !everything && !given.iter().any(|path| contract.expects(path)) {
                let named: Vec<&String> = given.iter().filter_map(|path| contract.source_of(path, &sources)).collect();
                sources = sources.iter().filter(|s| named.contains(s)).cloned().collect();
                unmatched.clear();
                if sources.is_empty() {
                    continue;
                }
            }
            jobs.push(Job { contract, sources, unmatched });
        }
        Ok(Selection { jobs, complete: everything })
    }
}
