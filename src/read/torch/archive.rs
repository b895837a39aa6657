//! Zip archives as PyTorch reads them: the central directory, and single members; never the whole file.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};

use rawzip::ZipLocator;

use super::end::End;

use crate::read::pickle::Source;

/// How far from the end the directory's record is looked for: its comment has at most 64 KiB, PyTorch looks no further.
pub(super) const SEARCH: u64 = 68 * 1024;
/// Members, at most. The largest real checkpoints have a few hundred thousand.
const MOST_MEMBERS: usize = 8_000_000;

/// Signature, checksum and two sizes of 64 bits (APPNOTE.TXT 4.3.9).
const LONGEST_DESCRIPTOR: u64 = 24;

/// One member of the directory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member {
    name: (u32, u32),
    /// 0 stored, 8 deflated.
    pub method: u16,
    /// Bytes in the file.
    pub packed: u64,
    /// Bytes when unpacked.
    pub size: u64,
    /// Where its local header stands.
    pub header: u64,
    /// Where the next member begins, or the directory.
    next: u64,
    pub encrypted: bool,
}

/// A zip archive's directory.
#[derive(Debug)]
pub(super) struct Archive {
    pub source: Source,
    pub members: Vec<Member>,
    names: Vec<u8>,
    /// What PyTorch or Python's zipfile would see otherwise; ready to be shown.
    pub oddities: Vec<String>,
    /// Bytes before the archive's first byte.
    pub prefix: u64,
}

/// Why an archive cannot be opened.
#[derive(Clone, Debug)]
pub(super) enum NoArchive {
    /// No record of a directory near the end.
    Missing,
    /// What is wrong with the directory.
    Broken(String),
}

/// Where a member's bytes stand, from its local header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Local {
    pub data: u64,
    /// Whether it says what the directory says, and its bytes end right before what comes next.
    pub agrees: bool,
}

impl Archive {
    /// Reads the central directory.
    ///
    /// # Errors
    /// Where there is none, or a broken one.
    pub(super) fn open(source: &Source) -> Result<Archive, NoArchive> {
        match Archive::open_by(source, End::find(source)) {
            Err(NoArchive::Broken(why)) => {
                Archive::open_by(source, End::narrow(source)).map_err(|_| NoArchive::Broken(why))
            }
            other => other,
        }
    }

    fn open_by(source: &Source, end: End<'_>) -> Result<Archive, NoArchive> {
        let mut buffer = vec![0; 64 * 1024];
        let oddities = end.oddities();
        let located = ZipLocator::new().max_search_space(SEARCH).locate_in_reader(end, &mut buffer, source.len());
        let zip = located.map_err(|(_, e)| match e.kind() {
            rawzip::ErrorKind::MissingEndOfCentralDirectory => NoArchive::Missing,
            _ => NoArchive::Broken(e.to_string()),
        })?;
        let mut archive =
            Archive { source: source.clone(), members: Vec::new(), names: Vec::new(), oddities, prefix: 0 };
        archive.check_end(zip.eocd_offset());
        let declared = zip.entries_hint();
        let directory = zip.directory_offset();
        let mut entries = zip.entries(&mut buffer);
        let mut first = u64::MAX;
        loop {
            let entry = match entries.next_entry() {
                Ok(Some(entry)) => entry,
                Ok(None) => break,
                Err(e) if archive.members.is_empty() => {
                    return Err(NoArchive::Broken(format!("its directory is broken: {e}")));
                }
                Err(e) => {
                    let count = archive.members.len();
                    archive.oddities.push(format!("its directory breaks off after {count} of {declared} members: {e}"));
                    break;
                }
            };
            let name = entry.file_path();
            let name = name.as_bytes();
            if archive.members.len() >= MOST_MEMBERS || archive.names.len() + name.len() > u32::MAX as usize {
                return Err(NoArchive::Broken(format!("its directory has more than {MOST_MEMBERS} members")));
            }
            let place = (archive.names.len() as u32, name.len() as u32);
            archive.names.extend_from_slice(name);
            first = first.min(entry.local_header_offset());
            archive.members.push(Member {
                name: place,
                method: entry.compression_method().as_u16(),
                packed: entry.compressed_size_hint(),
                size: entry.uncompressed_size_hint(),
                header: entry.local_header_offset(),
                next: directory,
                encrypted: entry.flags().is_encrypted(),
            });
        }
        let count = archive.members.len() as u64;
        if declared != count {
            archive.oddities.push(format!("its directory declares {declared} members and holds {count}"));
        }
        archive.find_neighbours();
        archive.prefix = if first == u64::MAX { 0 } else { first };
        Ok(archive)
    }

