//! What an error text says beyond its lists of keys: a file that is no checkpoint, an entry or a single key that a lookup
//! failed on.

use serde_json::Value;

use super::{Finding, Remedy, Severity};
use crate::codes;
use crate::read::log::{KeyError, LogReport, Lookup};
use crate::rules::{Diagnosis, Grade, Law, RuleSet};

/// Puts what the text says by itself together with the causes that its lists of keys gave, most important first.
pub fn explain_text(log: &LogReport, mut causes: Vec<Finding>, rules: &RuleSet) -> Vec<Finding> {
    let mut out: Vec<Finding> = said(log, rules);
    let lone: Vec<&KeyError> = log.key_errors.iter().collect();
    let listed = listed_keys(log);
    // Keys of lists weigh more than one that stopped the program before it could list any.
    if listed > 0 {
        causes.append(&mut out);
        out = causes;
        if let Some(finding) = lone.iter().find_map(|e| entry(e, rules)).filter(|_| out.is_empty()) {
            out.push(finding);
        }
    } else {
        // Of a lone key the general causes say no more than that it is there; special ones (a counter, a buffer) do.
        causes.retain(|f| f.rule.as_deref().is_some_and(|r| !GENERAL.contains(&r)));
        out.append(&mut causes);
        if out.is_empty() {
            out.extend(lone.iter().filter_map(|e| lone_key(e, log, rules)));
        }
    }
    for finding in &mut out {
        unnamed_table(finding, log);
        tied_output(finding, log, rules);
    }
    // Loaders that only warn have gone on: a new head is what fine-tuning asks for.
    if WARNING_ONLY.contains(&log.kind.as_str()) {
        for finding in out.iter_mut().filter(|f| f.rule.as_deref().is_some_and(|r| r.starts_with("heads/"))) {
            finding.severity = Severity::Note;
            finding.help = format!("expected when a model is fine-tuned; {}", finding.help);
        }
    }
    out.sort_by_key(|f| std::cmp::Reverse(f.severity));
    out.dedup_by(|a, b| a.message == b.message);
    out.truncate(MOST);
    if log.truncated && !out.is_empty() {
        out.push(Finding::new(
            "CK043",
            Severity::Note,
            "the text leaves keys out (`...`): what is said of how many and of all holds for those that it names",
            "give the files: ckdiff explain LOG --source FILE --target expected.json",
        ));
    }
    out
}

/// What to say of a text in which nothing was recognised.
pub fn nothing_known() -> Finding {
    Finding::new(
        "CK042",
        Severity::Note,
        "nothing in the text is an error of loading weights that is known here",
        "give the part with the exception, or compare the two sides: ckdiff SOURCE TARGET",
    )
}

/// `Trying to set a tensor of shape … in "weight"`: the module is not named, but tables of so many rows are vocabularies.
fn unnamed_table(finding: &mut Finding, log: &LogReport) {
    const ROWS: u64 = 5000;
    let [only] = log.size_mismatches.as_slice() else { return };
    let (from, to) = (only.source.dims(), only.target.dims());
    let large = from.first().is_some_and(|&n| n >= ROWS) && to.first().is_some_and(|&n| n >= ROWS);
    if only.key != "weight" || finding.code != "CK201" || !large {
        return;
    }
    if let Some(reading) = Law::Vocabulary.read(from, to) {
        finding.code = "CK205";
        finding.rule = Some("shapes/vocabulary".to_owned());
        finding.message =
            format!("{} in a `weight` whose module is not named: an embedding or output layer", reading.words);
        finding.help =
            "resize_token_embeddings(len(tokenizer)) before loading, or take config.json and weights of one model"
                .to_owned();
        finding.confidence = 0.8;
        finding.arguments.extend(reading.facts);
    }
}

/// An output layer alone that is missing is mostly the input embedding once more, which is saved once.
fn tied_output(finding: &mut Finding, log: &LogReport, rules: &RuleSet) {
    let alone = log.unexpected_keys.is_empty() && log.size_mismatches.is_empty() && !log.truncated;
    let key = |k: &str| rules.tied.iter().find(|t| t.absent.contains(crate::checkpoint::Key(k)));
    let [first, rest @ ..] = log.missing_keys.as_slice() else { return };
    let all = rest.iter().all(|k| key(k).is_some());
    if let Some(tied) = key(first).filter(|_| all && alone && matches!(finding.code, "CK101" | "CK107")) {
        finding.code = "CK403";
        finding.rule = Some(tied.rule.clone());
        let (names, share) = match rest {
            [] => (format!("`{first}` alone is"), "it shares"),
            more => (format!("`{first}` and {} more are", more.len()), "they share"),
        };
        finding.message =
            format!("{names} missing: mostly {share} the memory of the input embedding, which is saved once");
        finding.keys = log.missing_keys.len();
        finding.help = "where the configuration ties them (tie_word_embeddings), load with strict=False and call tie_weights(); otherwise the checkpoint lacks the output layer".to_owned();
        finding.confidence = 0.7;
        finding.remedy = Remedy::Edit;
    }
}

