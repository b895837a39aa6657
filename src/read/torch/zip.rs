//! The zip container of `torch.save` (since 1.6), `torch.jit.save` and the lite interpreter.

use super::archive::{Archive, Member, NoArchive};
use super::keys::{KeyMap, StorageKey};
use super::loaded::{Loaded, Refusal, remark, run};
use super::world::{Era, TorchWorld};
use super::{hidden, script};
use crate::checkpoint::{Coding, Format};
use crate::read::pickle::Source;

/// Pickles and code that are unpacked, at most each; stored members are read in place.
pub(super) const MOST_UNPACKED: u64 = 256 << 20;
/// Small text members.
const MOST_TEXT: u64 = 4096;
/// All generated code of an archive together.
const MOST_CODE: u64 = 64 << 20;
/// Newest `version` that PyTorch reads (`kMaxSupportedFileFormatVersion`).
const NEWEST_VERSION: u64 = 10;

/// Takes a zip archive apart; `None` where it has no directory or nothing of PyTorch's in it.
///
/// # Errors
/// Where its directory or its data.pkl is broken.
pub(super) fn open(source: &Source, depth: u32) -> Result<Option<Loaded>, Refusal> {
    match Archive::open(source) {
        Ok(archive) => taken_apart(&archive, depth),
        Err(NoArchive::Missing) => Ok(None),
        Err(NoArchive::Broken(why)) => {
            let what = format!("a broken zip archive of {} bytes: {why}", source.len());
            Err(Refusal::new("CK061", what, "download or copy it again and compare the sizes"))
        }
    }
}

/// As [`open`], of a file whose first bytes are not those of a zip; `None` where there is no archive at its end.
pub(super) fn open_prefixed(source: &Source, depth: u32) -> Option<Loaded> {
    let archive = Archive::open(source).ok().filter(|archive| archive.prefix > 0)?;
    taken_apart(&archive, depth).ok().flatten()
}

fn taken_apart(archive: &Archive, depth: u32) -> Result<Option<Loaded>, Refusal> {
    let Some((folder, data)) = find_data(archive) else { return Ok(None) };
    let mut loaded = Loaded::new(Format::TorchZip);
    let expected = archive.folder().unwrap_or_default();
    if !expected.eq_ignore_ascii_case(&folder) {
        let message = format!(
            "PyTorch looks for data.pkl in the folder of the first member ({:?}), it stands in {:?}",
            String::from_utf8_lossy(expected),
            String::from_utf8_lossy(&folder)
        );
        loaded.remarks.push(remark("CK066", true, message, "torch.load refuses it; pack it again with one folder"));
    }
    let text = |name: &str| text_member(archive, &folder, name);
    for name in ["version", "byteorder", ".format_version", ".storage_alignment", ".data/version"] {
        if let Some(text) = text(name) {
            loaded.metadata.push((name.into(), text.trim().into()));
        }
    }
    let script = !archive.find(&[&folder, b"constants.pkl".as_slice()].concat()).is_empty();
    if script {
        loaded.format = Format::TorchScript;
        loaded.classes = Some(code(archive, &folder, &mut loaded));
    }
    check_version(&mut loaded, script);
    let order = text("byteorder");
    let swapped = order.as_deref() == Some("big");
    if let Some(order) = &order
        && !["little", "big"].contains(&order.as_str())
    {
        let message = format!("the byteorder record says {order:?}; torch.load refuses all but little and big");
        loaded.remarks.push(remark("CK066", true, message, "save the checkpoint again"));
    }

    let mut behind = Vec::new();
    // Every member called data.pkl is read; of several PyTorch takes the last.
    for (n, &index) in data.iter().enumerate() {
        let Some(member) = archive.members.get(index) else { continue };
        let place = String::from_utf8_lossy(archive.name(member)).into_owned();
        match archive.read(member, MOST_UNPACKED) {
            Ok(source) if source.is_empty() => {
                return Err(Refusal::new(
                    "CK060",
                    format!("{place} is empty"),
                    "save or download the checkpoint again",
                ));
            }
            Ok(source) => {
                let run = run(&source, 0, Era::Zip, depth, place.clone());
                let (end, whole) = (run.pickle.end, run.pickle.broken.is_none());
                loaded.runs.push(run);
                if whole {
                    behind.push((source, end, place));
                }
            }
            Err(why) if n + 1 == data.len() => {
                return Err(Refusal::new("CK061", format!("{place} cannot be read: {why}"), "download it again"));
            }
            Err(why) => loaded.cut = Some(format!("{place}: {why}")),
        }
    }
    let mut mentioned = vec![false; archive.members.len()];
    for &index in &data {
        mentioned[index] = true;
    }
    let mut disagree = Vec::new();
    loaded.main = loaded.runs.len().saturating_sub(1);
    if let Some(main) = loaded.runs.last_mut() {
        let records = records(archive, &folder);
        place_storages(archive, &records, &mut main.world, (swapped, script), &mut mentioned, &mut disagree);
    }
    for (source, end, place) in behind {
        super::legacy::trailing(&source, end, depth, &place, &mut loaded);
    }
    hidden::look(archive, &folder, depth, &mentioned, &mut disagree, &mut loaded);
    structure(archive, disagree, &mut loaded);
    Ok(Some(loaded))
}

