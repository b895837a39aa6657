//! JSON around an error text: notebooks with their output cells, and loggers that write one object a line.

use serde_json::Value;

/// The outputs of a notebook's cells, one after the other; `None` when the text is no notebook.
pub(super) fn outputs(text: &str) -> Option<String> {
    let start = text.trim_start();
    if !start.starts_with('{') || !start.contains("\"cells\"") && !start.contains("\"worksheets\"") {
        return None;
    }
    let book: Value = serde_json::from_str(start.trim_end()).ok()?;
    let sheets = book.get("worksheets").and_then(Value::as_array);
    let nested = sheets.into_iter().flatten().filter_map(|s| s.get("cells"));
    let mut out = String::new();
    for cell in book.get("cells").into_iter().chain(nested).filter_map(Value::as_array).flatten() {
        for output in cell.get("outputs").and_then(Value::as_array).into_iter().flatten() {
            // A traceback repeats what `ename` and `evalue` say, so those count only where it is not there.
            let traceback = output.get("traceback");
            let said = traceback.filter(|t| t.as_array().is_some_and(|lines| !lines.is_empty()));
            match said {
                Some(lines) => lines_of(lines, "\n", &mut out),
                None => {
                    lines_of(output.get("text").unwrap_or(&Value::Null), "", &mut out);
                    let data = output.get("data").and_then(|d| d.get("text/plain"));
                    lines_of(data.unwrap_or(&Value::Null), "", &mut out);
                    if let (Some(name), Some(value)) = (string(output, "ename"), string(output, "evalue")) {
                        out.extend([name, ": ", value, "\n"]);
                    }
                }
            }
        }
    }
    Some(out)
}

/// Appends a text or a list of texts, each followed by `end`, and a line break.
fn lines_of(value: &Value, end: &str, out: &mut String) {
    match value {
        Value::String(text) => out.push_str(text),
        Value::Array(lines) => lines.iter().filter_map(Value::as_str).for_each(|l| out.extend([l, end])),
        _ => return,
    }
    out.push('\n');
}

fn string<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value.get(name)?.as_str()
}

/// The texts within a line that is one JSON object or one JSON string; `None` when it is neither.
pub(super) fn json_line(line: &str) -> Option<String> {
    let trimmed = line.trim().trim_end_matches(',');
    // An object that names its lists says more by its names than by its texts.
    let object = trimmed.starts_with('{') && trimmed.ends_with('}') && !trimmed.contains("_keys\"");
    let quoted = trimmed.len() > 1 && trimmed.starts_with('"') && trimmed.ends_with('"') && trimmed.contains('\\');
    if !object && !quoted {
        return None;
    }
    let mut out = String::new();
    // A list of the values still to look at, so that nesting costs no stack.
    let mut open = vec![serde_json::from_str::<Value>(trimmed).ok()?];
    while let Some(value) = open.pop() {
        match value {
            Value::String(text) => out.extend([text.as_str(), "\n"]),
            Value::Array(items) => open.extend(items.into_iter().rev()),
            Value::Object(fields) => open.extend(fields.into_iter().map(|(_, v)| v).rev()),
            _ => {}
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notebook_gives_the_texts_of_its_outputs_only() {
        let book = r#"{"cells": [{"source": ["KeyError: 'no'"], "outputs": [
            {"output_type": "stream", "text": ["one\n", "two\n"]},
            {"output_type": "error", "ename": "KeyError", "evalue": "'a.b'", "traceback": ["\u001b[31mKeyError\u001b[0m: 'a.b'"]}
        ]}], "nbformat": 4}"#;
        assert_eq!(outputs(book).unwrap(), "one\ntwo\n\n\u{1b}[31mKeyError\u{1b}[0m: 'a.b'\n\n");
        assert_eq!(outputs("{'a': 1}"), None);
    }

    #[test]
    fn a_line_of_json_gives_its_texts() {
        assert_eq!(json_line(r#"{"log": "a\n\tb", "time": 3}"#).unwrap(), "a\n\tb\n");
        assert_eq!(json_line(r#"   "a \"b\"\n","#).unwrap(), "a \"b\"\n\n");
        assert_eq!(json_line("{'a', 'b'}"), None);
    }
}