    /// Notes for every member where the one behind it begins.
    fn find_neighbours(&mut self) {
        let mut headers: Vec<u64> = self.members.iter().map(|m| m.header).collect();
        headers.sort_unstable();
        for member in &mut self.members {
            let behind = headers.partition_point(|&h| h <= member.header);
            member.next = headers.get(behind).map_or(member.next, |&h| h.min(member.next));
        }
    }

    /// Looks at what rawzip passes over in the end record: disks, and the two counts.
    fn check_end(&mut self, at: u64) {
        let record = self.source.bytes(at, 22).unwrap_or_default();
        let number = |i: usize| record.get(i..i + 2).map_or(0, |b| u16::from_le_bytes([b[0], b[1]]));
        let (disk, start_disk, here, total) = (number(4), number(6), number(8), number(10));
        if (disk, start_disk) != (0, 0) && (disk, start_disk) != (0xffff, 0xffff) {
            self.oddities.push(format!("it claims to be disk {disk} of an archive in several parts"));
        }
        let wide =
            |i: usize| record.get(i..i + 4).map_or(0, |b| u64::from(u32::from_le_bytes([b[0], b[1], b[2], b[3]])));
        let (size, start) = (wide(12), wide(16));
        let unknown = u64::from(u32::MAX);
        if size != unknown && start != unknown && (size + start > at || size < 46 * u64::from(total)) {
            self.oddities
                .push(format!("its directory is said to have {size} bytes at byte {start}, and ends before byte {at}"));
        }
        if here != total {
            self.oddities.push(format!("it declares {here} members on this disk and {total} in all"));
        }
    }

    /// The name of a member as it stands in the directory.
    pub(super) fn name(&self, member: &Member) -> &[u8] {
        let (start, len) = member.name;
        self.names.get(start as usize..start as usize + len as usize).unwrap_or_default()
    }

    /// The folder that PyTorch takes for the archive's: that of the first member, with its slash.
    pub(super) fn folder(&self) -> Option<&[u8]> {
        let name = self.name(self.members.first()?);
        let slash = name.iter().position(|&b| b == b'/')?;
        name.get(..=slash)
    }

    /// Numbers of the members with this name; PyTorch does not tell capitals from small letters.
    pub(super) fn find(&self, name: &[u8]) -> Vec<usize> {
        let same = |m: &Member| m.name.1 as usize == name.len() && self.name(m).eq_ignore_ascii_case(name);
        self.members.iter().enumerate().filter(|(_, m)| same(m)).map(|(i, _)| i).collect()
    }

    /// Reads the local header of a member.
    ///
    /// # Errors
    /// Why there is none, or why it leads out of the file.
    pub(super) fn local(&self, member: &Member) -> Result<Local, String> {
        let bytes = self.source.bytes(member.header, 30 + member.name.1 as usize).map_err(|e| e.to_string())?;
        self.local_in(member, &bytes)
    }

    fn local_in(&self, member: &Member, bytes: &[u8]) -> Result<Local, String> {
        let Some(fixed) = bytes.get(..30).filter(|b| b.starts_with(b"PK\x03\x04")) else {
            return Err(format!("no local header at byte {}", member.header));
        };
        let number = |i: usize| u16::from_le_bytes([fixed[i], fixed[i + 1]]);
        let (method, name, extra) = (number(8), number(26), number(28));
        let data = member.header + 30 + u64::from(name) + u64::from(extra);
        let same_name = bytes.get(30..).is_some_and(|rest| rest.starts_with(self.name(member)));
        // Behind a member stands at most its data descriptor: more is for a reader that goes by the local headers.
        let apart = data.checked_add(member.packed).and_then(|end| member.next.checked_sub(end));
        let apart = apart.is_some_and(|gap| gap <= LONGEST_DESCRIPTOR);
        let agrees = usize::from(name) == member.name.1 as usize && same_name && method == member.method && apart;
        // What is stored as it is has one size.
        let agrees = agrees && (method != 0 || member.packed == member.size);
        if data.checked_add(member.packed).is_none_or(|end| end > self.source.len()) {
            let left = self.source.len().saturating_sub(data);
            return Err(format!("it has {} bytes from byte {data} on, and the file ends after {left}", member.packed));
        }
        Ok(Local { data, agrees })
    }

