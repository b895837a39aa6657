//! Scores the matcher on pairs of real key sets with known truth, and prints one line a pair and the means over families.
//!
//! `cargo bench --bench corpus -- [FOLDER] [--only TEXT] [--rules DIR] [--worst N] [--show N]`
//!
//! FOLDER holds `<name>.json` or `<name>.json.gz`: `{"name", "family", "source": {key: [dtype, shape]}, "target": {...},
//! "truth": [{"target", "source": [keys], "op"}], "target_missing", "source_unused"}`. `--show N` lists the first N errors of each pair.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a bench prints its table")]

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::Instant;

use ckdiff::align::{Alignment, align};
use ckdiff::checkpoint::StateDict;
use ckdiff::rules::RuleSet;

#[path = "../tests/support/pairs.rs"]
mod pairs;

use pairs::{checkpoint, load};

#[derive(Clone, Debug, Default)]
struct Row {
    name: String,
    family: String,
    keys: usize,
    recall: f64,
    recall_all: f64,
    precision: f64,
    rules: f64,
    n_rules: usize,
    missing: f64,
    ms: f64,
    /// By tenths of confidence: how many claims, and how many of them are right.
    sure: [(usize, usize); 10],
}

fn main() {
    let mut args = std::env::args().skip(1).filter(|a| a != "--bench");
    let (mut folder, mut only, mut rules, mut worst, mut show) =
        (PathBuf::from("tests/pairs"), String::new(), None, usize::MAX, 0usize);
    while let Some(a) = args.next() {
        match a.as_str() {
            "--only" => only = args.next().unwrap_or_default(),
            "--rules" => rules = args.next().map(PathBuf::from),
            "--worst" => worst = args.next().and_then(|n| n.parse().ok()).unwrap_or(10),
            "--show" => show = args.next().and_then(|n| n.parse().ok()).unwrap_or(10),
            _ => folder = a.into(),
        }
    }
    let rules = match rules {
        Some(dir) => RuleSet::load(&dir).expect("rules load"),
        None => RuleSet::embedded(),
    };
    let mut paths: Vec<PathBuf> = std::fs::read_dir(&folder)
        .expect("the folder of pairs can be read")
        .flatten()
        .map(|e| e.path())
        .filter(|p| {
            let name = p.file_name().unwrap_or_default().to_string_lossy().into_owned();
            (name.ends_with(".json") || name.ends_with(".json.gz")) && name.contains(&only)
        })
        .collect();
    paths.sort();
    let mut rows: Vec<Row> = paths.iter().map(|p| score(p, &rules, show)).collect();
    rows.sort_by(|a, b| (a.recall_all + a.precision).total_cmp(&(b.recall_all + b.precision)));
    println!(
        "{:58} {:>6} {:>7} {:>7} {:>7} {:>11} {:>7} {:>8}",
        "pair", "keys", "recall", "recall*", "precis.", "rules", "missing", "ms"
    );
    for r in rows.iter().take(worst) {
        println!(
            "{:58} {:6} {:7.3} {:7.3} {:7.3} {:7.3}/{:<3} {:7.3} {:8.1}",
            r.name, r.keys, r.recall, r.recall_all, r.precision, r.rules, r.n_rules, r.missing, r.ms
        );
    }
    let mut counts: Vec<usize> = rows.iter().map(|r| r.n_rules).collect();
    counts.sort_unstable();
    println!(
        "\n{} pairs: recall {:.4}  recall* {:.4}  precision {:.4}  rules {:.4} (median {})  missing {:.4}  perfect {}  slowest {:.0} ms",
        rows.len(),
        mean(&rows, |r| r.recall),
        mean(&rows, |r| r.recall_all),
        mean(&rows, |r| r.precision),
        mean(&rows, |r| r.rules),
        counts.get(counts.len() / 2).unwrap_or(&0),
        mean(&rows, |r| r.missing),
        rows.iter().filter(|r| r.recall_all == 1.0 && r.precision == 1.0).count(),
        rows.iter().map(|r| r.ms).fold(0.0, f64::max)
    );
    println!("\nconfidence      claims     right");
    for tenth in 0..10 {
        let (n, right) = rows.iter().map(|r| r.sure[tenth]).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
        if n > 0 {
            let from = tenth as f64 / 10.0;
            println!("{from:.1} to {:.1} {n:12} {:9.4}", from + 0.1, right as f64 / n as f64);
        }
    }
}

/// Mean over families of the mean over a family's pairs, so that no family outweighs another.
fn mean(rows: &[Row], field: impl Fn(&Row) -> f64) -> f64 {
    let mut families: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for r in rows {
        families.entry(&r.family).or_default().push(field(r));
    }
    let n = families.len().max(1) as f64;
    families.values().map(|v| v.iter().sum::<f64>() / v.len() as f64).sum::<f64>() / n
}

