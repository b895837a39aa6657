//! The legacy stream of `torch.save` (0.1.10 to 1.5, and later on request), and pickles that stand by themselves.
//!
//! The stream is five pickles (magic number, protocol, the writing system, the object, the keys of its storages) and then, for
//! each key, the number of elements in eight bytes and the elements.

use super::keys::StorageKey;
use super::loaded::{Loaded, Refusal, Run, remark, run};
use super::world::Era;
use crate::checkpoint::{Coding, Format};
use crate::read::pickle::{Source, Value, opcode};

/// `MAGIC_NUMBER` of torch/serialization.py, little-endian.
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
/// How the legacy stream begins: the magic number in a pickle of protocol 2.
pub(super) const START: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";
/// `PROTOCOL_VERSION` of torch/serialization.py.
const PROTOCOL: i64 = 1001;
/// Pickles behind the first one that are looked at in a file of plain pickles.
const MOST_TRAILING: usize = 1000;

/// Bytes behind a pickle's end that are searched for another one, and opcodes that are run in vain for it.
const MOST_NOISE: usize = 4 << 20;
const MOST_STEPS: u64 = 1 << 20;

/// Zeros behind a pickle that are skipped.
const MOST_PADDING: usize = 4096;

/// First bytes of formats that begin with what is also an opcode.
const NOT_PICKLES: &[&[u8]] =
    &[b"\x89PNG", b"\x89HDF", b"Rar!", b"SQLite", b"GGUF", b"II*\0", b"RIFF", b"BZh", b"<", b"{", b"["];

/// Takes apart a file that starts with a pickle; `None` where it does not.
///
/// # Errors
/// Where it starts as a pickle and has nothing that can be read.
pub(super) fn open(source: &Source, depth: u32, head: &[u8]) -> Result<Option<Loaded>, Refusal> {
    let Some(&first_byte) = head.first() else { return Ok(None) };
    if NOT_PICKLES.iter().any(|magic| head.starts_with(magic)) || opcode::name(first_byte).is_none() {
        return Ok(None);
    }
    let first = run(source, 0, Era::Bare, depth, "");
    if is_magic(&first) {
        return stream(source, depth, first).map(Some);
    }
    // Text has opcodes for letters: what declares no protocol must reach its end, or have named a global before it broke.
    let declared = first_byte == 0x80;
    let complete = first.pickle.broken.is_none();
    if !declared && !complete && first.pickle.heap.globals.is_empty() {
        return Ok(None);
    }
    if looks_like_magic(&first) {
        let what =
            "the magic number at the start of the file is not PyTorch's: the file is damaged, or not what it seems";
        return Err(Refusal::new("CK060", what, "download it again"));
    }
    Ok(Some(bare(source, depth, first)))
}

/// Whether a pickle is nothing but PyTorch's magic number.
fn is_magic(run: &Run) -> bool {
    match run.pickle.root {
        Some(Value::Long(span)) => trimmed(run.pickle.heap.bytes(span)) == MAGIC,
        _ => false,
    }
}

/// Little-endian bytes without the sign's filling.
fn trimmed(bytes: &[u8]) -> &[u8] {
    let mut bytes = bytes;
    while let [rest @ .., 0] = bytes {
        bytes = rest;
    }
    bytes
}

fn looks_like_magic(run: &Run) -> bool {
    matches!(run.pickle.root, Some(Value::Long(_))) && run.pickle.steps <= 4
}

/// A file that is one pickle, perhaps with more behind it.
fn bare(source: &Source, depth: u32, first: Run) -> Loaded {
    let mut loaded = Loaded::new(Format::Pickle);
    let end = first.pickle.end;
    let go_on = first.pickle.broken.is_none();
    loaded.metadata.push(("protocol".into(), first.pickle.protocol.to_string()));
    if first.world.storages.iter().any(|s| !s.found) {
        let message =
            "the tensors' storages are not in this file: it is the data.pkl of a checkpoint, without the rest";
        loaded.remarks.push(remark("CK066", true, message, "hand over the whole checkpoint"));
    }
    loaded.runs.push(first);
    if go_on {
        trailing(source, end, depth, "", &mut loaded);
    }
    loaded
}

