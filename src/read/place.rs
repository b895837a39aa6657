//! Errors of JSON texts with line and column, and what people most likely handed over instead.

use super::ReadError;
use super::input::Input;

/// Why a JSON text was given up, where its JSON is sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// No object and no list of keys.
    NoKeys,
    /// An object within the object that describes no tensor.
    Nested,
    /// An error message of a server.
    Message,
}

/// Whether a top-level key looks like one of a server's error message.
pub(super) fn is_message(key: &str) -> bool {
    matches!(
        key,
        "error" | "errors" | "message" | "detail" | "status" | "statusCode" | "status_code" | "code" | "type" | "title"
    )
}

const FORM: &str =
    "expected is an object like {\"conv1.weight\": {\"dtype\": \"F32\", \"shape\": [64, 3, 7, 7]}}, one entry a key";

/// The refusal of a text: place, cause and remedy.
pub(super) fn refusal(input: &Input, bytes: &[u8], error: &serde_json::Error, fault: Option<Fault>) -> ReadError {
    let (line, column) = (error.line(), error.column());
    let text = error.to_string();
    let cause = text.strip_suffix(&format!(" at line {line} column {column}")).unwrap_or(&text);
    let place = if line > 0 { format!("line {line}, column {column}: ") } else { String::new() };
    if let Some(at) = broken_utf8(bytes) {
        let (line, column) = line_and_column(bytes, at);
        return input.error(
            "CK003",
            format!("line {line}, column {column}: not UTF-8 (byte {at})"),
            "save the file as UTF-8",
        );
    }
    if fault == Some(Fault::Message) {
        let what = format!("{place}an error message of a server, saved instead of the file");
        return input.error("CK001", what, "download it again; log in first where the model is gated");
    }
    let remedy = match fault {
        _ if holds(bytes, b"\"model_type\"") || holds(bytes, b"\"architectures\"") => {
            "it looks like a model's config.json, which names no keys; hand over the weights or the directory that holds them"
        }
        _ if holds(bytes, b"\"added_tokens\"") => {
            "it looks like a tokenizer, which has no weights; hand over the checkpoint"
        }
        _ if holds(bytes, b"\"containers\"") && holds(bytes, b"\"storage\"") => {
            "it looks like the output of `ckdiff inspect`; `ckdiff snapshot` writes what can be read back"
        }
        Some(Fault::NoKeys) => FORM,
        Some(Fault::Nested) => "keys stand at the top level, joined by dots",
        Some(Fault::Message) => "",
        None if error.is_eof() => "the file is cut off; write it again",
        None if error.is_syntax() => syntax_help(bytes, line, column),
        None => "a shape is a list of whole numbers like [64, 3, 7, 7], a dtype a name like F32 or torch.float32",
    };
    input.error("CK003", format!("{place}{}", in_words(cause)), remedy)
}

/// What a syntax error most likely comes from, by what stands at its place.
fn syntax_help(bytes: &[u8], line: usize, column: usize) -> &'static str {
    let row = bytes.split(|&b| b == b'\n').nth(line.saturating_sub(1)).unwrap_or_default();
    let at = column.saturating_sub(1).min(row.len());
    let rest = row.get(at..).unwrap_or_default();
    let around = row.get(at.saturating_sub(16)..row.len().min(at + 16)).unwrap_or_default();
    let python: [&[u8]; 7] = [b"torch.", b"tensor(", b"OrderedDict", b"None", b"True", b"False", b"array("];
    if rest.starts_with(b"'") || rest.starts_with(b"(") || python.iter().any(|&word| holds(around, word)) {
        "it looks like Python's repr; write it with json.dump, shapes as list(tensor.shape)"
    } else if rest.starts_with(b"/") || rest.starts_with(b"#") {
        "JSON has no comments; remove it"
    } else if rest.starts_with(b"}") || rest.starts_with(b"]") {
        "remove the comma before it"
    } else if rest.starts_with(b"N") || rest.starts_with(b"I") {
        "JSON has no NaN or Infinity"
    } else {
        "mend the JSON there, or write it with json.dump or `ckdiff snapshot`"
    }
}

/// serde_json's causes in the words of the other messages.
fn in_words(cause: &str) -> String {
    match cause {
        "key must be a string" => "a key must be a string in double quotes".into(),
        "recursion limit exceeded" => "nested more than 127 deep".into(),
        "trailing characters" => "something follows after the end of the JSON".into(),
        "EOF while parsing a value"
        | "EOF while parsing an object"
        | "EOF while parsing a list"
        | "EOF while parsing a string" => cause.replace("EOF while parsing", "the file ends within"),
        cause => cause.into(),
    }
}

/// Byte position of the first byte that is not UTF-8.
pub(super) fn broken_utf8(bytes: &[u8]) -> Option<usize> {
    std::str::from_utf8(bytes).err().map(|e| e.valid_up_to())
}

/// Line and column, both from 1, of a byte.
fn line_and_column(bytes: &[u8], at: usize) -> (usize, usize) {
    let before = bytes.get(..at).unwrap_or(bytes);
    let line = before.iter().filter(|&&b| b == b'\n').count() + 1;
    let column = before.iter().rev().take_while(|&&b| b != b'\n').count() + 1;
    (line, column)
}

/// Whether `part` occurs in the first 64 KB.
pub(super) fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.get(..65_536).unwrap_or(bytes).windows(part.len()).any(|w| w == part)
}
