//! Text as Python writes and prints it: escapes of protocol 0, `str()` of keys.

use std::borrow::Cow;
use std::fmt::Write as _;

use super::heap::{Heap, Value};

/// Longest text that `str()` of a key that is no string is written out as.
const LONGEST_REPR: usize = 256;
/// Deepest nesting of tuples in such a key.
const DEEPEST_REPR: u32 = 8;

/// Bytes as text: UTF-8 where they are, lone surrogates and other bytes escaped as Python does.
pub fn readable(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(escape_invalid(bytes)),
    }
}

fn escape_invalid(mut bytes: &[u8]) -> String {
    let mut out = String::new();
    while !bytes.is_empty() {
        let valid = match std::str::from_utf8(bytes) {
            Ok(text) => {
                out.push_str(text);
                break;
            }
            Err(e) => e.valid_up_to(),
        };
        let (good, rest) = bytes.split_at(valid);
        out.push_str(&String::from_utf8_lossy(good));
        // `surrogatepass` writes U+D800–U+DFFF as three bytes that are not UTF-8.
        let used = match *rest {
            [0xed, b @ 0xa0..=0xbf, c @ 0x80..=0xbf, ..] => {
                let _ = write!(out, "\\ud{:03x}", (u32::from(b & 0x3f) << 6 | u32::from(c & 0x3f)) & 0xfff);
                3
            }
            [b, ..] => {
                let _ = write!(out, "\\x{b:02x}");
                1
            }
            [] => break,
        };
        bytes = rest.get(used..).unwrap_or_default();
    }
    out
}

/// Whether bytes are what Python accepts as a pickled str: UTF-8 with surrogates.
pub(super) fn is_text(mut bytes: &[u8]) -> bool {
    loop {
        let valid = match std::str::from_utf8(bytes) {
            Ok(_) => return true,
            Err(e) => e.valid_up_to(),
        };
        match bytes.get(valid..) {
            Some([0xed, 0xa0..=0xbf, 0x80..=0xbf, rest @ ..]) => bytes = rest,
            _ => return false,
        }
    }
}

/// Decodes the escapes of a quoted string (STRING, protocol 0); `None` where the quotes are missing or an escape is broken.
pub(super) fn unquote(line: &[u8]) -> Option<Vec<u8>> {
    let line = line.trim_ascii_end();
    let (&quote, rest) = line.split_first()?;
    let (&end, inner) = rest.split_last()?;
    if quote != end || !(quote == b'\'' || quote == b'"') {
        return None;
    }
    let mut out = Vec::with_capacity(inner.len());
    let mut bytes = inner.iter().copied();
    while let Some(b) = bytes.next() {
        if b != b'\\' {
            out.push(b);
            continue;
        }
        match bytes.next()? {
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'a' => out.push(7),
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'v' => out.push(11),
            b'x' => {
                let hex = [bytes.next()?, bytes.next()?];
                out.push(u8::from_str_radix(std::str::from_utf8(&hex).ok()?, 16).ok()?);
            }
            digit @ b'0'..=b'7' => {
                let mut value = u32::from(digit - b'0');
                for _ in 0..2 {
                    match bytes.as_slice_first() {
                        Some(next @ b'0'..=b'7') => {
                            value = value * 8 + u32::from(next - b'0');
                            bytes.next();
                        }
                        _ => break,
                    }
                }
                out.push(value as u8);
            }
            same @ (b'\\' | b'\'' | b'"') => out.push(same),
            other => out.extend([b'\\', other]),
        }
    }
    Some(out)
}

/// A look at the next byte without taking it.
trait Peek {
    fn as_slice_first(&self) -> Option<u8>;
}

impl Peek for std::iter::Copied<std::slice::Iter<'_, u8>> {
    fn as_slice_first(&self) -> Option<u8> {
        self.clone().next()
    }
}

/// Decodes the escapes of a raw-unicode-escape line (UNICODE, protocol 0): Latin-1 with `\uXXXX` and `\UXXXXXXXX`.
///
/// `None` where an escape is cut short or names no character. The result is UTF-8, surrogates passed through.
pub(super) fn raw_unicode(line: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(line.len());
    let mut rest = line;
    let mut backslashes = 0usize;
    while let Some((&b, after)) = rest.split_first() {
        rest = after;
        // An escape starts at an odd number of backslashes.
        if b == b'\\' {
            backslashes += 1;
            out.push(b);
            continue;
        }
        let escaped = backslashes % 2 == 1 && (b == b'u' || b == b'U');
        backslashes = 0;
        if !escaped {
            push_char(&mut out, u32::from(b))?;
            continue;
        }
        let digits = if b == b'u' { 4 } else { 8 };
        let hex = std::str::from_utf8(rest.get(..digits)?).ok()?;
        if !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        rest = rest.get(digits..)?;
        out.pop();
        push_char(&mut out, u32::from_str_radix(hex, 16).ok()?)?;
    }
    Some(out)
}

