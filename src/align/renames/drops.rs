//! Patterns of source keys that the target has no use for.

use std::collections::BTreeMap;

use regex::escape;

use super::Drop;
use crate::checkpoint::SEPARATORS;

/// The fewest whole-segment prefixes that hold `unexpected` keys only. Top-level ones are joined into one pattern.
pub(super) fn find(unexpected: &[&str], kept: &[&str]) -> Vec<Drop> {
    if unexpected.is_empty() {
        return Vec::new();
    }
    // For every prefix of an unexpected key: how many unexpected and how many kept keys lie below it.
    let mut kept_below: std::collections::HashSet<&str, foldhash::fast::RandomState> = Default::default();
    for key in kept {
        for (at, _) in key.match_indices(SEPARATORS) {
            kept_below.insert(&key[..at]);
        }
    }
    let mut prefixes: BTreeMap<&str, usize> = BTreeMap::new();
    let mut whole: Vec<&str> = Vec::new();
    let mut slashed = false;
    for key in unexpected {
        match key.match_indices(SEPARATORS).map(|(at, _)| &key[..at]).find(|p| !kept_below.contains(p)) {
            Some(p) => {
                slashed |= key[p.len()..].starts_with('/');
                *prefixes.entry(p).or_default() += 1;
            }
            None => whole.push(key),
        }
    }
    let mut out: Vec<Drop> = Vec::new();
    if !prefixes.is_empty() {
        let keys = prefixes.values().sum();
        let end = if slashed { "[./]" } else { "\\." };
        out.push(Drop { pattern: format!("^{}{end}", either(&templates(prefixes.keys().copied()))), keys });
    }
    if !whole.is_empty() {
        out.push(Drop { pattern: format!("^{}$", either(&templates(whole.iter().copied()))), keys: whole.len() });
    }
    out
}

/// Escaped names; those that differ in one run of digits only are written once with all its values.
fn templates<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut groups: BTreeMap<(String, String), Vec<&str>> = BTreeMap::new();
    let mut order: Vec<(String, String)> = Vec::new();
    for name in names {
        let bytes = name.as_bytes();
        let start = bytes.iter().position(u8::is_ascii_digit).unwrap_or(bytes.len());
        let end = bytes[start..].iter().position(|b| !b.is_ascii_digit()).map_or(bytes.len(), |n| start + n);
        let frame = (name[..start].to_owned(), name[end..].to_owned());
        let values = groups.entry(frame.clone()).or_insert_with(|| {
            order.push(frame);
            Vec::new()
        });
        values.push(&name[start..end]);
    }
    order
        .into_iter()
        .map(|frame| {
            let values = &groups[&frame];
            let middle = match values.as_slice() {
                [one] => (*one).to_owned(),
                many => numbers(many),
            };
            format!("{}{middle}{}", escape(&frame.0), escape(&frame.1))
        })
        .collect()
}

/// Numbers as a pattern: runs that cross no decade as a class of digits, `([6-9]|1[0-7])`.
fn numbers(values: &[&str]) -> String {
    let plain = |v: &&str| v.len() < 10 && !v.is_empty() && (v.len() == 1 || !v.starts_with('0'));
    let mut sorted: Vec<u64> = values.iter().copied().filter(|v| plain(v)).filter_map(|v| v.parse().ok()).collect();
    sorted.sort_unstable();
    sorted.dedup();
    let mut out: Vec<String> = Vec::new();
    let mut i = 0;
    while i < sorted.len() {
        let first = sorted[i];
        let mut last = first;
        while i + 1 < sorted.len() && sorted[i + 1] == last + 1 && sorted[i + 1] / 10 == first / 10 {
            last += 1;
            i += 1;
        }
        i += 1;
        let tens = if first >= 10 { (first / 10).to_string() } else { String::new() };
        match last - first {
            0 => out.push(first.to_string()),
            9 => out.push(format!("{tens}\\d")),
            _ => out.push(format!("{tens}[{}-{}]", first % 10, last % 10)),
        }
    }
    // Whole decades in a row: 20 to 99 is `[2-9]\d`.
    let mut joined: Vec<String> = Vec::new();
    for text in out {
        let whole = |t: &str| t.strip_suffix("\\d").filter(|h| h.len() == 1).and_then(|h| h.parse::<u8>().ok());
        if let (Some(previous), Some(now)) = (joined.last(), whole(&text)) {
            let start =
                previous.strip_suffix("]\\d").and_then(|p| p.strip_prefix('[')).map(|p| (&p[..1], &p[p.len() - 1..]));
            let (from, to) = match (whole(previous), start) {
                (Some(p), _) => (p.to_string(), p),
                (None, Some((from, to))) => (from.to_owned(), to.parse().unwrap_or(u8::MAX - 1)),
                _ => (String::new(), u8::MAX - 1),
            };
            if to + 1 == now && !from.is_empty() {
                let text = format!("[{from}-{now}]\\d");
                joined.pop();
                joined.push(text);
                continue;
            }
        }
        joined.push(text);
    }
    joined.extend(values.iter().filter(|v| !plain(v)).map(|v| escape(v)));
    match joined.as_slice() {
        [one] if !one.contains('|') => one.clone(),
        many => format!("({})", many.join("|")),
    }
}

/// `a` or `(a|b)`.
fn either(names: &[String]) -> String {
    match names {
        [one] => one.clone(),
        many => format!("({})", many.join("|")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_numbers_are_written_as_classes_of_digits() {
        let run = |from: u32, to: u32| (from..=to).map(|n| n.to_string()).collect::<Vec<_>>();
        let pattern = |values: &[String]| numbers(&values.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(pattern(&run(6, 17)), "([6-9]|1[0-7])");
        assert_eq!(pattern(&run(0, 9)), "\\d");
        assert_eq!(pattern(&run(8, 34)), "([8-9]|[1-2]\\d|3[0-4])");
        assert_eq!(pattern(&["3".into(), "5".into()]), "(3|5)");
    }

    #[test]
    fn a_class_of_digits_takes_those_numbers_and_no_others() {
        for (from, to) in [(0, 0), (3, 8), (0, 9), (7, 123), (10, 99), (95, 105), (1, 1000)] {
            let values: Vec<String> = (from..=to).map(|n: u32| n.to_string()).collect();
            let pattern = format!("^{}$", numbers(&values.iter().map(String::as_str).collect::<Vec<_>>()));
            let pattern = regex::Regex::new(&pattern).unwrap();
            for n in 0..1200u32 {
                assert_eq!(pattern.is_match(&n.to_string()), (from..=to).contains(&n), "{n} in {from} to {to}");
            }
        }
    }
}