/// Pickles behind the end of one, which a plain load does not read: run for what they ask for.
pub(super) fn trailing(source: &Source, mut end: u64, depth: u32, place: &str, loaded: &mut Loaded) {
    let mut count = 0;
    while end < source.len() && count < MOST_TRAILING {
        // Padding is skipped, a little of it.
        let rest = source.bytes(end, MOST_PADDING).unwrap_or_default();
        let Some(skip) = rest.iter().position(|&b| b != 0) else { break };
        if rest.get(skip).is_none_or(|&b| opcode::name(b).is_none()) {
            break;
        }
        let start = end + skip as u64;
        let name = if place.is_empty() { format!("byte {start}") } else { format!("{place} from byte {start} on") };
        let next = run(source, start, Era::Bare, depth, name);
        if next.pickle.broken.is_some() && !asks(&next, rest.get(skip) == Some(&0x80)) {
            break;
        }
        let broken = next.pickle.broken.is_some();
        end = next.pickle.end;
        count += 1;
        loaded.runs.push(next);
        if broken {
            break;
        }
    }
    if let Some(next) = behind_noise(source, end, depth, place) {
        end = next.pickle.end;
        count += 1;
        loaded.runs.push(next);
    }
    let left = source.len().saturating_sub(end);
    // Zeros and the end of a line are padding; of anything else nothing is known.
    let rest = source.bytes(end, MOST_NOISE).unwrap_or_default();
    let unread = left > MOST_NOISE as u64 || rest.iter().any(|&b| b != 0 && !b.is_ascii_whitespace());
    let of = if place.is_empty() { String::new() } else { format!(" of {place}") };
    if count > 0 {
        let more = if count == 1 { "another pickle stands".into() } else { format!("{count} more pickles stand") };
        let message = format!("{more} behind the end{of}, where a plain load does not look");
        loaded.remarks.push(remark("CK505", true, message, "look at them before anything reads the file"));
    } else if left > 0 {
        let message = format!("{left} bytes stand behind the pickle's end{of} at byte {end}; they are not read");
        loaded.remarks.push(remark("CK067", unread, message, "find out what they are, or save the file again"));
    }
    loaded.unread |= unread;
}

/// The first pickle behind bytes that are none: one that declares a protocol and asks for something, or one of protocol 0 that reaches
/// its end and does. So much of the bytes is looked at, and so many places.
fn behind_noise(source: &Source, end: u64, depth: u32, place: &str) -> Option<Run> {
    let bytes = source.bytes(end, MOST_NOISE).ok()?;
    let mut steps = 0;
    for at in 0..bytes.len().saturating_sub(3) {
        let here = bytes.get(at..)?;
        let declared = matches!(here, [0x80, 0..=5, next, ..] if opcode::name(*next).is_some());
        if !declared && !names_global(here) {
            continue;
        }
        let start = end + at as u64;
        let name = if place.is_empty() { format!("byte {start}") } else { format!("{place} from byte {start} on") };
        let next = run(source, start, Era::Bare, depth, name);
        if asks(&next, declared) {
            return Some(next);
        }
        steps += next.pickle.steps;
        if steps > MOST_STEPS {
            break;
        }
    }
    None
}

/// Whether what was run as a pickle is one: it names a global, and is no text that happens to begin like that.
fn asks(run: &Run, declared: bool) -> bool {
    let globals = &run.pickle.heap.globals;
    !globals.is_empty() && (declared || run.pickle.broken.is_none() || globals.iter().any(|g| g.called))
}

/// Whether bytes begin with a GLOBAL: `c`, and two lines that are names.
fn names_global(bytes: &[u8]) -> bool {
    let Some(rest) = bytes.strip_prefix(b"c") else { return false };
    let mut lines = rest.get(..rest.len().min(200)).unwrap_or_default().split(|&b| b == b'\n');
    let name = |line: Option<&[u8]>| {
        line.is_some_and(|l| !l.is_empty() && l.iter().all(|&b| b.is_ascii_alphanumeric() || b == b'_' || b == b'.'))
    };
    let first = name(lines.next());
    first && name(lines.next()) && lines.next().is_some()
}

