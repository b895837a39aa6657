//! `ckdiff rules`: the table of all rules and codes, and the page of one of them.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::style::{Style, Tone, hang, pad};
use super::text::table;
use crate::checkpoint::escaped;
use crate::codes;
use crate::rules::{About, Example, Grade, RuleSet};

/// Columns of the labels on a rule's page.
const LABEL: usize = 14;

/// Writes every code and every rule, one a line.
///
/// # Errors
/// What the writer reports.
pub fn list(rules: &RuleSet, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{}", style.paint(Tone::Title, "codes"))?;
    let rows: Vec<[String; 3]> =
        codes::PAGES.iter().map(|&(code, text)| [code.into(), codes::name(code).into(), first_line(text)]).collect();
    table::write(&rows, [false; 3], style, out)?;
    writeln!(out, "\n{}", style.paint(Tone::Title, "rules"))?;
    let rows: Vec<[String; 3]> =
        entries(rules).map(|(id, about)| [id.into(), code(about), summary(rules, id, about)]).collect();
    table::write(&rows, [false; 3], style, out)?;
    writeln!(out, "\n`ckdiff rules ID` or `ckdiff rules CODE` prints the page of one.")
}

/// The same for programs.
pub fn list_json(rules: &RuleSet) -> Value {
    let codes: Vec<Value> = codes::PAGES
        .iter()
        .map(|&(code, text)| json!({"code": code, "name": codes::name(code), "summary": first_line(text)}))
        .collect();
    let rules: Vec<Value> = entries(rules)
        .map(|(id, about)| {
            let code = about.and_then(|a| a.code.as_deref());
            json!({"id": id, "code": code, "summary": summary(rules, id, about)})
        })
        .collect();
    json!({"version": 1, "codes": codes, "rules": rules})
}

/// The table of all rules as Markdown: what `rules/README.md` holds.
///
/// # Errors
/// What the writer reports.
pub fn markdown(rules: &RuleSet, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "# Rules\n")?;
    writeln!(
        out,
        "One TOML file a rule; its id is its path without the suffix. `ckdiff rules ID` prints its page. This table is \
         written and checked by a test: `UPDATE=1 cargo test --test rules` brings it up to date.\n"
    )?;
    writeln!(out, "| rule | code | recognises |\n|---|---|---|")?;
    for (id, about) in entries(rules) {
        let cell = |text: &str| text.replace('|', "\\|");
        writeln!(out, "| {} | {} | {} |", cell(id), code(about), cell(&summary(rules, id, about)))?;
    }
    Ok(())
}

/// Writes the page of a code and the rules that have it; `false` where there is no such code.
///
/// # Errors
/// What the writer reports.
pub fn code_page(rules: &RuleSet, name: &str, style: &Style, out: &mut dyn Write) -> io::Result<bool> {
    let Some((code, text)) = codes::page(name) else { return Ok(false) };
    for line in text.trim_end().lines() {
        match line.strip_prefix('#') {
            Some(title) => writeln!(out, "{}", style.paint(Tone::Title, title.trim_start_matches('#').trim()))?,
            // What a terminal showed stays as it is.
            None if line.starts_with("    ") => writeln!(out, "{}", escaped(line))?,
            None => {
                hang(style, out, "", 0, line)?;
                writeln!(out)?;
            }
        }
    }
    let with: Vec<&About> = rules.about.iter().filter(|a| a.code.as_deref() == Some(code)).collect();
    if !with.is_empty() {
        writeln!(out, "\n{}", style.paint(Tone::Title, "Rules with this code"))?;
        let rows: Vec<[String; 2]> = with.iter().map(|a| [a.id.clone(), a.summary.clone()]).collect();
        table::write(&rows, [false; 2], style, out)?;
    }
    if let Some((rule, example)) = with.iter().find_map(|a| Some((a, a.examples.first()?))) {
        writeln!(out, "\n{}", style.paint(Tone::Title, &format!("Example ({})", rule.id)))?;
        case(example, style, out)?;
    }
    Ok(true)
}

