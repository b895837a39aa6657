//! From the globals that the pickles of a file ask for to its imports and the remarks on them.

use std::collections::HashMap;

use super::loaded::remark;
use super::world::Inner;
use crate::checkpoint::{Checkpoint, Import, Trust};
use crate::read::pickle::Global;
use crate::rules::safety;

/// Imports that are listed; a file with more is remarkable for that alone.
const MOST_IMPORTS: usize = 10_000;
/// Examples a remark carries.
const MOST_EXAMPLES: usize = 8;

/// What the lists say of a global, used as it was.
fn verdict(rules: &safety::Rules, global: &Global) -> safety::Verdict {
    let verdict = rules.judge(&global.name, global.module, global.called, global.odd);
    // `defaultdict(path.touch)`: a harmless function calls what it is handed.
    match verdict.trust {
        Trust::Known if global.handed => safety::Verdict { trust: Trust::Dangerous, ..verdict },
        _ => verdict,
    }
}

/// The dangerous globals among those of a file, each once.
pub(super) fn dangerous(all: &Inner) -> Vec<String> {
    let rules = safety::Rules::embedded();
    let mut found: Vec<String> = Vec::new();
    for (global, _) in &all.globals {
        let verdict = verdict(rules, global);
        if verdict.trust == Trust::Dangerous
            && found.len() < MOST_EXAMPLES
            && !found.iter().any(|f| **f == *global.name)
        {
            found.push(global.name.to_string());
        }
    }
    found
}

/// Lists the imports of a file, and says which are dangerous, which are not known, and whether that is all.
pub(super) fn judge(all: &Inner, checkpoint: &mut Checkpoint) {
    let rules = safety::Rules::embedded();
    let mut by_name: HashMap<&str, usize> = HashMap::new();
    for (global, place) in &all.globals {
        let verdict = verdict(rules, global);
        match by_name.get(&*global.name) {
            Some(&index) => {
                if let Some(import) = checkpoint.imports.get_mut(index) {
                    import.called |= global.called;
                    if verdict.trust > import.trust {
                        import.trust = verdict.trust;
                        import.rule = verdict.rule.map(Into::into);
                    }
                }
            }
            None => {
                // A dangerous one is never left out, however many others there are.
                if checkpoint.imports.len() >= MOST_IMPORTS && verdict.trust != Trust::Dangerous {
                    continue;
                }
                by_name.insert(&global.name, checkpoint.imports.len());
                checkpoint.imports.push(Import {
                    global: global.name.to_string(),
                    trust: verdict.trust,
                    called: global.called,
                    rule: verdict.rule.map(Into::into),
                    place: place.clone(),
                });
            }
        }
    }
    let of = |trust: Trust| checkpoint.imports.iter().filter(move |i| i.trust == trust);
    let names = |trust: Trust| of(trust).take(MOST_EXAMPLES).map(|i| i.global.clone()).collect::<Vec<_>>();
    let (dangerous, unknown) = (of(Trust::Dangerous).count(), of(Trust::Unknown).count());
    let mut remarks = Vec::new();
    if let Some(first) = of(Trust::Dangerous).next() {
        let more = if dangerous > 1 { format!(" and {} more", dangerous - 1) } else { String::new() };
        let message =
            format!("loading this file runs code: its pickle asks for {}{more} ({})", first.global, first.place);
        let mut remark = remark("CK501", true, message, "do not load it; ask the author for a safetensors file");
        remark.examples = names(Trust::Dangerous);
        remarks.push(remark);
    }
    if let Some(why) = &all.broken {
        checkpoint.complete = false;
        let message = format!("the file could not be read to its end: {why}");
        remarks.push(remark("CK060", true, message, "download it again; what comes after the break is not known"));
        if !all.globals.is_empty() {
            let message = "whether it is safe to load is not known, since its pickles were not read to their end";
            remarks.push(remark("CK503", true, message, "do not load it"));
        }
    }
    if let Some(place) = &all.torn {
        checkpoint.complete = false;
        let message = format!(
            "whether it is safe to load is not known: a frame ends inside an opcode ({place}), and what Python reads from there on \
             depends on its version"
        );
        remarks.push(remark("CK503", true, message, "do not load it; no pickler writes such frames"));
    }
    if unknown > 0 {
        let message = format!("its pickle asks for {unknown} functions or classes that are on no list");
        let mut remark =
            remark("CK502", false, message, "look at what they are before you load it without weights_only");
        remark.examples = names(Trust::Unknown);
        remarks.push(remark);
    }
    checkpoint.remarks.splice(0..0, remarks);
}