/// Appends a code point as UTF-8, a surrogate as its three bytes.
fn push_char(out: &mut Vec<u8>, code: u32) -> Option<()> {
    match char::from_u32(code) {
        Some(c) => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        None if (0xd800..0xe000).contains(&code) => {
            out.extend([0xed, 0x80 | (code >> 6 & 0x3f) as u8, 0x80 | (code & 0x3f) as u8]);
        }
        None => return None,
    }
    Some(())
}

/// Turns text back into the Latin-1 bytes it encodes (`_codecs.encode(text, 'latin1')`); `None` where it encodes none.
pub(super) fn latin1(text: &[u8]) -> Option<Vec<u8>> {
    std::str::from_utf8(text).ok()?.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect()
}

/// `str()` of a key as Python writes it: `3`, `(2, 3)`, `None`, `1.5`, `b'x'`.
pub fn key_text(heap: &Heap, key: Value) -> Cow<'_, str> {
    match key {
        Value::Str(span) => heap.text(span),
        other => {
            let mut out = String::new();
            repr(heap, other, DEEPEST_REPR, &mut out);
            Cow::Owned(out)
        }
    }
}

fn repr(heap: &Heap, value: Value, depth: u32, out: &mut String) {
    if out.len() > LONGEST_REPR {
        return;
    }
    let _ = match value {
        Value::None => write!(out, "None"),
        Value::Bool(b) => write!(out, "{}", if b { "True" } else { "False" }),
        Value::Int(i) => write!(out, "{i}"),
        Value::Long(span) => match i128_of(heap.bytes(span)) {
            Some(i) => write!(out, "{i}"),
            None => write!(out, "<an int of {} bytes>", span.len()),
        },
        Value::Digits(span) => write!(out, "<an int of {} digits>", span.len()),
        Value::Float(f) => write!(out, "{}", float(f)),
        Value::Str(span) => {
            quote(out, "'", &heap.text(span).chars().take(LONGEST_REPR).collect::<String>());
            Ok(())
        }
        Value::Bytes(span) => {
            let bytes = heap.bytes(span);
            let shown: String = bytes.iter().take(LONGEST_REPR).flat_map(|&b| byte(b)).collect();
            write!(out, "b'{shown}'")
        }
        Value::Tuple(span) if depth > 0 => {
            out.push('(');
            let items = heap.tuple(span);
            for (i, &item) in items.iter().take(LONGEST_REPR).enumerate() {
                out.push_str(if i > 0 { ", " } else { "" });
                repr(heap, item, depth - 1, out);
            }
            write!(out, "{}", if items.len() == 1 { ",)" } else { ")" })
        }
        Value::Global(id) => write!(out, "{}", heap.name_of(id)),
        Value::Object(id) => {
            let class = heap.object(id).map_or("", |o| heap.class_of(o));
            write!(out, "<{}>", if class.is_empty() { "object" } else { class })
        }
        other => write!(out, "<{}>", kind(other)),
    };
}

fn byte(b: u8) -> Vec<char> {
    match b {
        b'\n' => vec!['\\', 'n'],
        b'\r' => vec!['\\', 'r'],
        b'\t' => vec!['\\', 't'],
        b'\\' => vec!['\\', '\\'],
        b'\'' => vec!['\\', '\''],
        0x20..=0x7e => vec![char::from(b)],
        _ => format!("\\x{b:02x}").chars().collect(),
    }
}

