//! JUnit XML, what most services for continuous integration show as test results: one case for each subject.
//!
//! There is no standard; this is the part that the readers agree on (testsuites, testsuite, testcase with failure, error or
//! system-out), as <https://github.com/testmoapp/junitxml> describes it.

use std::io::{self, Write};

use super::subject::{Item, Outcome, Subject};
use crate::checkpoint::escaped;
use crate::codes;

/// Writes all subjects as one suite.
///
/// # Errors
/// What the writer reports.
pub fn write(subjects: &[Subject], out: &mut dyn Write) -> io::Result<()> {
    let errors = subjects.iter().filter(|s| s.unread()).count();
    let failures = subjects.iter().filter(|s| !s.holds()).count() - errors;
    let counts = format!("tests=\"{}\" failures=\"{failures}\" errors=\"{errors}\"", subjects.len());
    writeln!(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>")?;
    writeln!(out, "<testsuites name=\"ckdiff\" {counts}>")?;
    writeln!(out, "  <testsuite name=\"ckdiff\" {counts} skipped=\"0\">")?;
    for subject in subjects {
        case(subject, out)?;
    }
    writeln!(out, "  </testsuite>\n</testsuites>")
}

fn case(subject: &Subject, out: &mut dyn Write) -> io::Result<()> {
    let file = match &subject.outcome {
        Outcome::Verdict(v) => &v.source.path.path,
        Outcome::File(f) => &f.side.path.path,
        Outcome::Other { path, .. } => path.path.as_str(),
    };
    let (name, file) = (xml(&subject.title()), xml(file));
    write!(out, "    <testcase classname=\"ckdiff\" name=\"{name}\" file=\"{file}\"")?;
    // The type is what somebody searches for; the first finding is the most important.
    let kind = subject.open().next().map_or("ckdiff", |i| i.finding.code);
    let (tag, attributes) = match (subject.holds(), subject.unread()) {
        (true, _) if subject.items.is_empty() => return writeln!(out, "/>"),
        (true, _) => ("system-out", String::new()),
        (false, unread) => {
            let attributes = format!(" type=\"{kind}\" message=\"{}\"", xml(&subject.words()));
            (if unread { "error" } else { "failure" }, attributes)
        }
    };
    writeln!(out, ">\n      <{tag}{attributes}>")?;
    for item in &subject.items {
        writeln!(out, "{}", xml(&told(subject, item)))?;
    }
    writeln!(out, "</{tag}>\n    </testcase>")
}

/// A finding as lines of text: what, where, what to do.
fn told(subject: &Subject, item: &Item) -> String {
    let f = &item.finding;
    let grade = if item.accepted.is_some() { "accepted" } else { subject.severity(item).id() };
    let line = item.place.line.map(|l| format!(":{l}")).unwrap_or_default();
    let place = format!("{}{line}", escaped(&item.place.file.path));
    let mut text = format!("{grade} {} {}: {}\n  at {place}", f.code, codes::name(f.code), escaped(&f.message));
    if !f.help.is_empty() {
        text += &format!("\n  {}", escaped(&f.help));
    }
    if let Some(accepted) = &item.accepted {
        let reason =
            if accepted.reason.is_empty() { String::new() } else { format!(": {}", escaped(&accepted.reason)) };
        text += &format!("\n  accepted by {}{reason}", accepted.by);
    }
    text
}

/// Text within XML, also within the quotes of an attribute. Line feeds are kept; other control characters XML has no way to say.
fn xml(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push(c),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c if c.is_control() => out.push_str(&escaped(c.encode_utf8(&mut [0; 4]))),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::subject::Sheet;
    use crate::report::subject::tests::{mixed, written};

    #[test]
    fn what_does_not_hold_is_a_failure_with_its_findings_and_what_holds_is_a_case() {
        let text = written(Sheet::Junit, &mixed());
        assert!(
            text.contains("<testsuite name=\"ckdiff\" tests=\"2\" failures=\"1\" errors=\"0\" skipped=\"0\">"),
            "{text}"
        );
        let failure = "<testcase classname=\"ckdiff\" name=\"detector\" file=\"weights/det ector.pth\">\n      \
                       <failure type=\"CK103\" message=\"loads after the fix, not as it is\">\n\
                       error CK103 wrapper-prefix: all 2 keys are under `backbone.`\n  at expected.json\n  strip the prefix\n";
        assert!(text.contains(failure), "{text}");
        assert!(
            text.contains("accepted CK108") && text.contains("accepted by ckdiff.toml: the neck is trained anew"),
            "{text}"
        );
        assert!(text.contains("file=\"/elsewhere/a.safetensors\"/>"), "{text}");
    }

    #[test]
    fn no_name_ends_an_attribute_or_an_element() {
        assert_eq!(xml("a\"<b>&\u{1b}\u{ffff}\n"), "a&quot;&lt;b&gt;&amp;\\x1b\u{fffd}\n");
    }
}
