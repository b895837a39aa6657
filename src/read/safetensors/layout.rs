//! Whether the byte ranges of a header cover the data once and without gaps, as the format asks for.

use std::collections::HashSet;

use super::{Header, PREFIX};
use crate::checkpoint::{Checkpoint, Remark, TensorInfo, Unreadable, quoted};
use crate::read::names::{examples, given_twice, repeated};

/// How many gaps or overlaps are written out.
const SHOWN: usize = 3;

/// A tensor's bytes, counted from the start of the data.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Range {
    start: u64,
    end: u64,
    /// Position in the list of tensors.
    tensor: usize,
}

/// Checks the layout against the `size` bytes of data that the file holds, and takes out what cannot be read.
pub(super) fn checked(mut header: Header, size: u64) -> Checkpoint {
    let last_of_name = drop_earlier(&mut header);
    if let Some((at, why)) =
        header.faults.iter().find(|(at, _)| last_of_name.contains(at) && header.broken.contains(at))
    {
        let key = header.out.tensors.get(*at).map_or("", |t| &*t.path);
        header.complain(format!("the first entry of {}, which a later one replaces: {why}", quoted(key)));
    }
    let Header { mut out, data, faults, next, in_order, .. } = header;
    let mut faults = faults;
    let mut lost = last_of_name;
    faults.retain(|f| !lost.contains(&f.0));
    if in_order && next == size && lost.is_empty() && faults.is_empty() {
        out.containers[0].tensors = out.tensors.len();
        return out;
    }
    let ranges = ranges(&out, data, &lost);
    let seams = Seams::of(&ranges);
    let end = ranges.iter().map(|r| r.end).max().unwrap_or(0);
    // Where a tensor has no range at all, it may be the one that a gap belongs to.
    let placed = faults.iter().all(|f| out.tensors.get(f.0).is_some_and(|t| t.placement.is_some()));
    if end > size && !seams.gaps.is_empty() {
        for r in ranges.iter().filter(|r| r.end > size) {
            faults
                .push((r.tensor, format!("data_offsets [{}, {}] lie beyond the {size} bytes of data", r.start, r.end)));
        }
    }
    faults.sort_by_key(|f| f.0);
    faults.dedup_by_key(|f| f.0);
    report(&mut out, &faults);
    if placed {
        let remarks = seams.remarks(&out.tensors);
        out.remarks.extend(remarks);
    }
    if end > size && seams.gaps.is_empty() {
        out.complete = false;
        out.remarks.push(half(&out, &ranges, data, end, size));
    } else if end < size && placed {
        let message = match end {
            0 => format!("the header lists no bytes, but {size} bytes of data follow"),
            _ => format!(
                "{} bytes follow after the last tensor, which ends at byte {}",
                size - end,
                data.saturating_add(end)
            ),
        };
        out.remarks.push(layout_error(
            message,
            "something was appended, or tensors are missing from the header",
            Vec::new(),
        ));
    }
    lost.extend(faults.iter().map(|f| f.0));
    let mut at = 0;
    out.tensors.retain(|_| {
        at += 1;
        !lost.contains(&(at - 1))
    });
    out.containers[0].tensors = out.tensors.len();
    out
}

/// Finds names that occur more than once. The library keeps the last of each and says nothing; the positions of the others are returned.
fn drop_earlier(header: &mut Header) -> HashSet<usize> {
    let (earlier, names) = repeated(&header.out.tensors);
    if !names.is_empty() {
        let remark = given_twice(&names, "the library keeps the last one and says nothing; write the file again");
        header.out.remarks.push(remark);
    }
    earlier
}

fn ranges(out: &Checkpoint, data: u64, lost: &HashSet<usize>) -> Vec<Range> {
    let range = |(tensor, t): (usize, &TensorInfo)| {
        let storage = out.storages.get(t.placement.as_ref()?.storage as usize)?;
        let start = storage.start?.checked_sub(data)?;
        Some(Range { start, end: start.checked_add(storage.bytes)?, tensor })
    };
    let mut ranges: Vec<Range> =
        out.tensors.iter().enumerate().filter(|(i, _)| !lost.contains(i)).filter_map(range).collect();
    ranges.sort_unstable();
    ranges
}

