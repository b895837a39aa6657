//! Pickles in places where no checkpoint has one: archives within archives, arrays of objects, members that are compressed once more,
//! archives of other programs. They are run for what they ask for, never for what they hold.

use super::archive::{Archive, Member};
use super::loaded::{Run, gather_all, open, run};
use super::world::{DEEPEST, Era, Inner};
use crate::read::pickle::{Source, opcode};

/// What is unpacked of one member or file, at most.
const MOST_UNPACKED: u64 = 32 << 20;
/// Members of another program's archive that are looked into.
const MOST_MEMBERS: usize = 2000;
/// What of a file's beginning tells its form: the mark of a tar stands farthest.
const HEAD: usize = 262;
/// The longest header of a `.npy`.
const LONGEST_HEADER: u64 = 1 << 20;

/// What a file or member holds that is no bare pickle, by its first bytes; `None` where it has none of the forms that are looked into.
pub(super) fn inside(source: &Source, depth: u32) -> Option<Inner> {
    let head = source.bytes(0, HEAD).unwrap_or_default();
    if !form(&head) {
        return None;
    }
    if depth >= DEEPEST {
        return Some(Inner {
            broken: Some(format!("archives within archives, more than {DEEPEST} deep")),
            ..Inner::default()
        });
    }
    if head.starts_with(b"\x93NUMPY") {
        return objects(source, &head, depth);
    }
    if head.starts_with(b"\x1f\x8b") || zlib(&head) {
        let unpacked = unpacked(source, &head)?;
        return Some(inside(&unpacked, depth + 1).unwrap_or_else(|| bare(&unpacked, depth)));
    }
    match open(source, depth + 1) {
        Ok(Some(loaded)) => Some(gather_all(&loaded)),
        // A broken archive is told by its own reader; here only what it asks for counts.
        Err(_) => None,
        Ok(None) if head.starts_with(b"PK") => Some(zip(source, depth)),
        Ok(None) => Some(tar(source, depth)),
    }
}

/// Whether [`inside`] would look into it.
pub(super) fn has_a_form(source: &Source) -> bool {
    form(&source.bytes(0, HEAD).unwrap_or_default())
}

/// Whether bytes begin as a zip, a tar, an array, PyTorch's legacy stream, or as what gzip or zlib packed.
fn form(head: &[u8]) -> bool {
    head.starts_with(b"PK\x03\x04")
        || head.get(257..262) == Some(b"ustar")
        || head.starts_with(b"\x93NUMPY")
        || head.starts_with(b"\x1f\x8b")
        || head.starts_with(super::legacy::START)
        || zlib(head)
}

/// The two bytes that zlib writes first: its method, and a check that they divide by 31.
fn zlib(head: &[u8]) -> bool {
    matches!(head, [0x78, flags, ..] if (0x7800 + u32::from(*flags)) % 31 == 0)
}

/// The globals of whatever pickle stands at the beginning.
fn bare(source: &Source, depth: u32) -> Inner {
    let mut inner = Inner::default();
    if let Some(run) = asking(source, 0, depth) {
        super::loaded::gather(&run, &mut inner);
    }
    inner
}

/// A pickle that asks for something.
fn asking(source: &Source, start: u64, depth: u32) -> Option<Run> {
    let first = source.bytes(start, 1).ok()?;
    opcode::name(*first.first()?)?;
    let run = run(source, start, Era::Bare, depth + 1, "");
    (!run.pickle.heap.globals.is_empty() || !run.world.nested.is_empty()).then_some(run)
}

/// An array of objects has a pickle in place of its numbers.
fn objects(source: &Source, head: &[u8], depth: u32) -> Option<Inner> {
    let number =
        |range: std::ops::Range<usize>| head.get(range).map(|b| b.iter().rev().fold(0, |n, &b| n << 8 | u64::from(b)));
    let (length, start) = match head.get(6) {
        Some(1) => (number(8..10)?, 10),
        _ => (number(8..12)?, 12),
    };
    let header = source.bytes(start, usize::try_from(length.min(LONGEST_HEADER)).ok()?).ok()?;
    if !header.contains(&b'O') {
        return None;
    }
    asking(source, start.checked_add(length)?, depth).map(|run| {
        let mut inner = Inner::default();
        super::loaded::gather(&run, &mut inner);
        inner
    })
}

/// What gzip or zlib packed, where that is not much.
fn unpacked(source: &Source, head: &[u8]) -> Option<Source> {
    let packed = source.bytes(0, usize::try_from(source.len().min(MOST_UNPACKED)).ok()?).ok()?;
    let limit = usize::try_from(MOST_UNPACKED.min(source.len().saturating_mul(200).saturating_add(1 << 20))).ok()?;
    let skip = if zlib(head) { 2 } else { gzip_header(&packed)? };
    let bytes = match miniz_oxide::inflate::decompress_to_vec_with_limit(packed.get(skip..)?, limit) {
        Ok(bytes) => bytes,
        // A pickle is run from its first byte on, so what could be unpacked counts.
        Err(cut) => cut.output,
    };
    Some(Source::memory(bytes))
}

/// Length of a gzip header (RFC 1952, 2.3).
fn gzip_header(bytes: &[u8]) -> Option<usize> {
    let flags = *bytes.get(3)?;
    let mut at = 10;
    if flags & 4 != 0 {
        at += 2 + usize::from(u16::from_le_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]));
    }
    for text in [8, 16] {
        if flags & text != 0 {
            at += bytes.get(at..)?.iter().position(|&b| b == 0)? + 1;
        }
    }
    Some(at + if flags & 2 != 0 { 2 } else { 0 })
}

/// Every member of a zip archive that is not PyTorch's.
fn zip(source: &Source, depth: u32) -> Inner {
    let mut all = Inner::default();
    let Ok(archive) = Archive::open(source) else { return all };
    // Members that share their bytes multiply the work, and nothing honest has them.
    let mut seen = std::collections::HashSet::new();
    let mut looked = 0;
    for member in archive.members.iter().filter(|m| m.size > 0 && seen.insert(m.header)) {
        looked += 1;
        if looked > MOST_MEMBERS {
            all.broken.get_or_insert(format!("more than {MOST_MEMBERS} members"));
            break;
        }
        let name = member_name(&archive, member);
        match archive.read(member, MOST_UNPACKED) {
            Ok(content) => add(&mut all, &name, &content, depth),
            Err(why) => _ = all.broken.get_or_insert_with(|| format!("{name}: {why}")),
        }
    }
    all
}

fn member_name(archive: &Archive, member: &Member) -> String {
    String::from_utf8_lossy(archive.name(member)).into_owned()
}

/// Every member of a tar archive that is not PyTorch's.
fn tar(source: &Source, depth: u32) -> Inner {
    let mut all = Inner::default();
    for (i, (name, content)) in super::tar::members(source).into_iter().enumerate() {
        if i >= MOST_MEMBERS {
            all.broken.get_or_insert(format!("more than {MOST_MEMBERS} members"));
            break;
        }
        add(&mut all, &name, &content, depth);
    }
    all
}

fn add(all: &mut Inner, name: &str, content: &Source, depth: u32) {
    let inner = inside(content, depth + 1).unwrap_or_else(|| bare(content, depth));
    all.globals.extend(inner.globals.into_iter().map(|(global, place)| (global, format!("{name}, {place}"))));
    if let Some(why) = inner.broken {
        all.broken.get_or_insert_with(|| format!("{name}: {why}"));
    }
}
