//! Renames in terms of other tools: plain prefixes where a pattern is one, Rust's `$1` for Python's `\1`.

/// The text that an anchored pattern stands for, when it stands for one text only: `backbone.` of `^backbone\.`.
pub(super) fn prefix(pattern: &str) -> Option<String> {
    literal(pattern.strip_prefix('^')?)
}

/// Every prefix that an anchored pattern stands for: `neck.` and `bbox_head.` of `^(bbox_head|neck)\.`.
pub(super) fn prefixes(pattern: &str) -> Option<Vec<String>> {
    if let Some(one) = prefix(pattern) {
        return Some(vec![one]);
    }
    let (choice, rest) = pattern.strip_prefix("^(")?.split_once(')')?;
    let rest = literal(rest)?;
    choice.strip_prefix("?:").unwrap_or(choice).split('|').map(|word| Some(literal(word)? + &rest)).collect()
}

/// The text that a pattern without special characters stands for; `None` where it has any.
fn literal(pattern: &str) -> Option<String> {
    let mut out = String::with_capacity(pattern.len());
    let mut rest = pattern.chars();
    while let Some(c) = rest.next() {
        match c {
            '\\' => match rest.next()? {
                escaped if escaped.is_alphanumeric() => return None,
                escaped => out.push(escaped),
            },
            '.' | '*' | '+' | '?' | '(' | ')' | '[' | ']' | '{' | '}' | '|' | '^' | '$' => return None,
            c => out.push(c),
        }
    }
    Some(out)
}

/// A replacement as Rust's regex crate writes it: `${1}` for `\1`, `$$` for a dollar sign.
pub(super) fn rust_replacement(replacement: &str) -> String {
    let mut out = String::with_capacity(replacement.len());
    let mut rest = replacement.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '$' => out.push_str("$$"),
            '\\' => {
                let mut digits = String::new();
                while digits.len() < 2 && rest.peek().is_some_and(char::is_ascii_digit) {
                    digits.extend(rest.next());
                }
                if digits.is_empty() {
                    out.extend(rest.next());
                } else {
                    out.push_str(&format!("${{{digits}}}"));
                }
            }
            c => out.push(c),
        }
    }
    out
}

/// A replacement without groups or escapes, which stands for itself.
pub(super) fn plain(replacement: &str) -> bool {
    !replacement.contains('\\')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_a_prefix_only_when_nothing_in_it_is_special() {
        assert_eq!(prefix(r"^backbone\.").as_deref(), Some("backbone."));
        assert_eq!(prefix(r"^layers\.(\d+)\."), None);
        assert_eq!(prefix(r"^a\d"), None);
        assert_eq!(prefix(r"backbone\."), None);
        assert_eq!(prefix("^a."), None);
        assert_eq!(prefixes(r"^(neck|bbox_head)\."), Some(vec!["neck.".into(), "bbox_head.".into()]));
        assert_eq!(prefixes(r"^(a|b)\d"), None);
    }

    #[test]
    fn groups_are_written_as_rust_writes_them() {
        assert_eq!(rust_replacement(r"stages.\1.blocks.\2"), "stages.${1}.blocks.${2}");
        assert_eq!(rust_replacement("a$b"), "a$$b");
    }
}
