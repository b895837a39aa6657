//! The codes of findings (`CKnnn`) and the page behind each: what `ckdiff rules CKnnn` prints.
//!
//! CK0xx reading · 1xx keys · 2xx shapes · 3xx dtypes · 4xx buffers and tied weights · 5xx safety · 6xx values · 9xx rules and configuration.

/// Every page: code and Markdown text.
pub const PAGES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/codes.rs"));

/// The page of a code, given as the code (`CK103`, in any case) or as its name (`wrapper-prefix`).
pub fn page(code_or_name: &str) -> Option<(&'static str, &'static str)> {
    let wanted = |&&(code, text): &&(&'static str, &'static str)| {
        code.eq_ignore_ascii_case(code_or_name) || title(code, text) == code_or_name
    };
    PAGES.iter().find(wanted).copied()
}

/// The name of a code: `wrapper-prefix` of `CK103`; empty for a code that has no page.
pub fn name(code: &str) -> &'static str {
    PAGES.iter().find(|(c, _)| *c == code).map_or("", |&(code, text)| title(code, text))
}

/// What stands behind the code in the first line of its page (`# CK103 wrapper-prefix`).
fn title(code: &str, text: &'static str) -> &'static str {
    let line = text.lines().next().unwrap_or("");
    line.strip_prefix("# ").and_then(|l| l.strip_prefix(code)).unwrap_or("").trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_begins_with_its_code_and_a_name_of_its_own() {
        let mut names: Vec<&str> = PAGES.iter().map(|(code, _)| name(code)).collect();
        for (name, (code, _)) in names.iter().zip(PAGES) {
            let usual =
                !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
            assert!(usual, "the page of {code} must begin with `# {code} some-name`");
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), PAGES.len(), "two codes have the same name");
    }

    #[test]
    fn a_page_is_found_by_code_and_by_name() {
        assert_eq!(page("ck001"), page("not-a-checkpoint"));
        assert!(page("CK001").is_some_and(|(code, _)| code == "CK001"));
        assert_eq!(page("CK000"), None);
    }
}