/// The folder that holds data.pkl (with its slash), and the members so called.
fn find_data(archive: &Archive) -> Option<(Vec<u8>, Vec<usize>)> {
    if let Some(folder) = archive.folder() {
        let found = archive.find(&[folder, b"data.pkl"].concat());
        if !found.is_empty() {
            return Some((folder.to_vec(), found));
        }
    }
    // Packed by hand: anywhere, the shortest path first.
    let lower = |m: &Member| archive.name(m).to_ascii_lowercase();
    let found = archive.members.iter().filter(|m| {
        let name = lower(m);
        name == b"data.pkl" || name.ends_with(b"/data.pkl")
    });
    let member = found.min_by_key(|m| archive.name(m).len())?;
    let name = archive.name(member);
    let folder = name.get(..name.len() - b"data.pkl".len())?.to_vec();
    let same = archive.find(name);
    Some((folder, same))
}

fn text_member(archive: &Archive, folder: &[u8], name: &str) -> Option<String> {
    let index = *archive.find(&[folder, name.as_bytes()].concat()).first()?;
    let source = archive.read(archive.members.get(index)?, MOST_TEXT).ok()?;
    let bytes = source.bytes(0, MOST_TEXT as usize).ok()?;
    Some(String::from_utf8_lossy(&bytes).chars().take(200).collect())
}

fn check_version(loaded: &mut Loaded, script: bool) {
    let version = loaded.metadata.iter().find(|(name, _)| name == "version" || name == ".data/version");
    let (message, error) = match version {
        None => ("the archive has no version record; torch.load refuses it".to_owned(), true),
        Some((_, text)) => match text.parse::<u64>() {
            Ok(version) if (1..=NEWEST_VERSION).contains(&version) => return,
            Ok(version) if script => {
                (format!("format version {version} is newer than {NEWEST_VERSION}, the newest known"), true)
            }
            Ok(version) => (format!("format version {version}; PyTorch reads 1 to {NEWEST_VERSION}"), true),
            Err(_) => (format!("the version record says {text:?}, which is no number"), true),
        },
    };
    loaded.remarks.push(remark("CK066", error, message, "save the checkpoint again with torch.save"));
}

/// The class declarations of TorchScript's generated code.
fn code(archive: &Archive, folder: &[u8], loaded: &mut Loaded) -> script::Classes {
    let mut classes = script::Classes::new();
    let mut left = MOST_CODE;
    let mut count = 0;
    for member in &archive.members {
        let name = archive.name(member);
        let Some(inner) = name.strip_prefix(folder).and_then(|n| std::str::from_utf8(n).ok()) else { continue };
        if !inner.starts_with("code/") || !inner.ends_with(".py") {
            continue;
        }
        count += 1;
        match archive.read(member, left) {
            Ok(source) if source.len() <= left => {
                left -= source.len();
                let bytes = source.bytes(0, usize::try_from(source.len()).unwrap_or(0)).unwrap_or_default();
                script::classes(inner, &String::from_utf8_lossy(&bytes), &mut classes);
            }
            Ok(_) => loaded.cut = Some(format!("more than {MOST_CODE} bytes of generated code")),
            Err(why) => {
                loaded.cut.get_or_insert(format!("{}: {why}", String::from_utf8_lossy(name)));
            }
        }
    }
    if count > 0 {
        loaded.metadata.push(("code".into(), format!("{count} members of TorchScript code")));
    }
    classes
}

/// The members below `data/` by what stands behind it. Of members with one name PyTorch takes the last.
fn records(archive: &Archive, folder: &[u8]) -> KeyMap {
    let mut records = KeyMap::default();
    let start = folder.len() + b"data/".len();
    for (i, member) in archive.members.iter().enumerate() {
        let name = archive.name(member);
        let inside = name.get(..start).is_some_and(|p| {
            p.get(..folder.len()).is_some_and(|f| f.eq_ignore_ascii_case(folder))
                && p.get(folder.len()..).is_some_and(|d| d.eq_ignore_ascii_case(b"data/"))
        });
        if let Some(key) = name.get(start..).filter(|_| inside) {
            records.insert(StorageKey::of(key), i as u32);
        }
    }
    records
}

