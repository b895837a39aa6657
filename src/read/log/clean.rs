//! From the bytes of a log to plain lines: encodings, notebooks, escapes, colours and the prefixes that launchers put before lines.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::Regex;

mod container;
mod notebook;

/// The most bytes that are looked at. Of a longer log the end is taken, where errors stand.
pub const MOST_BYTES: usize = 16 << 20;

/// Decodes UTF-8 or UTF-16 (what PowerShell's `>` writes), replaces what is neither, and drops NUL bytes.
pub(super) fn decode(bytes: &[u8]) -> Cow<'_, str> {
    let bytes = bytes.get(bytes.len().saturating_sub(MOST_BYTES)..).unwrap_or(bytes);
    match bytes {
        [0xff, 0xfe, rest @ ..] => Cow::Owned(utf16(rest, u16::from_le_bytes)),
        [0xfe, 0xff, rest @ ..] => Cow::Owned(utf16(rest, u16::from_be_bytes)),
        [0xef, 0xbb, 0xbf, rest @ ..] => String::from_utf8_lossy(rest),
        // Without a byte order mark every other byte of Latin text is zero.
        [_, 0, _, 0, ..] => Cow::Owned(utf16(bytes, u16::from_le_bytes)),
        _ => String::from_utf8_lossy(bytes),
    }
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> String {
    let units = bytes.chunks_exact(2).map(|c| unit([c[0], c[1]]));
    char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
}

/// Plain lines ended by `\n`: nothing but the program's own words as far as can be told.
pub(super) fn clean(text: &str) -> String {
    let text = notebook::outputs(text).or_else(|| container::output(text)).map_or(Cow::Borrowed(text), Cow::Owned);
    let mut out = String::with_capacity(text.len());
    for line in text.split('\n') {
        // A lone carriage return is a progress bar that wrote over itself.
        for line in line.trim_end_matches('\r').split('\r') {
            match notebook::json_line(line) {
                Some(inner) => inner.split(['\n', '\r']).for_each(|l| push_line(&mut out, l)),
                None => match unescape(line) {
                    Some(inner) => inner.split(['\n', '\r']).for_each(|l| push_line(&mut out, l)),
                    None => push_line(&mut out, line),
                },
            }
        }
    }
    out
}

/// Appends one line without colours, entities, typographic quotes and launcher prefixes.
fn push_line(out: &mut String, line: &str) {
    let plain = without_colours(line);
    let plain = without_entities(&plain);
    out.extend(strip_prefixes(&plain).chars().map(straight_quote).filter(|&c| c != '\0'));
    out.push('\n');
}

fn straight_quote(c: char) -> char {
    match c {
        '\u{201c}' | '\u{201d}' | '\u{201e}' => '"',
        '\u{2018}' | '\u{2019}' | '\u{201a}' => '\'',
        '\u{a0}' => ' ',
        _ => c,
    }
}

/// Terminal sequences: with their escape byte, as `^[[31m`, and as `[0;31m` where a copy lost the escape byte.
fn without_colours(line: &str) -> Cow<'_, str> {
    static SEQUENCE: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(concat!(
            r"(?:\x1b|\^\[|\u{9b})\[[0-9;?:]{0,24}[ -/]?[@-~]", // CSI
            r"|\x1b\][^\x07\x1b]{0,400}(?:\x07|\x1b\\)?",       // OSC: titles, links
            r"|\x1b[@-Z\\-_]|[\x08\x1b]",
            r"|\[[0-9]{1,3}(?:;[0-9]{1,3}){0,5}m",
        ))
        .expect("a constant expression")
    });
    if !line.contains(['\x1b', '\x08', '[', '\u{9b}']) {
        return Cow::Borrowed(line);
    }
    SEQUENCE.replace_all(line, "")
}

