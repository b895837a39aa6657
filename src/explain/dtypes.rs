//! Element types that differ, about which PyTorch says nothing.

use std::collections::BTreeSet;

use super::case::{Case, Cause, Rank, count};
use super::{Remedy, Severity};
use crate::checkpoint::DtypeChange;
use crate::compare::Difference;
use crate::rules::Diagnosis;

/// One finding for each kind of change.
pub(super) fn explain(case: &mut Case<'_>) {
    for wanted in [DtypeChange::KindChanged, DtypeChange::Narrowed, DtypeChange::Widened] {
        let mut claims = Vec::new();
        let mut pairs = BTreeSet::new();
        for (difference, fact) in case.open() {
            if let Difference::DtypeMismatch { matched, change } = *fact
                && change == wanted
            {
                claims.push(difference);
                let dtypes = case.matched(matched).and_then(|m| {
                    let source = case.source.entries.get(*m.source.first()? as usize)?.dtype()?;
                    Some((source, case.target.entries.get(m.target as usize)?.dtype()?))
                });
                pairs.extend(dtypes);
            }
        }
        let n = count(claims.len(), "tensor");
        let pairs: Vec<String> = pairs.into_iter().map(|(a, b)| format!("{a} → {b}")).collect();
        let pairs = pairs.join(", ");
        let (code, law, severity, message) = match wanted {
            DtypeChange::KindChanged => (
                "CK303",
                Diagnosis::DtypeKind,
                Severity::Error,
                format!("{n} would change in kind: {pairs}; PyTorch converts them without a word"),
            ),
            DtypeChange::Narrowed => (
                "CK302",
                Diagnosis::DtypeNarrowed,
                Severity::Warning,
                format!("{n} would lose range or precision: {pairs}"),
            ),
            _ => ("CK301", Diagnosis::DtypeWidened, Severity::Note, format!("{n} would be widened: {pairs}")),
        };
        let rank = if wanted == DtypeChange::KindChanged { Rank::Size } else { Rank::Dtype };
        let mut cause = Cause::new(code, rank, Remedy::None, message)
            .by(case.rules.diagnosis(law))
            .with("change", wanted.id())
            .with("dtypes", pairs);
        cause.severity = severity;
        case.claim(claims, cause);
    }
}