/// Finds the record of every storage, and checks that it holds what the pickle says.
fn place_storages(
    archive: &Archive,
    records: &KeyMap,
    world: &mut TorchWorld,
    (swapped, script): (bool, bool),
    mentioned: &mut [bool],
    disagree: &mut Vec<String>,
) {
    let mut wanted = Vec::with_capacity(world.storages.len());
    let mut of = Vec::with_capacity(world.storages.len());
    for (id, storage) in world.storages.iter_mut().enumerate() {
        if storage.found {
            continue;
        }
        match records.get(&storage.key) {
            Some(index) => {
                let index = index as usize;
                mentioned[index] = true;
                wanted.push(index);
                of.push(id);
            }
            None => storage.wrong = Some(format!("its record data/{} is not in the archive", storage.key).into()),
        }
    }
    for ((index, id), local) in wanted.iter().zip(of).zip(archive.locals(&wanted)) {
        let (Some(member), Some(storage)) = (archive.members.get(*index), world.storages.get_mut(id)) else { continue };
        storage.found = true;
        let key = &storage.key;
        let wrong = match local {
            Err(why) => Some(format!("record data/{key}: {why}")),
            Ok(_) if member.encrypted => Some(format!("record data/{key} is encrypted")),
            Ok(_) if member.method != 0 && member.method != 8 => {
                Some(format!("record data/{key} has compression method {}, neither stored nor deflated", member.method))
            }
            // PyTorch wants the exact size; the interpreter of TorchScript does not look.
            Ok(_) if member.size < storage.bytes || (member.size > storage.bytes && !script) => {
                Some(format!("record data/{key} has {} bytes, the pickle wants {}", member.size, storage.bytes))
            }
            // Deflate packs 1:1032 at best.
            Ok(_) if member.method == 8 && member.size > member.packed.saturating_mul(1033).saturating_add(64) => {
                Some(format!("record data/{key} claims {} bytes packed into {}", member.size, member.packed))
            }
            Ok(_) if member.method == 0 && member.packed != member.size => {
                Some(format!("record data/{key} is stored, yet has {} and {} bytes", member.packed, member.size))
            }
            Ok(local) => {
                if !local.agrees && disagree.len() < 5 {
                    disagree.push(String::from_utf8_lossy(archive.name(member)).into_owned());
                }
                storage.start = archive.source.place_in_file(local.data);
                storage.coding = match (member.method, swapped) {
                    (0, false) => Coding::Plain,
                    (0, true) => Coding::Swapped,
                    (_, swapped) => Coding::Deflated { packed: member.packed, swapped },
                };
                None
            }
        };
        storage.wrong = wrong.map(Into::into);
    }
}

/// What PyTorch, or a person who unpacks it, would see otherwise.
fn structure(archive: &Archive, mut disagree: Vec<String>, loaded: &mut Loaded) {
    let twice = archive.duplicates();
    if !twice.is_empty() {
        let mut remark = remark(
            "CK506",
            true,
            "the archive has members of the same name; which of them is read depends on the reader",
            "pack it again with each member once, after looking at both",
        );
        remark.examples = twice;
        loaded.remarks.push(remark);
    }
    for &index in loaded
        .runs
        .iter()
        .filter_map(|r| archive.find(r.place.as_bytes()).first().copied())
        .collect::<Vec<_>>()
        .iter()
        .take(16)
    {
        let Some(member) = archive.members.get(index) else { continue };
        if archive.local(member).is_ok_and(|local| !local.agrees) {
            disagree.push(String::from_utf8_lossy(archive.name(member)).into_owned());
        }
    }
    if !disagree.is_empty() {
        let mut remark = remark(
            "CK506",
            true,
            "local headers do not agree with the archive's directory, or members reach into each other; readers that trust one or the other read different files",
            "pack it again after looking at both",
        );
        remark.examples = disagree.into_iter().take(5).collect();
        loaded.remarks.push(remark);
    }
    if archive.prefix > 0 {
        let message = format!("{} bytes stand before the zip archive; torch.load refuses such a file", archive.prefix);
        loaded.remarks.push(remark("CK066", true, message, "cut them off, or save the checkpoint again"));
    }
    if !archive.oddities.is_empty() {
        let message = format!("the zip archive is not sound: {}", archive.oddities.join("; "));
        loaded.remarks.push(remark("CK066", true, message, "torch.load refuses it; download or pack it again"));
    }
    let unsafe_name = |name: &[u8]| {
        name.starts_with(b"/")
            || name.get(1) == Some(&b':')
            || name.split(|&b| b == b'/' || b == b'\\').any(|part| part == b"..")
            || name.len() > 4096
    };
    let mut outside = archive.members.iter().filter(|m| unsafe_name(archive.name(m)));
    let examples: Vec<String> = outside
        .by_ref()
        .take(5)
        .map(|m| String::from_utf8_lossy(archive.name(m)).chars().take(200).collect())
        .collect();
    if !examples.is_empty() {
        let mut remark = remark(
            "CK507",
            true,
            "the archive has members whose names lead out of the folder it is unpacked into",
            "do not unpack it; torch.load itself leaves them alone",
        );
        remark.examples = examples;
        loaded.remarks.push(remark);
    }
    let mut headers: Vec<u64> = archive.members.iter().map(|m| m.header).collect();
    headers.sort_unstable();
    let shared = headers.windows(2).filter(|pair| pair[0] == pair[1]).count();
    if shared > 0 {
        let message = format!("{} members of the archive share their bytes with another one", shared + 1);
        loaded.remarks.push(remark("CK506", true, message, "no program writes such an archive; do not unpack it"));
    }
}