/// The five entities that a page's source puts for quotes and brackets.
fn without_entities(line: &str) -> Cow<'_, str> {
    if !line.contains('&') {
        return Cow::Borrowed(line);
    }
    const ENTITIES: [(&str, &str); 6] =
        [("&quot;", "\""), ("&#34;", "\""), ("&#39;", "'"), ("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")];
    let mut out = line.to_owned();
    for (name, plain) in ENTITIES {
        if out.contains(name) {
            out = out.replace(name, plain);
        }
    }
    Cow::Owned(out)
}

/// Undoes the escapes of a line that is the `repr` of a text or a piece of JSON; `None` where the line has none to undo.
fn unescape(line: &str) -> Option<String> {
    const SIGNS: [&str; 9] =
        ["\\n\\t", "\\nMissing", "\\nUnexpected", "\\nsize", "\\n\\n", "\\\"", "\\u001b[", "\\x1b[", "\\033["];
    if !line.contains('\\') || !SIGNS.iter().any(|s| line.contains(s)) {
        return None;
    }
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find('\\') {
        out.push_str(rest.get(..at).unwrap_or(""));
        rest = rest.get(at + 1..).unwrap_or("");
        const ESCAPES: [(&str, &str); 12] = [
            ("u001b", "\x1b"),
            ("x1b", "\x1b"),
            ("033", "\x1b"),
            ("u2026", "\u{2026}"),
            ("u0022", "\""),
            ("u0027", "'"),
            ("n", "\n"),
            ("t", "\t"),
            ("r", ""),
            ("\"", "\""),
            ("'", "'"),
            ("\\", "\\"),
        ];
        match ESCAPES.iter().find(|(sign, _)| rest.starts_with(sign)) {
            Some((sign, plain)) => {
                out.push_str(plain);
                rest = rest.get(sign.len()..).unwrap_or("");
            }
            None => out.push('\\'),
        }
    }
    out.push_str(rest);
    Some(out)
}