/// The five pickles and the storages behind them.
fn stream(source: &Source, depth: u32, first: Run) -> Result<Loaded, Refusal> {
    let mut loaded = Loaded::new(Format::TorchLegacy);
    let mut at = first.pickle.end;
    loaded.runs.push(Run { place: "pickle 1".into(), ..first });
    for number in 2..=5 {
        if at >= source.len() {
            return broken_off(loaded, number, at);
        }
        let era = if number == 4 { Era::Legacy } else { Era::Bare };
        let next = run(source, at, era, depth, format!("pickle {number}"));
        at = next.pickle.end;
        let broken = next.pickle.broken.is_some();
        loaded.runs.push(next);
        if number == 4 {
            loaded.main = 3;
        }
        if broken {
            if number < 4 {
                let why = loaded
                    .runs
                    .last()
                    .and_then(|r| r.pickle.broken.as_ref())
                    .map_or(String::new(), ToString::to_string);
                if loaded.runs.iter().all(|r| r.pickle.heap.globals.is_empty()) {
                    return Err(Refusal::new(
                        "CK060",
                        format!("pickle {number} of the legacy stream is broken: {why}"),
                        "download it again",
                    ));
                }
            }
            storages_not_in_file(&mut loaded);
            return Ok(loaded);
        }
    }
    let swapped = check_system(&mut loaded);
    place_storages(source, at, swapped, &mut loaded);
    Ok(loaded)
}

/// A stream that ends before its pickle `number`.
fn broken_off(mut loaded: Loaded, number: usize, at: u64) -> Result<Loaded, Refusal> {
    let what = format!("the legacy stream ends at byte {at}, before pickle {number} of 5: cut off, or half downloaded");
    if number <= 4 && loaded.runs.iter().all(|r| r.pickle.heap.globals.is_empty()) {
        return Err(Refusal::new("CK060", what, "download it again"));
    }
    loaded.cut = Some(what);
    storages_not_in_file(&mut loaded);
    Ok(loaded)
}

/// What the second and third pickle say; whether the bytes are in the other order.
fn check_system(loaded: &mut Loaded) -> bool {
    let root = |n: usize| loaded.runs.get(n).map(|run: &Run| (&run.pickle.heap, run.pickle.root));
    let protocol = match root(1) {
        Some((_, Some(Value::Int(protocol)))) => protocol,
        _ => 0,
    };
    let little = match root(2) {
        Some((heap, Some(Value::Dict(dict)))) => heap.lookup(dict, "little_endian"),
        _ => None,
    };
    let swapped = little == Some(Value::Bool(false));
    loaded.metadata.push(("protocol_version".into(), protocol.to_string()));
    if protocol != PROTOCOL {
        let message = format!("protocol version {protocol}; torch.load takes {PROTOCOL} only");
        loaded.remarks.push(remark("CK066", true, message, "save the checkpoint again"));
    }
    if swapped {
        loaded.metadata.push(("byteorder".into(), "big".into()));
    }
    swapped
}