fn score(path: &Path, rules: &RuleSet, show: usize) -> Row {
    let pair = load(path);
    let (a, b) = (checkpoint(&pair.source), checkpoint(&pair.target));
    let (source, target) = (StateDict::below(&a, 0), StateDict::below(&b, 0));
    let start = Instant::now();
    let found = align(&source, &target, rules);
    let ms = start.elapsed().as_secs_f64() * 1e3;
    let key = |side: &StateDict<'_>, i: u32| side.entries[i as usize].key.as_str().to_owned();
    let matches: HashMap<String, HashSet<String>> = found
        .matches
        .iter()
        .map(|m| (key(&target, m.target), m.source.iter().map(|&s| key(&source, s)).collect()))
        .collect();
    let mut unsure: HashMap<String, HashSet<String>> = HashMap::new();
    if pair.ambiguous_twins || pair.undiscoverable {
        for g in &found.ambiguous {
            for &t in &g.target {
                unsure.entry(key(&target, t)).or_default().extend(g.source.iter().map(|&s| key(&source, s)));
            }
        }
    }
    let (mut hit, mut single, mut hit_all, mut all) = (0, 0, 0, 0);
    let mut truth: HashMap<&str, (Vec<&str>, &str)> = HashMap::new();
    let mut shown = 0;
    for t in &pair.truth {
        let (to, from, op) =
            (t.target.as_str(), t.source.iter().map(String::as_str).collect::<Vec<_>>(), t.op.as_str());
        let set: HashSet<String> = from.iter().map(|s| s.to_string()).collect();
        let ok = match matches.get(to) {
            Some(m) => *m == set,
            None => unsure.get(to).is_some_and(|u| set.is_subset(u)),
        };
        all += 1;
        hit_all += usize::from(ok);
        if ["rename", "permute", "resize", "head-mismatch"].contains(&op) {
            single += 1;
            hit += usize::from(ok);
        }
        if !ok && shown < show {
            shown += 1;
            let nothing = || match found.ambiguous.iter().find(|g| g.target.iter().any(|&t| key(&target, t) == to)) {
                Some(g) => format!("(one of {}: {} ...)", g.source.len(), key(&source, g.source[0])),
                None => "(missing)".to_owned(),
            };
            let said = matches.get(to).map_or_else(nothing, |m| {
                m.iter().take(2).cloned().collect::<Vec<_>>().join(" + ") + &format!(" [{}]", m.len())
            });
            println!("    {op:9} {to} <- {} [{}], said {said}", from.first().unwrap_or(&""), from.len());
        }
        truth.insert(to, (from, op));
    }
    for (t, m) in &matches {
        if !truth.contains_key(t.as_str()) && shown < show {
            shown += 1;
            println!("    wrong     {t} <- nothing, said {:?}", m.iter().next());
        }
    }
    let right = |t: &str, s: &HashSet<String>| {
        truth.get(t).is_some_and(|(from, _)| s.iter().all(|k| from.contains(&k.as_str())))
    };
    let good = matches.iter().filter(|(t, s)| right(t, s)).count();
    let mut sure: [(usize, usize); 10] = Default::default();
    for m in &found.matches {
        let t = key(&target, m.target);
        let bin = &mut sure[((m.confidence * 10.0) as usize).min(9)];
        *bin = (bin.0 + 1, bin.1 + usize::from(right(&t, &matches[&t])));
    }
    let (ruled, renames) = by_rules(&found, &source, &truth);
    let missing: HashSet<String> = found.missing.iter().map(|&i| key(&target, i)).collect();
    let wanted: HashSet<String> = pair.target_missing.into_iter().collect();
    let f1 = if missing.is_empty() && wanted.is_empty() {
        1.0
    } else {
        2.0 * missing.intersection(&wanted).count() as f64 / (missing.len() + wanted.len()) as f64
    };
    let share = |n: usize, of: usize| if of == 0 { 1.0 } else { n as f64 / of as f64 };
    if shown > 0 {
        println!("  ^ {}", pair.name);
    }
    Row {
        name: pair.name.clone(),
        family: pair.family.clone(),
        keys: source.entries.len().max(target.entries.len()),
        recall: share(hit, single),
        recall_all: share(hit_all, all),
        precision: if matches.is_empty() {
            if truth.is_empty() || !unsure.is_empty() { 1.0 } else { 0.0 }
        } else {
            share(good, matches.len())
        },
        rules: share(ruled, renames),
        n_rules: found.renames.len(),
        missing: f1,
        ms,
        sure,
    }
}

/// How many renames of the truth the rules alone reproduce, each target hit by one key only.
fn by_rules(found: &Alignment, source: &StateDict<'_>, truth: &HashMap<&str, (Vec<&str>, &str)>) -> (usize, usize) {
    let rules: Vec<(regex::Regex, String)> = found
        .renames
        .iter()
        .map(|r| {
            let python = regex::Regex::new(r"\\(\d)").expect("a constant");
            (
                regex::Regex::new(&r.pattern).expect("a pattern compiles"),
                python.replace_all(&r.replacement, "$${$1}").into_owned(),
            )
        })
        .collect();
    let mut made: HashMap<String, Vec<&str>> = HashMap::new();
    for e in &source.entries {
        let mut key = e.key.as_str().to_owned();
        for (pattern, replacement) in &rules {
            key = pattern.replace_all(&key, replacement.as_str()).into_owned();
        }
        made.entry(key).or_default().push(e.key.as_str());
    }
    let renames: Vec<_> = truth.iter().filter(|(_, (_, op))| *op == "rename" || *op == "permute").collect();
    let good = renames.iter().filter(|(t, (from, _))| made.get(**t).is_some_and(|m| m == &from[..1])).count();
    (good, renames.len())
}