/// Forms of text that are warnings: the program went on.
const WARNING_ONLY: [&str; 8] =
    ["transformers", "load-report", "fvcore", "mmengine", "detectron2", "incompatible-keys", "lightning", "diffusers"];

/// The most causes that are told of one text.
const MOST: usize = 40;

/// Causes that hold for any key.
const GENERAL: [&str; 3] = ["diagnoses/leftover", "diagnoses/fresh", "diagnoses/wrong-file"];

/// How many keys the text lists, lone keys not counted.
fn listed_keys(log: &LogReport) -> usize {
    let lone = |key: &String| log.key_errors.iter().any(|e| e.key == *key);
    let keys = log.missing_keys.iter().chain(&log.unexpected_keys).filter(|k| !lone(k)).count();
    keys + log.size_mismatches.len()
}

fn finding(code: &'static str, severity: Severity, message: String, help: String) -> Finding {
    Finding { confidence: 0.9, remedy: Remedy::Lost, ..Finding::new(code, severity, message, help) }
}

/// Texts that name their cause by themselves.
fn said(log: &LogReport, rules: &RuleSet) -> Vec<Finding> {
    let findings = log.said.iter().filter_map(|said| {
        let saying = rules.sayings.get(said.saying)?;
        let about = rules.rule(&saying.rule)?;
        let code = about.code.as_deref().and_then(codes::page).map_or("CK042", |(code, _)| code);
        let severity = match about.severity {
            Some(Grade::Note) => Severity::Note,
            Some(Grade::Warning) => Severity::Warning,
            _ => Severity::Error,
        };
        let mut finding = finding(code, severity, saying.message(&said.words), about.help.clone());
        finding.rule = Some(about.id.clone());
        // The names are those of a rule file, which are few: what matters to machines is the words.
        let words: Vec<Value> = said.words.iter().map(|(_, word)| Value::from(word.as_str())).collect();
        if !words.is_empty() {
            finding.arguments.insert("words", Value::from(words));
        }
        Some(finding)
    });
    findings.collect()
}

/// `KeyError: 'state_dict'`: an entry of the file.
fn entry(error: &KeyError, rules: &RuleSet) -> Option<Finding> {
    let key = &error.key;
    let usual = rules.words(Diagnosis::Container).iter().any(|w| w == key);
    if key.contains('.') || !(error.looked_up_in == Lookup::File || error.looked_up_in == Lookup::Unknown && usual) {
        return None;
    }
    let message = format!(
        "the checkpoint has no entry `{key}`: it is a bare state_dict, keeps its weights under another name, or is not one of this program's"
    );
    let help = format!(
        "`ckdiff inspect FILE` shows its entries: where they are tensors, load the file without [{key:?}]; otherwise take the one that holds them"
    );
    let mut finding = finding("CK040", Severity::Error, message, help);
    finding.keys = 1;
    finding.examples = vec![key.clone()];
    finding.remedy = Remedy::Edit;
    finding.arguments.insert("entry", Value::from(key.as_str()));
    Some(finding)
}