/// Where each storage stands: eight bytes of count, then the elements, in the order of the fifth pickle.
fn place_storages(source: &Source, mut at: u64, swapped: bool, loaded: &mut Loaded) {
    let keys: Vec<StorageKey> = match loaded.runs.get(4) {
        Some(Run { pickle, .. }) => match pickle.root {
            Some(list @ (Value::List(_) | Value::Tuple(_))) => {
                pickle.heap.sequence(list).into_iter().map(|key| StorageKey::of_value(&pickle.heap, key)).collect()
            }
            _ => {
                loaded.cut = Some("the fifth pickle is no list of storages".into());
                Vec::new()
            }
        },
        None => return,
    };
    let Some(main) = loaded.runs.get_mut(3) else { return };
    let (storages, by_key) = (&mut main.world.storages, &main.world.by_key);
    let mut ended = None;
    let mut strangers = 0usize;
    let mut window = Window { source, start: 0, bytes: Vec::new() };
    for key in &keys {
        let Some(count) = window.number(at) else {
            ended = Some((key.clone(), at));
            break;
        };
        let Some(id) = by_key.get(key) else {
            // torch.load fails on a key that no tensor uses; nothing says how wide its elements are.
            strangers += 1;
            break;
        };
        let Some(storage) = storages.get_mut(id as usize) else { break };
        let count = if swapped { count.swap_bytes() } else { count };
        let bits = u64::from(storage.dtype.map_or(8, crate::checkpoint::Dtype::bits));
        let bytes = count.checked_mul(bits).map(|b| b.div_ceil(8));
        let data = at + 8;
        match bytes.and_then(|b| data.checked_add(b)).filter(|&end| end <= source.len()) {
            Some(end) => {
                storage.found = true;
                let bytes = end - data;
                if bytes < storage.bytes {
                    storage.wrong =
                        Some(format!("its storage holds {bytes} bytes, the pickle wants {}", storage.bytes).into());
                } else {
                    storage.bytes = bytes;
                }
                storage.start = source.place_in_file(data);
                storage.coding = if swapped { Coding::Swapped } else { Coding::Plain };
                at = end;
            }
            None => {
                ended = Some((key.clone(), at));
                break;
            }
        }
    }
    let missing = match &ended {
        Some((_, at)) => format!(
            "its data is not in the file, which ends after {} bytes (its place is byte {at} or later)",
            source.len()
        ),
        None => "its storage is not in the list of those that follow".to_owned(),
    };
    let mut lost = 0usize;
    for storage in storages.iter_mut().filter(|s| !s.found) {
        storage.found = true;
        // A storage without elements need not be there to be whole.
        storage.wrong = Some(missing.clone().into());
        lost += 1;
    }
    if let Some((key, at)) = ended {
        let message = format!(
            "the file ends before the data of {lost} storages, the first of them {key} at byte {at}: half downloaded"
        );
        loaded.remarks.push(remark("CK062", true, message, "download it again and compare the sizes"));
    } else if strangers > 0 {
        let message = "the list of storages names one that no tensor uses; torch.load refuses the file";
        loaded.remarks.push(remark("CK066", true, message, "save the checkpoint again"));
    } else if at < source.len() {
        let message =
            format!("{} bytes stand behind the last storage, from byte {at} on; they are not read", source.len() - at);
        loaded.remarks.push(remark("CK067", false, message, "find out what they are, or save the checkpoint again"));
    }
}

/// Of a stream whose pickles end too early: no storage can be found.
fn storages_not_in_file(loaded: &mut Loaded) {
    let Some(main) = loaded.runs.get_mut(3) else { return };
    for storage in main.world.storages.iter_mut().filter(|s| !s.found) {
        storage.found = true;
        storage.wrong = Some("its data is not in the file, which breaks off before it".into());
    }
}

/// Reads numbers at rising places; small storages lie close together, so a piece holds many.
struct Window<'a> {
    source: &'a Source,
    start: u64,
    bytes: Vec<u8>,
}

impl Window<'_> {
    fn number(&mut self, at: u64) -> Option<u64> {
        let mut found = self.within(at);
        if found.is_none() {
            // As much again as the last step, so that large tensors between numbers are not read.
            let near = at.saturating_sub(self.start) < 64 * 1024 && !self.bytes.is_empty();
            self.bytes = self.source.bytes(at, if near { 256 * 1024 } else { 8 }).ok()?;
            self.start = at;
            found = self.within(at);
        }
        found
    }

    fn within(&self, at: u64) -> Option<u64> {
        let from = usize::try_from(at.checked_sub(self.start)?).ok()?;
        let bytes = self.bytes.get(from..from.checked_add(8)?)?;
        Some(u64::from_le_bytes(bytes.try_into().ok()?))
    }
}