/// What launchers, loggers, test runners and mail programs put before a line, taken off again and again.
fn strip_prefixes(line: &str) -> &str {
    static PREFIX: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(concat!(
            r"^(?-u)(?:",
            r"[ \t]*>(?:[ \t]?)",                                                      // quoted mail or Markdown
            r"|E[ ]{2,}|E\t",                                                          // pytest
            r"|[ \t]*\[(?:rank|default|node|worker)[_ ]?\d+\][:|]?[ ]?",               // torchrun
            r"|[ \t]*(?:rank|worker|node)[_ ]?\d+[:|][ ]",
            r"|[ \t]*\[\d+,\d+\](?:<std(?:err|out)>)?:[ ]?",                           // mpirun
            r"|[ \t]*\((?:[\w.:-]+ ){0,4}(?:pid|ip)=[\w ,.:=-]+\)[ ]?",              // ray, vLLM
            r"|\d{1,4}:[ ]",                                                           // srun --label
            r"|#\d{1,4} \d+\.\d{1,4} ",                                            // docker buildx
            r"|[ \t]*\[?\d{4}[-/]\d\d[-/]\d\d[T _]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?\]?[ ]*(?:[-|:]{1,2}[ ]+)?",
            r"|[ \t]*\[?\d\d[-/]\d\d(?:[-/]\d{2,4})?[ T]\d\d:\d\d:\d\d(?:[.,]\d+)?\]?[ ]*(?:[-|:]{1,2}[ ]+)?",
            r"|[ \t]*\[?\d\d:\d\d:\d\d(?:[.,]\d+)?\]?[ ]*(?:[-|:]{1,2}[ ]+)?",
            r"|[\w.:-]+[ ]-[ ](?:DEBUG|INFO|WARN|WARNING|ERROR|CRITICAL)[ ]-[ ]",
            r"|[ \t]*\[?(?:DEBUG|INFO|WARN|WARNING|ERROR|CRITICAL|FATAL)\]?[ ]*(?:[:|-][ ]+|[ ]+)(?:\[[\w./<>-]+(?::\d+)?\][ ]?:?[ ]?)?",
            r"|\[[\w./-]+:\d+\][ ]?",                                     // vLLM, Transformers
            r"|[\w./-]+\.(?:py|cc|cpp|rs|go):\d+\][ ]?",                    // vLLM before 0.9, what is left of glog's
            r"|[ \t]*[DIWEF]\d{4} \d\d:\d\d:\d\d\.\d+[ ]+\d+[ ]",               // glog, absl
            r"|[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d [\w.-]+ [\w./@-]+(?:\[\d+\])?: ", // syslog, journalctl
            r"|##\[(?:error|warning|group|debug)\]",                       // workflows
            r"|[ \t]*(?u:[│┃║╎▌])[ ]?",                                                     // boxes
            r")",
        ))
        .expect("a constant expression")
    });
    static SERVICE: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"^[A-Za-z][A-Za-z0-9_.-]*[-_][0-9]{1,4} +\| (.*)$").expect("a constant expression")
    });
    let mut line = line;
    for _ in 0..8 {
        match PREFIX.find(line) {
            Some(m) if m.end() > 0 => line = line.get(m.end()..).unwrap_or(""),
            _ => match SERVICE.captures(line).and_then(|c| c.get(1)) {
                // A row of a table of keys looks the same; its second column is a status.
                Some(rest)
                    if !["UNEXPECTED", "MISSING", "MISMATCH", "CONVERSION"]
                        .iter()
                        .any(|s| rest.as_str().starts_with(s)) =>
                {
                    line = rest.as_str();
                }
                _ => break,
            },
        }
    }
    line.trim_end_matches(['│', '┃', '║', ' '])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(line: &str) -> String {
        clean(line).trim_end().to_owned()
    }

    #[test]
    fn prefixes_of_launchers_and_loggers_come_off_whatever_their_order() {
        for prefix in [
            "[rank0]: ",
            "[rank3]:[rank3]: ",
            "(train_fn pid=4711, ip=10.0.0.3) ",
            "(EngineCore_0 pid=99) ERROR 07-12 10:11:12 [core.py:583] ",
            "E   ",
            "> > ",
            "2024-01-02T03:04:05.1234567Z ",
            "2021-04-29 11:02:33,120 - mmcv - WARNING - ",
            "[2021-06-21 14:00:15,574] ",
            "[1,0]<stderr>:",
            "3: ",
            "trainer-1  | ",
            "ERROR 12-09 00:49:29 engine.py:366] ",
            "E0506 07:08:09.123456 140012345678912 checkpoint.py:123] ",
            "May  6 07:08:09 gpu-box python3[12345]: ",
            "2024-05-06T07:08:09.1234567Z ##[error]",
            "#12 3.456 ",
            "\u{1b}[31m",
        ] {
            assert_eq!(one(&format!("{prefix}RuntimeError: x")), "RuntimeError: x", "{prefix}");
        }
    }

    #[test]
    fn colours_go_even_where_the_copy_lost_the_escape_byte() {
        assert_eq!(one("[0;31mRuntimeError[0m: torch.Size([64, 3])"), "RuntimeError: torch.Size([64, 3])");
        assert_eq!(one("^[[1;31mRuntimeError^[[0m"), "RuntimeError");
    }

    #[test]
    fn a_repr_is_unescaped_and_a_windows_path_is_not() {
        assert_eq!(one(r#"('Error for X:\n\tMissing key(s): \"a\"')"#), "('Error for X:\n\tMissing key(s): \"a\"')");
        assert_eq!(one(r"File C:\torch\nn\modules\module.py"), r"File C:\torch\nn\modules\module.py");
    }

    #[test]
    fn utf_16_of_a_windows_shell_is_read() {
        let bytes: Vec<u8> =
            [0xff, 0xfe].into_iter().chain("KeyError".encode_utf16().flat_map(u16::to_le_bytes)).collect();
        assert_eq!(decode(&bytes), "KeyError");
        assert_eq!(decode(bytes.get(2..).unwrap()), "KeyError");
    }
}
