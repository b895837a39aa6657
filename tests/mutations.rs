//! Sound files, damaged at random: nothing panics or takes long, and a pickle that would run code is never called clean.

use std::path::Path;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use ckdiff::checkpoint::{Checkpoint, Trust};
use ckdiff::inspect::inspect;
use ckdiff::read::{ReadError, read};
use ckdiff::report::inspect::{json, text};
use ckdiff::report::style::Style;
use proptest::prelude::*;
use proptest::sample::Index;

#[allow(dead_code, unreachable_pub, reason = "shared with the hostile files")]
#[path = "hostile/torch_files.rs"]
mod torch_files;
use torch_files::*;

/// The longest that one small file may take in a build without optimisation, on a busy machine.
const LONGEST: Duration = Duration::from_secs(20);

/// The real files by name.
static SOUND: LazyLock<Vec<(String, Vec<u8>)>> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/checkpoints");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("the folder is there")
        .flatten()
        .filter(|e| e.path().extension().is_some_and(|e| ["pt", "pkl", "safetensors"].iter().any(|s| e == *s)))
        .map(|e| (e.file_name().to_string_lossy().into_owned(), std::fs::read(e.path()).expect("it can be read")))
        .collect();
    files.sort();
    files
});

/// What happens to the bytes of a file.
#[derive(Clone, Debug)]
enum Damage {
    Flip(Index, u8),
    Set(Index, u8),
    Insert(Index, Vec<u8>),
    Remove(Index, usize),
    Repeat(Index, usize, Index),
    Cut(Index),
    Number(Index, u64, usize),
}

fn damage() -> impl Strategy<Value = Damage> {
    let odd = prop::sample::select(vec![0, 1, 0x7f, 0x80, 0xff, 0xffff, 0x7fff_ffff, 0xffff_ffff, u64::MAX, 1 << 63]);
    prop_oneof![
        4 => (any::<Index>(), 0..8u8).prop_map(|(at, bit)| Damage::Flip(at, bit)),
        3 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Damage::Set(at, byte)),
        2 => (any::<Index>(), prop::collection::vec(any::<u8>(), 1..20)).prop_map(|(at, new)| Damage::Insert(at, new)),
        2 => (any::<Index>(), 1..64usize).prop_map(|(at, count)| Damage::Remove(at, count)),
        2 => (any::<Index>(), 1..200usize, any::<Index>()).prop_map(|(at, count, to)| Damage::Repeat(at, count, to)),
        1 => any::<Index>().prop_map(Damage::Cut),
        3 => (any::<Index>(), odd, 1..9usize).prop_map(|(at, number, size)| Damage::Number(at, number, size)),
    ]
}

fn suffer(bytes: &[u8], all: &[Damage]) -> Vec<u8> {
    let mut out = bytes.to_vec();
    for one in all {
        if out.is_empty() {
            break;
        }
        let len = out.len();
        match one {
            Damage::Flip(at, bit) => out[at.index(len)] ^= 1 << bit,
            Damage::Set(at, byte) => out[at.index(len)] = *byte,
            Damage::Insert(at, new) => drop(out.splice(at.index(len)..at.index(len), new.iter().copied())),
            Damage::Remove(at, count) => drop(out.drain(at.index(len)..(at.index(len) + count).min(len))),
            Damage::Repeat(at, count, to) => {
                let part = out[at.index(len)..(at.index(len) + count).min(len)].to_vec();
                drop(out.splice(to.index(len)..to.index(len), part));
            }
            Damage::Cut(at) => out.truncate(at.index(len)),
            Damage::Number(at, number, size) => {
                for (place, byte) in out[at.index(len)..].iter_mut().zip(&number.to_le_bytes()[..*size]) {
                    *place = *byte;
                }
            }
        }
    }
    out
}