    /// Local headers of many members, read in as few pieces as their places allow. `None` for those that cannot be read.
    pub(super) fn locals(&self, members: &[usize]) -> Vec<Result<Local, String>> {
        let mut order: Vec<usize> = (0..members.len()).collect();
        let header = |i: usize| members.get(i).and_then(|&m| self.members.get(m)).map_or(0, |m| m.header);
        order.sort_by_key(|&i| header(i));
        let mut locals: Vec<Result<Local, String>> = vec![Err(String::new()); members.len()];
        let (mut window, mut from) = (Vec::new(), 0u64);
        for (n, &i) in order.iter().enumerate() {
            let Some(member) = members.get(i).and_then(|&m| self.members.get(m)) else { continue };
            let wanted = 30 + member.name.1 as usize;
            let inside = |window: &[u8], from: u64| {
                let at = usize::try_from(member.header.checked_sub(from)?).ok()?;
                let end = at.checked_add(wanted).filter(|&end| end <= window.len())?;
                Some(at..end)
            };
            if inside(&window, from).is_none() {
                // Small tensors lie close together: then one piece holds many headers.
                let dense = order.get(n + 16).is_some_and(|&later| header(later) - member.header < 64 * 1024);
                let count = if dense { 256 * 1024 } else { wanted };
                from = member.header;
                window = self.source.bytes(from, count).unwrap_or_default();
            }
            let bytes = inside(&window, from).and_then(|range| window.get(range)).unwrap_or_default();
            if let Some(slot) = locals.get_mut(i) {
                *slot = self.local_in(member, bytes);
            }
        }
        locals
    }

    /// A member's bytes, unpacked: a section of the file where it is stored.
    ///
    /// # Errors
    /// Why they cannot be had.
    pub(super) fn read(&self, member: &Member, most: u64) -> Result<Source, String> {
        if member.encrypted {
            return Err("it is encrypted".into());
        }
        let local = self.local(member)?;
        match member.method {
            0 => Ok(self.source.section(local.data, member.packed)),
            8 => {
                // Deflate packs 1:1032 at best; what claims more lies, and little that is honest packs better than 1:200.
                let most = most.min(member.packed.saturating_mul(200).saturating_add(1 << 20));
                if member.size > most {
                    return Err(format!(
                        "{} bytes packed into {}, more than ckdiff unpacks",
                        member.size, member.packed
                    ));
                }
                let packed = usize::try_from(member.packed).map_err(|e| e.to_string())?;
                let packed = self.source.bytes(local.data, packed).map_err(|e| e.to_string())?;
                let limit = usize::try_from(most).map_err(|e| e.to_string())?;
                let bytes =
                    miniz_oxide::inflate::decompress_to_vec_with_limit(&packed, limit.min(member.size as usize + 1));
                let bytes = bytes.map_err(|e| format!("its deflated data is broken ({:?})", e.status))?;
                if bytes.len() as u64 != member.size {
                    return Err(format!("it unpacks to {} bytes, its directory says {}", bytes.len(), member.size));
                }
                Ok(Source::memory(bytes))
            }
            method => Err(format!("its compression method {method} is neither stored nor deflated")),
        }
    }

    /// Names that occur more than once, capitals not told from small letters, at most a handful.
    pub(super) fn duplicates(&self) -> Vec<String> {
        // Hashes suffice: they are seeded anew in every run, so that nobody can make two names meet.
        let seed = RandomState::new();
        let mut seen: HashSet<u64> = HashSet::with_capacity(self.members.len());
        let (mut twice, mut small) = (Vec::new(), Vec::new());
        for member in &self.members {
            small.clear();
            small.extend(self.name(member).iter().map(u8::to_ascii_lowercase));
            if !seen.insert(seed.hash_one(&small)) && twice.len() < 5 {
                twice.push(String::from_utf8_lossy(self.name(member)).into_owned());
            }
        }
        twice
    }
}
