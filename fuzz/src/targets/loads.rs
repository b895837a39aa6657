//! Two small lists of keys through the whole pipeline: align, compare, explain, judge, report.

use std::collections::{BTreeSet, HashMap};

use ckdiff::align::{Alignment, How, Step, align};
use ckdiff::checkpoint::{Checkpoint, Dtype, Format, Role, Shape, StateDict, TensorInfo};
use ckdiff::compare::compare;
use ckdiff::explain::explain;
use ckdiff::judge::{Evidence, Level, Verdict, judge};
use ckdiff::report::emit::{self, Form, Plan};
use ckdiff::report::style::Style;
use ckdiff::report::{json, text};
use ckdiff::rules::RuleSet;

use super::{plain, texts::embedded};

/// Keys of one side, at most.
const MOST: usize = 300;

/// Two sides with a line `--` between them, one key a line: `blocks.#4.attn.qkv.weight 24 8 BF16` stands for four keys.
/// A line `!` makes a side one whose order says nothing.
pub fn pipeline(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut sides = text.split("\n--\n");
    let source = side(sides.next().unwrap_or_default());
    let target = side(sides.next().unwrap_or_default());
    let rules = embedded();
    one_way(&source, &target, rules);
    for same in [&source, &target] {
        let (report, said) = verdict(same, same, rules);
        assert_eq!(report, Verdict::Loads);
        assert!(said.is_empty(), "a checkpoint beside itself: {said}");
    }
}

fn side(text: &str) -> Checkpoint {
    let mut out = Checkpoint::new("side.json", Format::Json);
    let mut seen = BTreeSet::new();
    for line in text.lines() {
        if line == "!" {
            out.format = Format::Safetensors;
            continue;
        }
        let mut words = line.split(' ');
        let key = words.next().unwrap_or_default();
        let mut dtype = None;
        let mut dims = Some(Vec::new());
        for word in words {
            match (word.parse::<u64>(), &mut dims) {
                (Ok(size), Some(dims)) if dims.len() < 6 => dims.push(size),
                _ if word == "?" => dims = None,
                _ => dtype = Dtype::parse(word),
            }
        }
        for key in unfolded(key) {
            if out.tensors.len() < MOST && seen.insert(key.clone()) {
                let shape = dims.clone().map(Shape::from);
                let path = key.into();
                out.tensors.push(TensorInfo { path, container: 0, dtype, shape, role: Role::Unknown, placement: None });
            }
        }
    }
    out.containers[0].tensors = out.tensors.len();
    out
}

/// `blocks.#4.weight`: four keys, and three without a digit.
fn unfolded(key: &str) -> Vec<String> {
    let Some((before, rest)) = key.split_once('#') else { return vec![key.to_owned()] };
    let digit = rest.chars().next().and_then(|c| c.to_digit(10));
    let rest = if digit.is_some() { &rest[1..] } else { rest };
    (0..digit.unwrap_or(3)).flat_map(|n| unfolded_once(&format!("{before}{n}{rest}"))).collect()
}

/// A second number in a key, with two values.
fn unfolded_once(key: &str) -> Vec<String> {
    match key.split_once('#') {
        Some((before, rest)) => (0..2).map(|n| format!("{before}{n}{rest}")).collect(),
        None => vec![key.to_owned()],
    }
}

