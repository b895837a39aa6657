//! The contracts as subjects of the formats for review tools: the findings with their places, as the project weighed them.

use std::path::Path;

use crate::explain::Finding;
use crate::judge::{Policy, Standing, Weighed};
use crate::report::base::Base;
use crate::report::subject::{Accepted, Subject};

/// The subject of findings about one file, each on a line of it where known.
pub(super) fn other(
    name: String,
    path: &Path,
    findings: &[(Finding, Option<usize>)],
    weighed: &[Weighed],
    policy: &Policy,
) -> Subject {
    let findings = findings.iter().map(|(f, line)| (f.clone(), line.map(|l| l as u64)));
    overrule(Subject::other(name, path, findings, &Base::here()), weighed, policy)
}

/// Takes over severities, fingerprints and what is accepted. `weighed` are the items of the subject in their order.
pub(super) fn overrule(mut subject: Subject, weighed: &[Weighed], policy: &Policy) -> Subject {
    subject.set_holds(!weighed.iter().any(|w| w.standing == Standing::Fails));
    let items = std::mem::take(&mut subject.items);
    let kept = items.into_iter().zip(weighed).filter(|(_, w)| w.standing != Standing::Off);
    subject.items = kept
        .map(|(mut item, w)| {
            item.finding.severity = w.finding.severity;
            item.fingerprint = w.fingerprint.to_string();
            item.accepted = match w.standing {
                Standing::Ignored(index) => {
                    let reason = policy.ignores.get(index).map(|i| i.reason.clone()).unwrap_or_default();
                    Some(Accepted { by: "ckdiff.toml".into(), reason })
                }
                Standing::Known => Some(Accepted { by: "baseline".into(), reason: String::new() }),
                Standing::Fails | Standing::Passes | Standing::Off => None,
            };
            item
        })
        .collect();
    subject
}