/// Reads and shows a file, in bounded time.
fn seen(name: &str, bytes: &[u8]) -> Result<Checkpoint, ReadError> {
    let folder = tempfile::tempdir().expect("a folder for the file");
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).expect("the file can be written");
    let start = Instant::now();
    let found = read(&path);
    if let Ok(checkpoint) = &found {
        let inspection = inspect(checkpoint);
        let mut out = Vec::new();
        text(&inspection, &Style::default(), &mut out).expect("memory takes it");
        json(&inspection, &mut out).expect("memory takes it");
    }
    assert!(start.elapsed() < LONGEST, "{name}: {:?} for {} bytes", start.elapsed(), bytes.len());
    found
}

/// Whether somebody who reads the report would take the file for harmless.
fn clean(found: &Result<Checkpoint, ReadError>) -> bool {
    found.as_ref().is_ok_and(|checkpoint| {
        checkpoint.complete
            && !checkpoint.remarks.iter().any(|r| r.error)
            && !checkpoint.imports.iter().any(|i| i.trust == Trust::Dangerous)
    })
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|w| w == part)
}

/// A pickle that runs something beside its tensor.
fn evil() -> Vec<u8> {
    dict(&[("w", four("0")), ("x", system())])
}

/// Files with a payload in every container, and the bytes that carry it.
fn armed() -> Vec<(&'static str, Vec<u8>, Vec<u8>)> {
    let third = dict(&[("little_endian", b"\x88".to_vec()), ("x", system())]);
    let calm = dict(&[("w", four("0"))]);
    let mut hidden = members(&calm);
    hidden.push(Member::new("archive/extra.bin", evil()));
    vec![
        ("model.pth", checkpoint(&evil()), evil()),
        ("legacy.pth", legacy(&evil()), evil()),
        ("third.pth", [MAGIC, PROTOCOL, &third, &calm, &keys(&["0"]), &data(4, 16)].concat(), third),
        ("hidden.pth", zip(&hidden, End::default()), evil()),
        ("model.pkl", evil(), evil()),
        ("second.pkl", [dict(&[]), evil()].concat(), evil()),
    ]
}

/// What happens to an archive as a whole.
#[derive(Clone, Debug)]
enum Repack {
    Double(Index),
    Drop(Index),
    Rename(Index, Index),
    Capitals(Index),
    Deflate(Index),
    Flags(Index, u16),
    Method(Index, u16),
    LocalName(Index, Index),
    Share(Index, Index),
    Sizes(Index, u32),
    Swap(Index, Index),
}

fn repack() -> impl Strategy<Value = Repack> {
    let i = any::<Index>;
    prop_oneof![
        i().prop_map(Repack::Double),
        i().prop_map(Repack::Drop),
        (i(), i()).prop_map(|(a, b)| Repack::Rename(a, b)),
        i().prop_map(Repack::Capitals),
        i().prop_map(Repack::Deflate),
        (i(), prop::sample::select(vec![1u16, 8, 0x40, 0x800, 0x2000])).prop_map(|(a, f)| Repack::Flags(a, f)),
        (i(), prop::sample::select(vec![0u16, 8, 12, 14, 93, 99])).prop_map(|(a, m)| Repack::Method(a, m)),
        (i(), i()).prop_map(|(a, b)| Repack::LocalName(a, b)),
        (i(), i()).prop_map(|(a, b)| Repack::Share(a, b)),
        (i(), any::<u32>()).prop_map(|(a, n)| Repack::Sizes(a, n)),
        (i(), i()).prop_map(|(a, b)| Repack::Swap(a, b)),
    ]
}

