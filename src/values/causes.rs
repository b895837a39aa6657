//! What is worth saying about the values, as findings.

use super::{Compared, Mode, Same, Values};
use crate::align::Step;
use crate::checkpoint::quoted;
use crate::explain::{Finding, Severity};
use crate::judge::Report;

/// Keys that a finding names.
const EXAMPLES: usize = 5;

/// Finds what the comparison shows.
pub(super) fn find(values: &Values, report: &Report<'_>) -> Vec<Finding> {
    let (source, target) = (report.source, report.target);
    let keys = |wanted: &dyn Fn(&Compared) -> bool| -> Vec<&str> {
        let entry = |c: &Compared| target.entries.get(c.target as usize).map(|e| e.key.as_str());
        values.compared.iter().filter(|c| wanted(c)).filter_map(entry).collect()
    };
    let all = values.compared.len();
    let exact = values.mode == Mode::Exact;
    let mut out = Vec::new();
    let mut say = |code, severity, keys: &[&str], message: String, help: &str| {
        if keys.is_empty() {
            return;
        }
        out.push(Finding {
            keys: keys.len(),
            examples: keys.iter().take(EXAMPLES).map(|k| (*k).to_owned()).collect(),
            arguments: [("keys", keys.len().into()), ("of", all.into())].into(),
            ..Finding::new(code, severity, message, help)
        });
    };
    let broken = |side: usize| {
        keys(&|c| c.sums.is_some_and(|s| s.nan[side] > 0 || (s.inf[side] > 0 && s.inf[1 - side] != s.inf[side])))
    };
    for (side, name) in [(0, source), (1, target)] {
        let keys = broken(side);
        let path = name.checkpoint.path.file_name().map(|n| n.to_string_lossy()).unwrap_or_default();
        let nan = values.total().nan[side];
        let what = if nan > 0 { format!("{nan} NaN") } else { "infinities that the other side has not".to_owned() };
        let side = if side == 0 { "source" } else { "target" };
        let message = format!("the {side} ({path}) holds {what} in {}", tensors(keys.len()));
        let help = "look at the training run or the conversion that wrote it, or take an earlier checkpoint";
        say("CK604", Severity::Warning, &keys, message, help);
    }
    let changed = keys(&|c| c.same == Same::Changed);
    if exact {
        let message = format!("{} of {all} hold other values", tensors(changed.len()));
        let help = "--values without =exact says how far they are apart";
        say("CK601", Severity::Error, &changed, message, help);
    } else {
        let total = values.total();
        let far = match total.cosine() {
            Some(cosine) => format!("; cosine {cosine:.6} over all"),
            None => String::new(),
        };
        let message = format!("{} of {all} hold other values{far}", tensors(changed.len()));
        say("CK601", Severity::Note, &changed, message, "");
    }
    let equal = keys(&|c| c.same == Same::Equal);
    let message =
        format!("{} of {all} hold the same values in other bytes (another dtype, or -0 for 0)", tensors(equal.len()));
    say("CK602", if exact { Severity::Error } else { Severity::Note }, &equal, message, "");
    let by_content = report.alignment.matches.iter().filter(|m| m.step == Step::Content);
    let by_content: Vec<&str> =
        by_content.filter_map(|m| Some(target.entries.get(m.target as usize)?.key.as_str())).collect();
    let message = format!("{} are paired by equal bytes, whatever their names", tensors(by_content.len()));
    say("CK605", Severity::Note, &by_content, message, "");
    let unknown: Vec<(&str, &str)> = values
        .compared
        .iter()
        .filter_map(|c| match &c.same {
            Same::Unknown(why) => Some((target.entries.get(c.target as usize)?.key.as_str(), why.as_str())),
            _ => None,
        })
        .collect();
    if let Some((key, why)) = unknown.first() {
        let keys: Vec<&str> = unknown.iter().map(|(key, _)| *key).collect();
        let message = format!("the values of {} are not compared; of {}: {why}", tensors(keys.len()), quoted(key));
        say("CK603", if exact { Severity::Error } else { Severity::Warning }, &keys, message, "");
    }
    out
}

fn tensors(count: usize) -> String {
    if count == 1 { "1 tensor".into() } else { format!("{count} tensors") }
}