fn quote(out: &mut String, mark: &str, text: &str) {
    out.push_str(mark);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\\' => out.push_str("\\\\"),
            '\'' => out.push_str("\\'"),
            c if c.is_control() => {
                let _ = write!(out, "\\x{:02x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push_str(mark);
}

/// A float as Python's `repr` writes it.
fn float(f: f64) -> String {
    if f.is_nan() {
        return "nan".into();
    }
    if f.is_infinite() {
        return if f > 0.0 { "inf".into() } else { "-inf".into() };
    }
    let size = f.abs();
    if size != 0.0 && !(1e-4..1e16).contains(&size) {
        // Rust writes 1e-7 where Python writes 1e-07.
        let text = format!("{f:e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, digits) = exponent.strip_prefix('-').map_or(("+", exponent), |d| ("-", d));
        return format!("{mantissa}e{sign}{digits:0>2}");
    }
    format!("{f:?}")
}

/// An int that stands in text.
pub(super) enum Int {
    /// One that fits 128 bits.
    Short(i128),
    /// One of more digits, which nobody converts: that takes time beyond proportion.
    Long,
}

/// An int as Python reads it from text: spaces around it, a sign, `0x`, `0o`, `0b`, `_` between digits. Zeros before a number mean
/// nothing here (`strtol`, which `INT` tries first, takes them for octal); only sizes and keys are ever looked at.
pub(super) fn int(line: &[u8]) -> Option<Int> {
    let line = line.trim_ascii();
    let (negative, line) = match line {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let (base, mut digits) = match line {
        [b'0', b'x' | b'X', rest @ ..] => (16, rest),
        [b'0', b'o' | b'O', rest @ ..] => (8, rest),
        [b'0', b'b' | b'B', rest @ ..] => (2, rest),
        rest => (10, rest),
    };
    if base != 10 {
        digits = digits.strip_prefix(b"_").unwrap_or(digits);
    }
    let (mut value, mut long, mut after_digit) = (0i128, false, false);
    for &byte in digits {
        match char::from(byte).to_digit(base) {
            Some(digit) => {
                after_digit = true;
                let next = value.checked_mul(base.into()).and_then(|v| v.checked_add(digit.into()));
                long |= next.is_none();
                value = next.unwrap_or(value);
            }
            None if byte == b'_' && after_digit => after_digit = false,
            None => return None,
        }
    }
    match (after_digit, long) {
        (false, _) => None,
        (true, true) => Some(Int::Long),
        (true, false) => Some(Int::Short(if negative { -value } else { value })),
    }
}

/// A number of at most 16 bytes, little-endian two's complement.
pub(super) fn i128_of(bytes: &[u8]) -> Option<i128> {
    if bytes.len() > 16 {
        return None;
    }
    let negative = bytes.last().is_some_and(|b| b & 0x80 != 0);
    let mut full = [if negative { 0xff } else { 0 }; 16];
    full.get_mut(..bytes.len())?.copy_from_slice(bytes);
    Some(i128::from_le_bytes(full))
}

/// A word for a value.
pub fn kind(value: Value) -> &'static str {
    match value {
        Value::None => "None",
        Value::Bool(_) => "bool",
        Value::Int(_) | Value::Long(_) | Value::Digits(_) => "int",
        Value::Float(_) => "float",
        Value::Str(_) => "str",
        Value::Bytes(_) => "bytes",
        Value::Far(_) => "data",
        Value::Tuple(_) => "tuple",
        Value::List(_) => "list",
        Value::Set(_) => "set",
        Value::Dict(_) => "dict",
        Value::Global(_) => "function or class",
        Value::Object(_) => "object",
        Value::Foreign(_) => "tensor part",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_written_as_python_does() {
        for (f, text) in [(1.5, "1.5"), (7.0, "7.0"), (1e16, "1e+16"), (1e-7, "1e-07"), (0.0, "0.0"), (1e-4, "0.0001")]
        {
            assert_eq!(float(f), text);
        }
        assert_eq!(float(f64::NAN), "nan");
        assert_eq!(float(f64::NEG_INFINITY), "-inf");
    }

    #[test]
    fn a_lone_surrogate_is_escaped() {
        assert_eq!(readable(b"\xed\xb2\x80lone"), "\\udc80lone");
        assert_eq!(readable(b"a\xffb"), "a\\xffb");
        assert!(is_text(b"\xed\xb2\x80lone") && !is_text(b"\xff"));
    }

    #[test]
    fn escapes_of_protocol_0_are_decoded() {
        assert_eq!(unquote(b"'a\\x41\\n\\101'").unwrap(), b"aA\nA");
        assert_eq!(unquote(b"\"it\\'s\"").unwrap(), b"it's");
        assert_eq!(unquote(b"abc"), None);
        assert_eq!(unquote(b"'"), None);
        assert_eq!(raw_unicode(b"\\u5c42\\U0001f525").unwrap(), "层🔥".as_bytes());
        assert_eq!(raw_unicode(b"a\\\\u0041").unwrap(), b"a\\\\u0041");
        assert_eq!(raw_unicode(b"\\u12"), None);
        assert_eq!(latin1("é\u{0}".as_bytes()).unwrap(), b"\xe9\0");
        assert_eq!(latin1("层".as_bytes()), None);
    }
}
