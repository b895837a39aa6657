//! Commands of a GitHub Actions log: each annotates a line of a pull request.
//!
//! The form is `::error file=…,line=…,title=…::message`, by
//! <https://docs.github.com/actions/reference/workflow-commands-for-github-actions>.

use std::io::{self, Write};

use super::style::plural;
use super::subject::{Item, Subject};
use crate::checkpoint::escaped;
use crate::codes;
use crate::explain::Severity;

/// Annotations of one kind that GitHub shows for a step; what comes behind them would be lost without a word.
const SHOWN: usize = 10;

/// Writes one command for each finding that counts, at most ten of a severity, and a line of plain text for each subject.
///
/// # Errors
/// What the writer reports.
pub fn write(subjects: &[Subject], out: &mut dyn Write) -> io::Result<()> {
    for severity in [Severity::Error, Severity::Warning, Severity::Note] {
        let all = || subjects.iter().flat_map(|s| s.open().map(move |i| (s, i)));
        let found: Vec<_> = all().filter(|(s, i)| s.severity(i) == severity).collect();
        // One of the ten says that there are more.
        let shown = if found.len() > SHOWN { SHOWN - 1 } else { found.len() };
        for (subject, item) in found.iter().take(shown) {
            annotate(subject, item, out)?;
        }
        if shown < found.len() {
            let more = plural(found.len() - shown, &format!("more {}", severity.id()));
            writeln!(out, "::{} title=ckdiff::{}", command(severity), data(&format!("{more}: see the log of ckdiff")))?;
        }
    }
    for subject in subjects {
        let failed = !subject.holds();
        if failed && subject.open().all(|i| subject.severity(i) != Severity::Error) {
            // No finding says by itself that this fails, so the verdict must.
            writeln!(out, "::error title=ckdiff::{}", data(&summary(subject)))?;
        } else {
            writeln!(out, "{}", plain(&summary(subject)))?;
        }
    }
    Ok(())
}

fn annotate(subject: &Subject, item: &Item, out: &mut dyn Write) -> io::Result<()> {
    let finding = &item.finding;
    write!(out, "::{} ", command(subject.severity(item)))?;
    // A file outside the checkout cannot be annotated.
    if item.place.file.inside {
        write!(out, "file={},", property(&item.place.file.path))?;
        if let Some(line) = item.place.line {
            write!(out, "line={line},")?;
        }
    }
    let mut text = escaped(&finding.message).into_owned();
    if !finding.help.is_empty() {
        text = format!("{text}\n{}", escaped(&finding.help));
    }
    if !subject.name.is_empty() || !item.place.file.inside {
        text = format!("{}: {text}", escaped(&subject.title()));
    }
    let title = format!("{} {}", finding.code, codes::name(finding.code));
    writeln!(out, "title={}::{}", property(title.trim_end()), data(&text))
}

/// `a.pth → expected.json: does not load (1 error)`
fn summary(subject: &Subject) -> String {
    let tally = subject.tally();
    let tally = if tally.is_empty() { String::new() } else { format!(" ({tally})") };
    format!("{}: {}{tally}", escaped(&subject.title()), subject.words())
}

fn command(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "notice",
    }
}

/// A line that is no command, whatever a file is called.
fn plain(text: &str) -> String {
    let line = text.replace(['\r', '\n'], " ");
    if line.trim_start().starts_with("::") || line.contains("##[") {
        format!("ckdiff: {}", line.replace("##[", "## ["))
    } else {
        line
    }
}

/// The message of a command.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// The value of a property of a command.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::subject::Sheet;
    use crate::report::subject::tests::{failing, mixed, written};

    #[test]
    fn each_finding_that_counts_is_one_command() {
        let text = written(Sheet::Github, &mixed());
        assert_eq!(
            text,
            "::error file=expected.json,title=CK103 wrapper-prefix::detector: all 2 keys are under `backbone.`%0Astrip the prefix\n\
             ::warning file=weights/det ector.pth,title=CK013 name-disagrees::detector: 100 %25 of it, at: a\\nb%0Astrip the prefix\n\
             detector: loads after the fix, not as it is (1 error, 1 warning)\n\
             /elsewhere/a.safetensors: safetensors, 0 tensors\n"
        );
    }

    #[test]
    fn of_more_than_ten_of_a_kind_the_tenth_says_how_many_there_are() {
        let text = written(Sheet::Github, &vec![failing("a"); 30]);
        let errors: Vec<&str> = text.lines().filter(|l| l.starts_with("::error ")).collect();
        assert_eq!(errors.len(), 10);
        assert!(errors[9].contains("21 more errors"), "{}", errors[9]);
        assert_eq!(text.lines().filter(|l| l.starts_with("::notice ")).count(), 10);
    }

    #[test]
    fn what_would_end_a_message_or_a_property_is_escaped() {
        assert_eq!(data("50 %\r\nof: a, b"), "50 %25%0D%0Aof: a, b");
        assert_eq!(property("a:b,c%\n"), "a%3Ab%2Cc%25%0A");
    }

    #[test]
    fn a_line_that_looks_like_a_command_is_none() {
        assert_eq!(plain("::error::x"), "ckdiff: ::error::x");
        assert_eq!(plain("##[group]x"), "ckdiff: ## [group]x");
        assert_eq!(plain("a\n::error::x"), "a ::error::x");
    }
}