/// The cause of one key that a lookup failed on.
fn lone_key(error: &KeyError, log: &LogReport, rules: &RuleSet) -> Option<Finding> {
    if let Some(finding) = entry(error, rules) {
        return Some(finding);
    }
    let key = &error.key;
    let in_model = error.looked_up_in == Lookup::Model;
    // A name without a dot, or one that is neither known as a tensor's nor was looked up among tensors.
    if !in_model && (!key.contains('.') || error.looked_up_in == Lookup::Unknown) {
        return None;
    }
    let starts = |prefix: &str| {
        key.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() && in_model || rest.starts_with('.'))
    };
    let segments = |segment: &str| key.split('.').any(|s| s == segment);
    let wrapper =
        rules.wrappers.iter().find(|w| starts(&w.segment) || !w.segment.contains('.') && segments(&w.segment));
    let part = rules.parts.iter().filter(|p| starts(&p.prefix)).max_by_key(|p| p.prefix.len());
    let (code, message, help, rule) = if let Some((part, about)) = part.and_then(|p| Some((p, rules.rule(&p.rule)?))) {
        let what = if in_model { &part.whole_given } else { &part.part_given };
        let (has, lacks) = if in_model { ("checkpoint", "model") } else { ("model", "checkpoint") };
        let message = format!("{what}: the {has}'s keys carry `{}.`, the {lacks}'s do not", part.prefix);
        ("CK103", message, about.help.clone(), Some(about.id.clone()))
    } else if let Some((wrapper, about)) = wrapper.and_then(|w| Some((w, rules.rule(&w.rule)?))) {
        let (has, lacks) = if in_model { ("checkpoint", "model") } else { ("model", "checkpoint") };
        let message = format!("the {has}'s keys carry `{}.`, the {lacks}'s do not", wrapper.segment);
        ("CK103", message, format!("{}; {}", about.summary, about.help), Some(about.id.clone()))
    } else if in_model && !key.contains('.') {
        let class = log.model_class.as_deref().unwrap_or("the model");
        let message = format!("the checkpoint's keys begin with `{key}.`, and {class} has no such module");
        let help =
            "a prefix too many or another class: compare the names with `ckdiff SOURCE TARGET`, then strip or rename"
                .to_owned();
        ("CK041", message, help, None)
    } else if in_model {
        let depth =
            last_index(key).map(|(stem, index)| format!("a deeper variant (`{stem}` with more than {index}), "));
        let message = format!(
            "the model has no `{key}`, the checkpoint has: {}another variant, or other names",
            depth.unwrap_or_default()
        );
        (
            "CK041",
            message,
            "build the variant that the checkpoint is of; `ckdiff SOURCE TARGET` shows which".to_owned(),
            None,
        )
    } else {
        let message =
            format!("the checkpoint has no `{key}`: another model or variant, other names, or a prefix of its own");
        let help =
            "`ckdiff inspect FILE` shows its names; `ckdiff SOURCE TARGET` pairs them with the model's".to_owned();
        ("CK041", message, help, None)
    };
    let mut finding = finding(code, Severity::Error, message, help);
    if rule.is_none() {
        finding.help += "; one key does not tell more: give the checkpoint (--source FILE)";
    }
    finding.rule = rule;
    finding.keys = 1;
    finding.examples = vec![key.clone()];
    // One key cannot tell which of the causes it is, unless it carries a wrapper.
    finding.confidence = match (finding.rule.is_some(), error.shown) {
        (true, true) => 0.8,
        (true, false) => 0.6,
        (false, true) => 0.5,
        (false, false) => 0.3,
    };
    finding.remedy = if finding.rule.is_some() { Remedy::Edit } else { Remedy::Lost };
    Some(finding)
}

/// The last number among the segments of a key, with what stands before it: (`stages.2.blocks`, 6).
fn last_index(key: &str) -> Option<(String, u64)> {
    let segments: Vec<&str> = key.split('.').collect();
    let at = segments.iter().rposition(|s| s.parse::<u64>().is_ok()).filter(|&at| at > 0)?;
    let index = segments.get(at)?.parse().ok()?;
    Some((segments.get(..at)?.join("."), index))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::log::parse;

    fn first(text: &str) -> Option<Finding> {
        let rules = RuleSet::embedded();
        explain_text(&parse(text.as_bytes(), &rules), Vec::new(), &rules).into_iter().next()
    }

    #[test]
    fn a_text_that_names_its_cause_is_told_by_its_rule() {
        let finding = first("UnpicklingError: invalid load key, 'v'.").unwrap();
        assert_eq!(finding.rule.as_deref(), Some("texts/git-lfs-pointer"));
        assert_eq!(finding.code, "CK001");
    }

    #[test]
    fn an_entry_that_is_not_there_is_no_parameter() {
        let finding = first("    checkpoint = checkpoint['state_dict']\nKeyError: 'state_dict'").unwrap();
        assert_eq!(finding.code, "CK040");
        assert_eq!(first("KeyError: 'image_id'"), None);
    }

    #[test]
    fn the_prefix_of_a_lone_key_tells_that_a_detector_was_given_to_its_backbone() {
        let finding =
            first("KeyError: \"EfficientViT_M4: 'backbone.blocks1.0.mixer.m.attn.attention_biases'\"").unwrap();
        assert_eq!(finding.rule.as_deref(), Some("wrappers/detector-backbone"));
        assert!(finding.message.contains("detector's checkpoint"), "{}", finding.message);
    }

    #[test]
    fn a_lone_key_without_a_prefix_may_be_of_a_deeper_variant() {
        let finding = first("KeyError: 'stages.2.blocks.6.attn.w_msa.relative_position_bias_table'").unwrap();
        assert!(
            finding.message.contains("a deeper variant (`stages.2.blocks` with more than 6)"),
            "{}",
            finding.message
        );
        assert!(finding.confidence < 0.6);
    }

    #[test]
    fn a_module_that_the_server_does_not_know_may_be_a_wrapper() {
        let finding =
            first("ValueError: There is no module or parameter named '_orig_mod' in Qwen2ForCausalLM").unwrap();
        assert_eq!(finding.rule.as_deref(), Some("wrappers/torch-compile"));
        let finding =
            first("ValueError: There is no module or parameter named 'mlp_AR' in TransformersForCausalLM").unwrap();
        assert!(finding.message.contains("TransformersForCausalLM"), "{}", finding.message);
    }
}
