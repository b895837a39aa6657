//! What SARIF calls a rule: one of ckdiff's codes, with its page as help.

use super::model::{Message, Rule, RuleProperties};
use super::name;
use crate::codes;

/// The rule of a code.
pub(super) fn of(code: &'static str) -> Rule {
    let page = codes::page(code).map_or("", |(_, page)| page);
    let body = page.split_once('\n').map_or("", |(_, body)| body).trim();
    let short = paragraphs(body).next().unwrap_or_else(|| name(code).to_owned());
    // The second paragraph of text says what it means for whoever loads the file.
    let meaning = paragraphs(body).nth(1).map(|more| format!("{short} {more}"));
    Rule {
        id: code,
        name: name(code),
        full_description: Message::plain(meaning.unwrap_or_else(|| short.clone())),
        short_description: Message::plain(short),
        help: Message { text: plain(body), markdown: Some(body) },
        properties: RuleProperties { tags: tags(code) },
    }
}

/// The paragraphs of text of a page, each on one line; headings and code are none.
fn paragraphs(body: &str) -> impl Iterator<Item = String> + '_ {
    body.split("\n\n")
        .map(str::trim)
        .filter(|p| !p.is_empty() && !p.starts_with('#') && !p.starts_with("```"))
        .map(|p| p.lines().collect::<Vec<_>>().join(" ").replace('`', ""))
}

/// The page without the marks of Markdown.
fn plain(body: &str) -> String {
    let lines = body.lines().filter(|l| !l.starts_with("```")).map(|l| l.trim_start_matches('#').trim_start());
    lines.collect::<Vec<_>>().join("\n").replace('`', "")
}

/// What kind of thing a code is about, by its first digit.
fn tags(code: &str) -> Vec<&'static str> {
    vec![match code.as_bytes().get(2) {
        Some(b'0') => "reading",
        Some(b'1') => "keys",
        Some(b'2') => "shapes",
        Some(b'3') => "dtypes",
        Some(b'4') => "buffers",
        Some(b'5') => "security",
        _ => "configuration",
    }]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_short_text_and_a_page_as_help() {
        for (code, page) in codes::PAGES {
            let rule = of(code);
            assert!(rule.short_description.text.ends_with('.'), "{code}: {}", rule.short_description.text);
            assert!(!rule.short_description.text.contains(['\n', '`', '#']), "{code}");
            assert!(rule.help.markdown.is_some_and(|m| !m.is_empty() && page.contains(m)), "{code}");
        }
    }
}
