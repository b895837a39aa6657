//! The container that was picked because it fits: whoever loads the file has to pick it too.

use super::case::{Cause, Rank, count};
use super::{Finding, Remedy, Severity};
use crate::align::Alignment;
use crate::checkpoint::{StateDict, quoted};
use crate::rules::{Diagnosis, RuleSet};

/// Adds what has to be said when the state_dict lies inside the file and nobody named it: an error where nothing else keeps
/// it from loading, otherwise a note beside the graver causes.
pub fn add_container(
    findings: &mut Vec<Finding>,
    source: &StateDict<'_>,
    target: &StateDict<'_>,
    alignment: &Alignment,
    rules: &RuleSet,
) {
    if source.container.is_empty() || source.container == target.container || source.entries.is_empty() {
        return;
    }
    let (fits, of) = (alignment.matches.len(), target.entries.len());
    let name = quoted(source.container);
    let message = format!("the weights are under {name}, which has {fits} of the {}", count(of, "expected key"));
    let mut cause = Cause::new("CK105", Rank::File, Remedy::Edit, message).by(rules.diagnosis(Diagnosis::Container));
    cause =
        cause.with("container", source.container).help(format!("pass {} to load_state_dict", access(source.container)));
    let graver = findings.iter().any(|f| f.severity == Severity::Error);
    let at =
        if graver { findings.iter().position(|f| f.severity == Severity::Note).unwrap_or(findings.len()) } else { 0 };
    let severity = if graver { Severity::Note } else { Severity::Error };
    findings.insert(
        at,
        Finding {
            code: cause.code,
            rule: cause.rule,
            severity,
            claims: Vec::new(),
            keys: source.entries.len(),
            examples: vec![source.container.to_owned()],
            message: cause.message,
            help: if graver { String::new() } else { cause.help },
            confidence: cause.confidence,
            remedy: cause.remedy,
            arguments: cause.arguments,
        },
    );
}

/// How Python reaches a container: `checkpoint["model"]["ema"]`.
fn access(container: &str) -> String {
    let part = |p: &str| if p.bytes().all(|b| b.is_ascii_digit()) { format!("[{p}]") } else { format!("[{p:?}]") };
    format!("checkpoint{}", container.split('.').map(part).collect::<String>())
}
