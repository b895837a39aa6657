//! What container runtimes make of a program's output: records of their own, which cut long lines in two.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

/// The output within the records; `None` where no line is one. A line between them stays as it is.
pub(super) fn output(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut any = false;
    for line in text.lines() {
        match of_docker(line).or_else(|| of_kubernetes(line)) {
            Some(piece) => {
                any = true;
                out.push_str(&piece);
            }
            None => out.extend([line, "\n"]),
        }
    }
    any.then_some(out)
}

/// `{"log":"…\n","stream":"stderr","time":"…"}`: a piece without a line break at its end goes on in the next record.
fn of_docker(line: &str) -> Option<String> {
    let line = line.trim();
    if !line.starts_with('{') || !line.contains("\"log\"") || !line.contains("\"stream\"") {
        return None;
    }
    let record: Value = serde_json::from_str(line).ok()?;
    Some(record.get("log")?.as_str()?.to_owned())
}

/// `2024-05-06T07:08:09.123456789Z stderr P …`: `P` is a part of a line, `F` its end.
fn of_kubernetes(line: &str) -> Option<String> {
    static RECORD: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"^\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:\d\d) std(?:out|err) ([FP])(?: (.*))?$")
            .expect("a constant expression")
    });
    let record = RECORD.captures(line)?;
    let piece = record.get(2).map_or("", |m| m.as_str());
    let end = if record.get(1)?.as_str() == "F" { "\n" } else { "" };
    Some(format!("{piece}{end}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_was_cut_in_two_records_is_one_again() {
        let docker = "{\"log\":\"one ho\",\"stream\":\"stderr\",\"time\":\"t\"}\n{\"log\":\"use\\n\",\"stream\":\"stderr\",\"time\":\"t\"}\nplain\n";
        assert_eq!(output(docker).unwrap(), "one house\nplain\n");
        let kubernetes = "2024-05-06T07:08:09.1Z stderr P one ho\n2024-05-06T07:08:09.1Z stderr F use\n";
        assert_eq!(output(kubernetes).unwrap(), "one house\n");
        assert_eq!(output("one house\n{\"log\": 3}\n"), None);
    }
}