fn packed_again(mut all: Vec<Member>, changes: &[Repack]) -> Vec<u8> {
    for change in changes {
        let n = all.len();
        if n == 0 {
            break;
        }
        match change {
            Repack::Double(a) => all.push(all[a.index(n)].clone()),
            Repack::Drop(a) => drop(all.remove(a.index(n))),
            Repack::Rename(a, b) => {
                let name = all[b.index(n)].name.clone();
                all[a.index(n)].local_name.clone_from(&name);
                all[a.index(n)].name = name;
            }
            Repack::Capitals(a) => all[a.index(n)].name.make_ascii_uppercase(),
            Repack::Deflate(a) if all[a.index(n)].method == 0 => all[a.index(n)] = all[a.index(n)].clone().deflated(),
            Repack::Deflate(_) => {}
            Repack::Flags(a, flags) => all[a.index(n)].flags |= flags,
            Repack::Method(a, method) => all[a.index(n)].method = *method,
            Repack::LocalName(a, b) => all[a.index(n)].local_name = all[b.index(n)].name.clone(),
            Repack::Share(a, b) if b.index(n) < a.index(n) && all[b.index(n)].shares.is_none() => {
                all[a.index(n)].shares = Some(b.index(n));
            }
            Repack::Share(..) => {}
            Repack::Sizes(a, size) => all[a.index(n)].size = *size,
            Repack::Swap(a, b) if all.iter().all(|m| m.shares.is_none()) => all.swap(a.index(n), b.index(n)),
            Repack::Swap(..) => {}
        }
        // A member that shares the header of one that is gone, or that comes later, has its own again.
        let n = all.len();
        for i in 0..n {
            if all[i].shares.is_some_and(|other| other >= i || all[other].shares.is_some()) {
                all[i].shares = None;
            }
        }
    }
    zip(&all, End::default())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_to_a_sound_file_it_is_read_or_refused(
        file in any::<Index>(),
        all in prop::collection::vec(damage(), 1..8),
    ) {
        let (name, bytes) = &SOUND[file.index(SOUND.len())];
        let _ = seen(name, &suffer(bytes, &all));
    }

    #[test]
    fn a_payload_that_is_still_there_is_never_called_clean(
        file in any::<Index>(),
        all in prop::collection::vec(damage(), 1..4),
    ) {
        let armed = armed();
        let (name, bytes, payload) = &armed[file.index(armed.len())];
        let bytes = suffer(bytes, &all);
        let found = seen(name, &bytes);
        prop_assert!(!clean(&found) || !holds(&bytes, payload), "{name}: {found:?}");
    }

    #[test]
    fn a_payload_in_an_archive_packed_again_is_never_called_clean(
        hidden in any::<bool>(),
        changes in prop::collection::vec(repack(), 0..5),
    ) {
        let mut all = members(&if hidden { dict(&[("w", four("0"))]) } else { evil() });
        if hidden {
            all.push(Member::new("archive/extra.bin", evil()));
        }
        let bytes = packed_again(all, &changes);
        let found = seen("model.pth", &bytes);
        prop_assert!(!clean(&found) || !holds(&bytes, &evil()), "{found:?}");
    }
}

/// One byte too many between two pickles: the second is not run, so nothing is known of it.
#[test]
fn a_stray_byte_in_front_of_a_payload_is_not_called_clean() {
    let bytes = [dict(&[]), b".".to_vec(), evil()].concat();
    let found = seen("second.pkl", &bytes);
    assert!(found.is_ok() && !clean(&found), "{found:?}");
}

/// The local header of a member says that its name, or what follows it, is eight bytes longer than it is.
#[test]
fn a_payload_that_two_readers_find_at_two_places_is_not_called_clean() {
    for length in [26, 28] {
        let mut armed = armed();
        let (name, bytes, _) = &mut armed[3];
        let header = bytes.windows(4).rposition(|w| w == b"PK\x03\x04").expect("a local header");
        bytes[header + length] ^= 8;
        let found = seen(name, bytes);
        assert!(!clean(&found), "{found:?}");
    }
}

#[test]
fn the_files_that_are_damaged_are_what_they_claim_to_be() {
    assert!(SOUND.len() > 30, "{} files", SOUND.len());
    for (name, bytes, payload) in armed() {
        assert!(holds(&bytes, &payload), "{name}");
        let found = seen(name, &bytes).expect("it is read");
        assert!(
            found.imports.iter().any(|i| i.global == "posix.system" && i.trust == Trust::Dangerous),
            "{name}: {found:?}"
        );
    }
    for (name, bytes) in SOUND.iter() {
        assert!(clean(&seen(name, bytes)), "{name}");
    }
}
