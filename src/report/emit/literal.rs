//! Text as literals of Python and Rust, so that a name from a file can never become code.

use std::fmt::Write as _;

/// A Python string: `"a\"b"`.
pub(super) fn python(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            _ if crate::checkpoint::is_hidden(c) || c.is_control() => {
                // Writing to a String cannot fail.
                let _ = if u32::from(c) > 0xffff {
                    write!(out, "\\U{:08x}", u32::from(c))
                } else {
                    write!(out, "\\u{:04x}", u32::from(c))
                };
            }
            _ => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A regular expression or its replacement for Python: raw where that can be written.
pub(super) fn python_raw(text: &str) -> String {
    let plain = !text.contains('"')
        && !text.ends_with('\\')
        && !text.chars().any(|c| c.is_control() || crate::checkpoint::is_hidden(c));
    if plain { format!("r\"{text}\"") } else { python(text) }
}

/// A Rust string literal.
pub(super) fn rust(text: &str) -> String {
    let plain = !text.contains("\"#")
        && !text.contains('"')
        && !text.chars().any(|c| c.is_control() || crate::checkpoint::is_hidden(c));
    if plain && text.contains('\\') { format!("r\"{text}\"") } else { format!("{text:?}") }
}

/// A path as a Python string; bytes that are no text are replaced.
pub(super) fn python_path(path: &std::path::Path) -> String {
    python(&path.to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_its_quotes() {
        assert_eq!(python("a\"); import os #\n"), "\"a\\\"); import os #\\n\"");
        assert_eq!(python_raw("^a\\.\""), "\"^a\\\\.\\\"\"");
        assert_eq!(python_raw("^backbone\\."), "r\"^backbone\\.\"");
        assert_eq!(python_raw("a\\"), "\"a\\\\\"");
        assert_eq!(python("\u{202e}"), "\"\\u202e\"");
        assert_eq!(rust("^a\\.(\\d+)"), "r\"^a\\.(\\d+)\"");
        assert_eq!(rust("a\"b"), "\"a\\\"b\"");
    }
}
