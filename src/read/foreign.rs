//! What a file is that is no checkpoint: one sentence, and what to do. Nothing of its content is repeated.

use super::ReadError;
use super::input::Input;

mod archive;
mod signature;
mod text;

/// Names a file by marks that no checkpoint has, so that no reader need be tried; `None` where there are none.
pub(super) fn certain(input: &mut Input) -> Option<ReadError> {
    let (what, remedy) = empty(input)
        .or_else(|| text::pointer(input))
        .or_else(|| text::page(input))
        .or_else(|| signature::certain(input))?;
    Some(input.error("CK001", what, remedy))
}

/// Whether a file begins as the pointers of git-lfs do.
pub(super) fn is_lfs_pointer(input: &Input) -> bool {
    text::is_lfs(&input.head)
}

/// Names a binary file that was changed on its way as if it were text; readers stumble over it anywhere.
pub(super) fn mangled(input: &mut Input) -> Option<ReadError> {
    let head = input.read_range(0, input.len.min(1 << 16)).unwrap_or_default();
    if carriage_returns(&head) {
        let what =
            "a binary file that was changed as if it were text (every line feed has a carriage return before it)";
        return Some(input.error("CK001", what, "transfer it again in binary mode; in git, mark the file as binary"));
    }
    if replacement_characters(&head) {
        let what = "a binary file that was read and written as text (it is full of replacement characters)";
        return Some(input.error("CK001", what, "download it again, as bytes and not as text"));
    }
    None
}

/// Names a file that no reader wanted.
pub(super) fn name(input: &mut Input) -> ReadError {
    if let Some(refusal) = mangled(input) {
        return refusal;
    }
    let named = archive::name(input).or_else(|| signature::likely(input)).or_else(|| text::name(input));
    let (what, remedy) = match named {
        Some(Naming::Cut(what, remedy)) => return input.error("CK005", what, remedy),
        Some(Naming::Is(what, remedy)) => (what, remedy),
        None => unknown(input),
    };
    input.error("CK001", what, remedy)
}

/// What a file is, and what to do.
type Named = (String, String);

/// How a file is named once the readers have had their turn.
enum Naming {
    /// It is something else.
    Is(String, String),
    /// It is a checkpoint, or an archive that may hold one, of which a part is missing.
    Cut(String, String),
}

fn empty(input: &Input) -> Option<Named> {
    (input.len == 0).then(|| ("an empty file (0 bytes)".into(), "download it again".into()))
}

fn unknown(input: &mut Input) -> Named {
    if input.len < 16 {
        return (format!("{} of a file that is no checkpoint", bytes(input.len)), "download it again".into());
    }
    if input.head.iter().all(|&b| b == 0) {
        return zeros(input);
    }
    if input.suffix() == "safetensors" {
        let what = "named like a safetensors file, and does not begin with the length of a header";
        return (what.to_owned(), "download it again; it may be encrypted or damaged".into());
    }
    let what = "not a format that ckdiff knows: neither safetensors, torch, pickle nor JSON".to_owned();
    (what, "hand over a .safetensors, .pth, .pt, .ckpt, .bin or .pkl file, or expected.json; this one may be encrypted or damaged".into())
}

/// The file begins with zeros; whether it goes on so is looked up at a few places, since it may be large.
fn zeros(input: &mut Input) -> Named {
    let mut only = true;
    for part in 1..=16u64 {
        let start = (input.len / 16).saturating_mul(part).min(input.len.saturating_sub(512));
        let count = 512.min(input.len - start);
        only &= input.read_range(start, count).is_ok_and(|bytes| bytes.iter().all(|&b| b == 0));
    }
    let what = if only { "zero bytes only, wherever one looks" } else { "a file whose beginning is zero bytes" };
    (format!("{what}: space was reserved for it, and the content never came"), "download it again".into())
}

/// Whether every line feed follows a carriage return, and there are enough of them to tell.
fn carriage_returns(head: &[u8]) -> bool {
    let feeds = head.iter().filter(|&&b| b == b'\n').count();
    let pairs = head.windows(2).filter(|w| w == b"\r\n").count();
    feeds >= 4 && feeds == pairs && std::str::from_utf8(head).is_err_and(|e| e.error_len().is_some())
}

/// Whether the bytes are full of U+FFFD, as what was no UTF-8 becomes when it is decoded and encoded again.
fn replacement_characters(head: &[u8]) -> bool {
    let count = head.windows(3).filter(|w| w == b"\xef\xbf\xbd").count();
    count >= 8 && count * 20 > head.len()
}

/// `1 byte`, `7 bytes`
fn bytes(n: u64) -> String {
    if n == 1 { "1 byte".into() } else { format!("{n} bytes") }
}

#[cfg(test)]
mod tests;