/// Where neighbouring ranges do not meet.
#[derive(Default)]
struct Seams {
    /// First byte, the one after the last, and the tensor that follows.
    gaps: Vec<Range>,
    /// The bytes shared, and the tensor on either side.
    overlaps: Vec<(Range, usize)>,
}

impl Seams {
    fn of(ranges: &[Range]) -> Seams {
        let mut out = Seams::default();
        let (mut end, mut owner) = (0, 0);
        for r in ranges {
            if r.start > end {
                out.gaps.push(Range { start: end, end: r.start, tensor: r.tensor });
            } else if r.start < end {
                out.overlaps.push((Range { start: r.start, end: r.end.min(end), tensor: r.tensor }, owner));
            }
            if r.end >= end {
                (end, owner) = (r.end, r.tensor);
            }
        }
        out
    }

    fn remarks(&self, tensors: &[TensorInfo]) -> Vec<Remark> {
        let name = |at: usize| tensors.get(at).map_or("", |t| &*t.path);
        let more = |n: usize| if n > SHOWN { format!(", and {} more", n - SHOWN) } else { String::new() };
        let mut out = Vec::new();
        if !self.gaps.is_empty() {
            let shown: Vec<String> = (self.gaps.iter().take(SHOWN))
                .map(|g| format!("bytes {} to {} of the data, before {}", g.start, g.end, quoted(name(g.tensor))))
                .collect();
            let message = format!("no tensor covers {}{}", shown.join("; "), more(self.gaps.len()));
            out.push(layout_error(message, "", examples(self.gaps.iter().map(|g| name(g.tensor)))));
        }
        if !self.overlaps.is_empty() {
            let shown: Vec<String> = (self.overlaps.iter().take(SHOWN))
                .map(|(r, owner)| {
                    format!(
                        "{} and {} both hold bytes {} to {} of the data",
                        quoted(name(*owner)),
                        quoted(name(r.tensor)),
                        r.start,
                        r.end
                    )
                })
                .collect();
            let message = format!("{}{}", shown.join("; "), more(self.overlaps.len()));
            out.push(layout_error(message, "", examples(self.overlaps.iter().map(|(r, _)| name(r.tensor)))));
        }
        out
    }
}

fn layout_error(message: String, help: &str, examples: Vec<String>) -> Remark {
    let refuses = "the safetensors library refuses the file; write it again";
    let help = if help.is_empty() { refuses.into() } else { format!("{help}; {refuses}") };
    Remark { code: "CK007", error: true, message, help, examples }
}

/// The file ends before its last tensor does.
fn half(out: &Checkpoint, ranges: &[Range], data: u64, end: u64, size: u64) -> Remark {
    let cut: Vec<&Range> = ranges.iter().filter(|r| r.end > size).collect();
    let whole = data.saturating_add(end);
    let message = format!(
        "the file ends {} bytes early (half a download): {} of {whole} bytes are there, {} of {} tensors are cut off",
        end - size,
        data.saturating_add(size).max(PREFIX),
        cut.len(),
        ranges.len()
    );
    let names = cut.iter().filter_map(|r| out.tensors.get(r.tensor)).map(|t| &*t.path);
    Remark { code: "CK005", error: true, message, help: "download it again".into(), examples: examples(names) }
}

/// Lists the tensors that cannot be read.
fn report(out: &mut Checkpoint, faults: &[(usize, String)]) {
    let Some((first, why)) = faults.first() else { return };
    let name = |at: usize| out.tensors.get(at).map_or("", |t| &*t.path);
    let message = match faults.len() {
        1 => format!("{}: {why}", quoted(name(*first))),
        n => format!("{n} tensors cannot be read, the first is {}: {why}", quoted(name(*first))),
    };
    let remark = Remark {
        code: "CK008",
        error: true,
        message,
        help: "the safetensors library refuses the whole file for it; write it again".into(),
        examples: examples(faults.iter().map(|f| name(f.0))),
    };
    let unreadable: Vec<Unreadable> =
        faults.iter().map(|(at, why)| Unreadable { path: name(*at).into(), why: why.clone() }).collect();
    out.remarks.push(remark);
    out.unreadable.extend(unreadable);
}
