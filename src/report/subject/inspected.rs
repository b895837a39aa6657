//! The subject of an inspection.

use super::judged::fingerprint;
use super::{Inspected, Item, Outcome, Place, Side, Subject};
use crate::checkpoint::Trust;
use crate::inspect::Inspection;
use crate::report::base::Base;
use crate::report::html;
use crate::report::inspect::summary;
use crate::report::style::{count, plural, short};

/// Metadata and names of containers beyond this many are only counted.
const FEW: usize = 12;

impl Subject {
    /// The subject of an inspected file.
    pub fn inspected(name: impl Into<String>, inspection: &Inspection<'_>, base: &Base) -> Subject {
        let c = inspection.checkpoint;
        let path = base.place(&c.path);
        let items = inspection.findings.iter().map(|finding| Item {
            place: Place { key: finding.examples.first().cloned().unwrap_or_default(), ..Place::file(path.clone()) },
            others: Vec::new(),
            fingerprint: fingerprint(&[&path.path], finding, []),
            accepted: None,
            finding: finding.clone(),
        });
        let items = items.collect();
        let mut imports: Vec<_> = c.imports.iter().collect();
        imports.sort_by_key(|i| std::cmp::Reverse(i.trust));
        let imports = imports.into_iter().map(|i| [i.global.clone(), trust(i.trust).to_owned(), i.place.clone()]);
        let inspected = Inspected {
            holds: !inspection.fails(),
            facts: facts(inspection),
            imports: imports.collect(),
            side: Side { path, summary: summary(inspection) },
        };
        Subject { name: name.into(), outcome: Outcome::File(Box::new(inspected)), items, keys: None, fix: None }
    }
}

impl Subject {
    /// Adds what only a page shows: every key of the file.
    #[must_use]
    pub fn with_keys(mut self, inspection: &Inspection<'_>) -> Subject {
        self.keys = Some(html::of_file(inspection.checkpoint));
        self
    }
}

fn trust(trust: Trust) -> &'static str {
    match trust {
        Trust::Known => "known",
        Trust::Unknown => "unknown",
        Trust::Dangerous => "dangerous",
    }
}

fn facts(inspection: &Inspection<'_>) -> Vec<(&'static str, String)> {
    let c = inspection.checkpoint;
    let mut facts = Vec::new();
    let dtypes: Vec<String> = inspection
        .dtypes
        .iter()
        .map(|s| {
            let name = s.dtype.map_or_else(|| "no dtype".to_owned(), |d| d.to_string());
            format!("{name} ×{} ({})", count(s.tensors), short(s.elements))
        })
        .collect();
    facts.push(("dtypes", dtypes.join(", ")));
    let containers: Vec<String> = c
        .candidates()
        .iter()
        .filter(|c| !c.name.is_empty())
        .map(|c| format!("{} ({})", c.name, plural(c.tensors, "tensor")))
        .collect();
    facts.push(("containers", few(containers)));
    if !inspection.tied.is_empty() {
        facts.push(("tied", format!("{} of tensors share memory", plural(inspection.tied.len(), "group"))));
    }
    facts.push(("metadata", few(c.metadata.iter().map(|(k, v)| format!("{k}: {}", cut(v))).collect())));
    facts.push(("unreadable", few(c.unreadable.iter().map(|u| format!("{}: {}", u.path, u.why)).collect())));
    if !c.complete {
        facts.push(("read", "not to its end".to_owned()));
    }
    facts.retain(|(_, text)| !text.is_empty());
    facts
}

fn few(mut list: Vec<String>) -> String {
    let more = list.len().saturating_sub(FEW);
    list.truncate(FEW);
    if more > 0 {
        list.push(format!("{} more", count(more)));
    }
    list.join(", ")
}

/// A value of metadata may be a whole training configuration.
fn cut(text: &str) -> String {
    const MOST: usize = 120;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or("")),
        None => text.to_owned(),
    }
}