fn verdict(source: &Checkpoint, target: &Checkpoint, rules: &RuleSet) -> (Verdict, String) {
    let (source, target) = (StateDict::below(source, 0), StateDict::below(target, 0));
    let alignment = align(&source, &target, rules);
    let differences = compare(&source, &target, &alignment);
    let findings = explain(&source, &target, &alignment, &differences, rules);
    let mut claims: Vec<u32> = findings.iter().flat_map(|f| f.claims.clone()).collect();
    claims.sort_unstable();
    assert_eq!(claims, (0..differences.len() as u32).collect::<Vec<_>>(), "every difference is claimed once");
    let evidence = Evidence::new(&source, &target, &alignment, &differences, findings);
    let report = judge(evidence, Level::Strict);
    let mut out = Vec::new();
    json::verdict(&report, &mut out).expect("memory takes it");
    let parsed: serde_json::Value = serde_json::from_slice(&out).expect("JSON parses");
    assert_eq!(parsed["matches"].as_array().map(Vec::len), Some(alignment.matches.len()));
    let plan = Plan::new(&source, &target, &alignment, rules);
    for form in [Form::Python, Form::Mmengine, Form::Transformers, Form::Vllm, Form::Burn, Form::Json] {
        out.clear();
        emit::write(form, &plan, &mut out).expect("memory takes it");
        plain(std::str::from_utf8(&out).expect("code is UTF-8"));
    }
    out.clear();
    text::verdict(&report, &Style::default(), &mut out).expect("memory takes it");
    let said = String::from_utf8(out).expect("text is UTF-8");
    plain(&said);
    (report.verdict, said)
}

/// The laws of an alignment, and the reports of it.
fn one_way(source: &Checkpoint, target: &Checkpoint, rules: &RuleSet) {
    let (a, b) = (StateDict::below(source, 0), StateDict::below(target, 0));
    let alignment = align(&a, &b, rules);
    let mut targets: Vec<u32> = alignment.matches.iter().map(|m| m.target).collect();
    targets.extend(&alignment.missing);
    targets.extend(alignment.ambiguous.iter().flat_map(|g| &g.target));
    targets.sort_unstable();
    assert_eq!(targets, (0..b.entries.len() as u32).collect::<Vec<_>>(), "every key is accounted for once");
    let renames: Vec<(regex::Regex, String)> =
        alignment.renames.iter().map(|r| python(&r.pattern, &r.replacement)).collect();
    // A tied key takes its tensor from a source that has another name to go to.
    let renamed_ones = alignment.matches.iter().filter(|m| m.how == How::Renamed && m.step != Step::Tied);
    for m in renamed_ones {
        let key = a.entries[m.source[0] as usize].key.as_str();
        let wanted = b.entries[m.target as usize].key.as_str();
        // Names that no pattern tells apart are left as they are (snippets rename them one by one); none goes astray.
        let new = renamed(key, &renames);
        assert!(new == wanted || new == key, "{key:?} becomes {new:?}, not {wanted:?}, by {:?}", alignment.renames);
    }
    never_two_to_one(&a, &alignment, &renames);
    verdict(source, target, rules);
}

fn never_two_to_one(source: &StateDict<'_>, alignment: &Alignment, renames: &[(regex::Regex, String)]) {
    let drops: Vec<regex::Regex> = alignment.drops.iter().map(|d| python(&d.pattern, "").0).collect();
    let mut to: HashMap<String, &str> = HashMap::new();
    for entry in &source.entries {
        let key = entry.key.as_str();
        if drops.iter().any(|d| d.is_match(key)) {
            continue;
        }
        let new = renamed(key, renames);
        if let Some(other) = to.insert(new.clone(), key) {
            panic!("{other:?} and {key:?} both become {new:?} by {:?}", alignment.renames);
        }
    }
}

/// A rename as Python's `re.sub` takes it, for this crate: `\1` is `${1}` here.
fn python(pattern: &str, replacement: &str) -> (regex::Regex, String) {
    let pattern = regex::Regex::new(pattern).unwrap_or_else(|e| panic!("a broken pattern: {e}"));
    let mut out = String::new();
    let mut chars = replacement.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, chars.peek()) {
            ('\\', Some(digit)) if digit.is_ascii_digit() => {
                out.push_str(&format!("${{{digit}}}"));
                chars.next();
            }
            ('\\', Some('\\')) => {
                out.push('\\');
                chars.next();
            }
            ('$', _) => out.push_str("$$"),
            _ => out.push(c),
        }
    }
    (pattern, out)
}

fn renamed(key: &str, renames: &[(regex::Regex, String)]) -> String {
    renames.iter().fold(key.to_owned(), |key, (pattern, to)| pattern.replace_all(&key, to.as_str()).into_owned())
}
