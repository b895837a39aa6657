//! The order of rules: each is applied to every key, so what one makes must not be taken up by a later one.

use super::{Rule, compile, dollars};

/// Puts rules into an order in which no rule sees what another has made, where there is one.
pub(super) fn sequence(rules: Vec<Rule>) -> Vec<Rule> {
    let n = rules.len();
    if !(2..=400).contains(&n) {
        return rules;
    }
    let patterns: Vec<_> = rules.iter().map(|r| compile(&r.pattern)).collect();
    // A name that each rule makes, from its own pattern with numbers filled in.
    let made: Vec<String> = rules.iter().map(|r| example(&r.replacement)).collect();
    let mut after: Vec<Vec<usize>> = vec![Vec::new(); n];
    let mut waits = vec![0usize; n];
    for (i, text) in made.iter().enumerate() {
        for (j, pattern) in patterns.iter().enumerate() {
            // What rule i makes, rule j would take up: j must come first.
            if i != j
                && rules[i].pattern.starts_with('^')
                && rules[j].pattern.starts_with('^')
                && rules[j].pattern != "^"
                && pattern.as_ref().is_some_and(|p| p.is_match(text))
            {
                after[j].push(i);
                waits[i] += 1;
            }
        }
    }
    let mut done = vec![false; n];
    let mut order = Vec::with_capacity(n);
    while order.len() < n {
        let next = (0..n).find(|&i| !done[i] && waits[i] == 0).or_else(|| (0..n).find(|&i| !done[i]));
        let Some(i) = next else { break };
        done[i] = true;
        order.push(i);
        for &k in &after[i] {
            waits[k] = waits[k].saturating_sub(1);
        }
    }
    order.into_iter().map(|i| rules[i].clone()).collect()
}

/// Stands before a new name until all are renamed.
const MARK: &str = "new:";

/// The same rules with a mark before every new name, and a last rule that takes the marks away: no rule sees what another has made.
pub(super) fn marked(rules: &[Rule]) -> Vec<Rule> {
    let mut out: Vec<Rule> = rules
        .iter()
        .map(|r| match r.pattern.starts_with('^') {
            true => Rule { pattern: r.pattern.clone(), replacement: format!("{MARK}{}", r.replacement) },
            false => r.clone(),
        })
        .collect();
    out.push(Rule { pattern: format!("^{MARK}"), replacement: String::new() });
    out
}

/// A replacement with a number for every group, and something behind a last dot.
fn example(replacement: &str) -> String {
    let text = dollars(replacement);
    let mut out = String::new();
    let mut rest = text.as_str();
    while let Some(at) = rest.find("${") {
        out.push_str(&rest[..at]);
        out.push('7');
        rest = rest[at..].find('}').map_or("", |end| &rest[at + end + 1..]);
    }
    out.push_str(rest);
    if out.ends_with('.') {
        out.push_str("weight");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_change_places_are_marked_until_all_are_renamed() {
        let rule = |pattern: &str, replacement: &str| Rule { pattern: pattern.into(), replacement: replacement.into() };
        let rules = marked(&[rule("^a$", "b"), rule("^b$", "a")]);
        let renamed = |key: &str| {
            rules.iter().fold(key.to_owned(), |k, r| {
                compile(&r.pattern).unwrap().replace_all(&k, dollars(&r.replacement).as_str()).into_owned()
            })
        };
        assert_eq!((renamed("a"), renamed("b"), renamed("c")), ("b".into(), "a".into(), "c".into()));
    }
}
