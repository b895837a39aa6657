//! A short name for a finding that stays the same as long as the finding does.
//!
//! Made of what is typed: the code, the rule, the arguments, the keys. Not of the message, which may be worded
//! better tomorrow, nor of what is merely how it is judged (severity, confidence). The order of keys does not matter.

use std::fmt;

use super::Report;
use super::facts::Fact;
use crate::explain::Finding;

/// 64 bits, written as 16 hexadecimal digits. Made to tell findings of one project apart, not to withstand forgery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(u64);

impl Fingerprint {
    /// The fingerprint of a finding that claims these facts.
    ///
    /// `scope` says where it was found, in words that mean the same on every machine: the name of a contract, a
    /// path relative to the project. Never an absolute path.
    pub fn of<'a>(scope: &[&str], finding: &Finding, facts: impl IntoIterator<Item = Fact<'a>>) -> Fingerprint {
        let mut hash = Fnv::new();
        hash.list(scope.iter().copied());
        hash.text(finding.code);
        hash.text(finding.rule.as_deref().unwrap_or(""));
        hash.number(finding.arguments.len());
        for (name, value) in &finding.arguments {
            hash.text(name);
            // Maps of serde_json are sorted by name, so equal values have equal texts.
            hash.text(&value.to_string());
        }
        let mut facts: Vec<Fact<'a>> = facts.into_iter().collect();
        facts.sort_unstable();
        if facts.is_empty() {
            // What a reader remarked on has no differences; its examples are all it names.
            let mut examples: Vec<&str> = finding.examples.iter().map(String::as_str).collect();
            examples.sort_unstable();
            hash.list(examples);
        }
        for fact in &facts {
            hash.text(fact.kind);
            hash.list(fact.source.iter().copied());
            hash.list(fact.target.iter().copied());
        }
        Fingerprint(hash.0)
    }
}

impl Fingerprint {
    /// Reads what [`Display`](fmt::Display) writes.
    pub fn parse(text: &str) -> Option<Fingerprint> {
        let digits = text.len() == 16 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if digits { u64::from_str_radix(text, 16).ok().map(Fingerprint) } else { None }
    }
}

impl Report<'_> {
    /// The fingerprint of one of its findings; `scope` as in [`Fingerprint::of`].
    pub fn fingerprint(&self, scope: &[&str], finding: &Finding) -> Fingerprint {
        Fingerprint::of(scope, finding, self.facts(finding))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// FNV-1a: the same on every machine and in every version of Rust, which the hashers of the standard library are not.
struct Fnv(u64);

impl Fnv {
    fn new() -> Self {
        Fnv(0xcbf2_9ce4_8422_2325)
    }

    fn bytes(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    fn number(&mut self, n: usize) {
        self.bytes(&(n as u64).to_le_bytes());
    }

    /// With its length first, so that `ab`, `c` is not `a`, `bc`.
    fn text(&mut self, text: &str) {
        self.number(text.len());
        self.bytes(text.as_bytes());
    }

    fn list<'t>(&mut self, texts: impl IntoIterator<Item = &'t str>) {
        let texts: Vec<&str> = texts.into_iter().collect();
        self.number(texts.len());
        texts.into_iter().for_each(|t| self.text(t));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::{Remedy, Severity};

    fn finding() -> Finding {
        Finding {
            rule: Some("shapes/swin-window".into()),
            keys: 2,
            examples: vec!["a".into(), "b".into()],
            remedy: Remedy::Resize,
            arguments: [("from", 7.into()), ("to", 12.into())].into(),
            ..Finding::new("CK202", Severity::Error, "window 7 → 12", "")
        }
    }

    fn sized<'a>(key: &'a str) -> Fact<'a> {
        Fact { kind: "size-mismatch", source: vec![key], target: vec![key] }
    }

    #[test]
    fn wording_severity_confidence_and_the_order_of_keys_do_not_matter() {
        let before = Fingerprint::of(&["swin"], &finding(), [sized("a"), sized("b")]);
        let mut other = finding();
        other.message = "the window grew".into();
        other.help = "interpolate".into();
        other.severity = Severity::Note;
        other.confidence = 0.5;
        assert_eq!(Fingerprint::of(&["swin"], &other, [sized("b"), sized("a")]), before);
    }

    #[test]
    fn code_rule_arguments_keys_and_scope_matter() {
        let of = |f: &Finding| Fingerprint::of(&["swin"], f, [sized("a")]);
        let before = of(&finding());
        let mut others = vec![finding(); 3];
        others[0].code = "CK201";
        others[1].rule = None;
        others[2].arguments.insert("to", 14.into());
        assert!(others.iter().all(|f| of(f) != before));
        assert_ne!(Fingerprint::of(&["swin"], &finding(), [sized("b")]), before);
        assert_ne!(Fingerprint::of(&["swin"], &finding(), [sized("a"), sized("b")]), before);
        assert_ne!(Fingerprint::of(&["swin", ""], &finding(), [sized("a")]), before);
    }

    #[test]
    fn which_key_goes_where_matters() {
        let renamed = |a, b| Fact { kind: "renamed", source: vec![a], target: vec![b] };
        let straight = Fingerprint::of(&[], &finding(), [renamed("a", "x"), renamed("b", "y")]);
        let crossed = Fingerprint::of(&[], &finding(), [renamed("a", "y"), renamed("b", "x")]);
        assert_ne!(straight, crossed);
    }

    #[test]
    fn a_finding_without_facts_is_known_by_its_examples() {
        let mut other = finding();
        other.examples.reverse();
        assert_eq!(Fingerprint::of(&[], &finding(), []), Fingerprint::of(&[], &other, []));
        other.examples.pop();
        assert_ne!(Fingerprint::of(&[], &finding(), []), Fingerprint::of(&[], &other, []));
    }

    #[test]
    fn it_is_the_same_in_every_release() {
        // The baselines of users hold these: a change here makes every finding new to them.
        assert_eq!(Fingerprint::of(&["swin"], &finding(), [sized("a")]).to_string(), "a7ceccdc09ad9352");
    }
}