/// Writes the page of a rule; `false` where there is no such rule.
///
/// # Errors
/// What the writer reports.
pub fn rule_page(rules: &RuleSet, id: &str, style: &Style, out: &mut dyn Write) -> io::Result<bool> {
    let Some(about) = rules.rule(id) else {
        // What another stage parses is shown as it is written.
        let Some(text) = text_of(rules, id) else { return Ok(false) };
        writeln!(out, "{}\n", style.paint(Tone::Title, &escaped(id)))?;
        text.trim_end().lines().try_for_each(|line| writeln!(out, "{}", escaped(line)))?;
        return Ok(true);
    };
    let code = about.code.as_deref().map_or(String::new(), |c| format!("   {c} {}", codes::name(c)));
    let grade = about.severity.map_or("", |g| match g {
        Grade::Note => "   note",
        Grade::Warning => "   warning",
        Grade::Error => "   error",
    });
    writeln!(out, "{}{code}{grade}\n", style.paint(Tone::Title, &escaped(&about.id)))?;
    hang(style, out, "", 0, &escaped(&about.summary))?;
    writeln!(out, "\n")?;
    for paragraph in about.explanation.split("\n\n") {
        let text = paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
        hang(style, out, "", 0, &escaped(&text))?;
        writeln!(out)?;
    }
    if !about.help.is_empty() {
        writeln!(out, "\n{}", style.paint(Tone::Title, "What to do"))?;
        hang(style, out, "  ", 2, &escaped(&about.help))?;
        writeln!(out)?;
    }
    writeln!(out, "\n{}", style.paint(Tone::Title, "Matches"))?;
    about.pattern.lines().try_for_each(|line| writeln!(out, "  {}", escaped(line)))?;
    for (title, cases) in [("Example", &about.examples), ("Counterexample", &about.counterexamples)] {
        for example in cases {
            writeln!(out, "\n{}", style.paint(Tone::Title, title))?;
            case(example, style, out)?;
        }
    }
    if !about.sources.is_empty() {
        writeln!(out, "\n{}", style.paint(Tone::Title, "Sources"))?;
        about.sources.iter().try_for_each(|source| writeln!(out, "  {}", escaped(source)))?;
    }
    Ok(true)
}

/// One case of a rule: the lines of both sides, and what is said.
fn case(example: &Example, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    for (name, lines) in [("checkpoint", &example.source), ("model", &example.target)] {
        for (i, line) in lines.iter().enumerate() {
            let label = if i == 0 { name } else { "" };
            writeln!(out, "  {}{}", pad(label, LABEL - 2), escaped(&line.text))?;
        }
    }
    for (name, text) in [("text", &example.log), ("says", &example.says), ("because", &example.note)] {
        if !text.is_empty() {
            let flat = escaped(text.trim_end()).into_owned();
            hang(style, out, &format!("  {}", pad(name, LABEL - 2)), LABEL, &flat)?;
            writeln!(out)?;
        }
    }
    Ok(())
}

/// Every rule by its id, with what it says of itself where this program parses that.
fn entries(rules: &RuleSet) -> impl Iterator<Item = (&str, Option<&About>)> {
    rules.ids().map(|id| (id, rules.rule(id)))
}

fn code(about: Option<&About>) -> String {
    about.and_then(|a| a.code.clone()).unwrap_or_default()
}

/// The summary of a rule: a field of that name, or the first comment of a file that has none.
fn summary(rules: &RuleSet, id: &str, about: Option<&About>) -> String {
    if let Some(about) = about {
        return escaped(&about.summary).into_owned();
    }
    let text = text_of(rules, id).unwrap_or("");
    let field = text.lines().find_map(|l| l.strip_prefix("summary")?.trim_start().strip_prefix('='));
    let comment = text.lines().find_map(|l| l.strip_prefix('#'));
    escaped(field.or(comment).unwrap_or("").trim().trim_matches('"')).into_owned()
}

fn text_of<'a>(rules: &'a RuleSet, id: &'a str) -> Option<&'a str> {
    let folder = id.split_once('/').map_or(id, |(folder, _)| folder);
    rules.files(folder).find(|(known, _)| *known == id).map(|(_, text)| text)
}

/// The first line of a page below its title.
fn first_line(text: &str) -> String {
    text.lines().skip(1).find(|l| !l.trim().is_empty()).unwrap_or("").to_owned()
}
