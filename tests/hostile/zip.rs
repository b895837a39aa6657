//! Archives that lie. Wanted: what torch reads is read, and what it would read otherwise is said; otherwise a clear error.

use crate::harness::{Folder, Outcome, inspect};
use crate::torch_files::*;

fn sound() -> Vec<Member> {
    members(&dict(&[("w", four("0"))]))
}

fn packed(members: &[Member], end: End) -> Outcome {
    inspect("model.pth", zip(members, end))
}

/// An error, said with these words; the tensor is listed where `listed`.
fn faulty(found: &Outcome, words: &str, listed: bool) {
    assert_ne!(found.code, 0, "{found:?}");
    let all = format!("{}{}", found.said(), found.json["unreadable"]);
    assert!(all.contains(words), "{words:?} is not in {all}");
    assert_eq!(found.tensors(), if listed { vec!["w"] } else { vec![] }, "{found:?}");
}

#[test]
fn control() {
    packed(&sound(), End::default()).sound(&["w"]);
}

#[test]
fn no_end_of_the_directory() {
    let bytes = zip(&sound(), End::default());
    let found = inspect("model.pth", &bytes[..bytes.len() - 40]);
    faulty(&found, "half a download", false);
}

#[test]
fn the_size_of_the_directory_is_a_lie() {
    let found = packed(&sound(), End { directory_size: Some(0x7fff_ffff), ..End::default() });
    assert_ne!(found.code, 0, "{found:?}");
}

#[test]
fn the_place_of_the_directory_is_a_lie() {
    let found = packed(&sound(), End { directory_offset: Some(0x7fff_ffff), ..End::default() });
    assert_ne!(found.code, 0, "{found:?}");
}

#[test]
fn the_count_of_members_says_none() {
    faulty(&packed(&sound(), End { count: Some(0), ..End::default() }), "declares 0 members and holds 4", true);
}

#[test]
fn the_count_of_members_says_many() {
    faulty(&packed(&sound(), End { count: Some(999), ..End::default() }), "declares 999 members and holds 4", true);
}

#[test]
fn disk_number_7() {
    faulty(&packed(&sound(), End { disk: 7, ..End::default() }), "disk 7", true);
}

#[test]
fn a_zip64_marker_without_its_record() {
    let end =
        End { count: Some(0xffff), directory_size: Some(u32::MAX), directory_offset: Some(u32::MAX), ..End::default() };
    let found = packed(&sound(), end);
    assert_ne!(found.code, 0, "{found:?}");
}

#[test]
fn a_zip64_record_of_2_to_the_63() {
    let mut bytes = zip(&sound(), End::default());
    let end = bytes.split_off(bytes.len() - 22);
    let at = bytes.len() as u64;
    let huge = (1u64 << 63).to_le_bytes();
    bytes.extend(
        [b"PK\x06\x06".as_slice(), &44u64.to_le_bytes(), &[45, 0, 45, 0], &[0; 8], &huge, &huge, &huge, &huge].concat(),
    );
    bytes.extend([b"PK\x06\x07".as_slice(), &[0; 4], &at.to_le_bytes(), &1u32.to_le_bytes()].concat());
    bytes.extend(end);
    let found = inspect("model.pth", bytes);
    assert_ne!(found.code, 0, "{found:?}");
}

#[test]
fn a_member_packed_into_2_gb() {
    let mut all = sound();
    all[2].packed = 0x7fff_0000;
    all[2].size = 0x7fff_0000;
    faulty(&packed(&all, End::default()), "the file ends after", false);
}

#[test]
fn a_member_of_no_bytes_in_the_directory() {
    let mut all = sound();
    all[2].size = 0;
    faulty(&packed(&all, End::default()), "record data/0 has 0 bytes, the pickle wants 16", false);
}

#[test]
fn method_93_over_stored_data() {
    let mut all = sound();
    all[2].method = 93;
    faulty(&packed(&all, End::default()), "method 93", false);
    let mut all = sound();
    all[0].method = 93;
    packed(&all, End::default()).refused("method 93");
}

#[test]
fn an_encrypted_record() {
    let mut all = sound();
    all[2].flags = 1;
    faulty(&packed(&all, End::default()), "encrypted", false);
}

#[test]
fn an_encrypted_data_pkl() {
    let mut all = sound();
    all[0].flags = 1;
    packed(&all, End::default()).refused("encrypted");
}

#[test]
fn a_directory_whose_first_signature_is_broken() {
    let mut bytes = zip(&sound(), End::default());
    let at = bytes.windows(4).position(|w| w == b"PK\x01\x02").expect("a directory");
    bytes[at] = b'X';
    let found = inspect("model.pth", bytes);
    assert_eq!(found.code, 2, "{found:?}");
}

#[test]
fn a_directory_that_breaks_off_behind_its_second_member() {
    let mut bytes = zip(&sound(), End::default());
    let places: Vec<usize> = (0..bytes.len() - 4).filter(|&i| &bytes[i..i + 4] == b"PK\x01\x02").collect();
    bytes[places[3]] = b'X';
    let found = inspect("model.pth", bytes);
    faulty(&found, "breaks off after 3 of 4 members", true);
}

#[test]
fn only_an_end_record() {
    let found = inspect("model.pth", zip(&[], End::default()));
    assert_eq!(found.code, 2, "{found:?}");
    assert!(found.said().contains("empty"), "{}", found.said());
}

#[test]
fn four_bytes() {
    let found = inspect("model.pth", b"PK\x03\x04");
    assert_eq!(found.code, 2, "{found:?}");
}

#[test]
fn three_thousand_members_that_share_one_local_header() {
    let mut all = sound();
    let big = vec![0; 10_000_000];
    all.push(Member::new("archive/data/1", big).deflated());
    let shared = all.len() - 1;
    for i in 2..3000 {
        let mut member = Member::new(&format!("archive/data/{i}"), b"".as_slice());
        (member.packed, member.size, member.method) = (all[shared].packed, 10_000_000, 8);
        member.shares = Some(shared);
        all.push(member);
    }
    let found = packed(&all, End::default());
    faulty(&found, "CK506", true);
}

#[test]
fn an_honest_deflated_storage_of_400_mb_is_not_unpacked() {
    let zeros = vec![0u8; 400_000_000];
    let bad = tensor(&storage("FloatStorage", "1", 100_000_000), int(0), tuple(&[int(100_000_000)]), tuple(&[int(1)]));
    let mut all = members(&dict(&[("w", four("0")), ("z", bad)]));
    let mut member = Member::new("archive/data/1", zeros);
    member = member.deflated();
    all.push(member);
    packed(&all, End::default()).sound(&["w", "z"]);
}

#[test]
fn a_deflated_data_pkl_is_read() {
    let mut all = sound();
    all[0] = all[0].clone().deflated();
    packed(&all, End::default()).sound(&["w"]);
}

#[test]
fn a_deflated_data_pkl_of_a_gigabyte() {
    let mut all = sound();
    let mut bomb = Member::new("archive/data.pkl", vec![b'N'; 50_000_000]).deflated();
    bomb.size = 1_000_000_000;
    all[0] = bomb;
    packed(&all, End::default()).refused("more than ckdiff unpacks");
}

#[test]
fn a_deflated_data_pkl_that_unpacks_to_less_than_it_says() {
    let mut all = sound();
    all[0] = all[0].clone().deflated();
    all[0].size += 7;
    packed(&all, End::default()).refused("unpacks to");
}

#[test]
fn a_deflated_data_pkl_of_garbage() {
    let mut all = sound();
    all[0].method = 8;
    packed(&all, End::default()).refused("broken");
}

#[test]
fn names_that_lead_out_of_the_folder() {
    for name in ["../../../../CKDIFF_PWNED", "archive\\..\\..\\CKDIFF_PWNED", "C:\\CKDIFF_PWNED", "/etc/CKDIFF_PWNED"] {
        let mut all = sound();
        all.push(Member::new(name, "x"));
        let found = packed(&all, End::default());
        faulty(&found, "CK507", true);
    }
}

#[test]
fn a_name_of_60_kb() {
    let mut all = sound();
    all.push(Member::new(&"a".repeat(60_000), "x"));
    packed(&all, End::default());
}

#[test]
fn a_name_with_terminal_escapes() {
    let mut all = sound();
    all.push(Member::new("archive/../\x1b[2J\x07", "x"));
    faulty(&packed(&all, End::default()), "CK507", true);
}

#[test]
fn data_pkl_is_a_directory() {
    let mut all = sound();
    all[0] = Member::new("archive/data.pkl/", "");
    let found = packed(&all, End::default());
    assert_eq!(found.code, 2, "{found:?}");
}

#[test]
fn a_checkpoint_that_was_zipped_again() {
    let inner = checkpoint(&dict(&[("w", four("0"))]));
    packed(&[Member::new("model.pth", inner)], End::default()).refused("zip archive around");
}

#[test]
fn data_pkl_in_capitals_is_read_as_pytorch_reads_it() {
    let mut all = sound();
    all[0].name = b"archive/DATA.PKL".to_vec();
    all[0].local_name = all[0].name.clone();
    packed(&all, End::default()).sound(&["w"]);
}

#[test]
fn a_jar() {
    packed(
        &[Member::new("META-INF/MANIFEST.MF", "Manifest-Version: 1.0"), Member::new("A.class", "x")],
        End::default(),
    )
    .refused("Java");
}

#[test]
fn a_folder_of_another_name() {
    let all: Vec<Member> = sound()
        .into_iter()
        .map(|m| Member::new(&String::from_utf8_lossy(&m.name).replace("archive", "my net.v2"), m.data))
        .collect();
    packed(&all, End::default()).sound(&["w"]);
}

#[test]
fn another_file_comes_first() {
    let mut all = sound();
    all.insert(0, Member::new("README", "hello"));
    faulty(&packed(&all, End::default()), "CK066", true);
}

#[test]
fn the_local_header_has_another_name() {
    let mut all = sound();
    all[0].local_name = b"archive/evil.pkl".to_vec();
    faulty(&packed(&all, End::default()), "CK506", true);
}

#[test]
fn bytes_before_the_archive() {
    let bytes = [b"#!/bin/sh\n".to_vec(), zip(&sound(), End::default())].concat();
    faulty(&inspect("model.pth", bytes), "10 bytes stand before the zip archive", true);
}

#[test]
fn zeros_behind_the_archive_are_read_as_pytorch_reads_them() {
    let bytes = [zip(&sound(), End::default()), vec![0; 100]].concat();
    inspect("model.pth", bytes).sound(&["w"]);
}

#[test]
fn two_archives_one_behind_the_other() {
    let evil = checkpoint(&dict(&[("w", four("0")), ("x", system())]));
    let bytes = [evil, zip(&sound(), End::default())].concat();
    let found = inspect("model.pth", bytes);
    assert_ne!(found.code, 0, "{found:?}");
}

#[test]
fn a_sparse_file_of_50_gb_that_starts_as_a_zip() {
    let folder = Folder::new().put("model.pth", b"PK\x03\x04");
    let file = std::fs::OpenOptions::new().write(true).open(folder.path("model.pth")).expect("the file");
    if file.set_len(50 << 30).is_err() {
        return; // Not on this file system.
    }
    let found = folder.inspect("model.pth");
    assert_eq!(found.code, 2, "{found:?}");
}

#[test]
fn cut_at_every_place() {
    let bytes = zip(&sound(), End::default());
    for percent in [1, 5, 20, 40, 60, 80, 90, 99] {
        let found = inspect("model.pth", &bytes[..bytes.len() * percent / 100]);
        assert_eq!(found.code, 2, "{percent} %: {found:?}");
    }
}

#[test]
fn the_last_two_fifths_are_zeros() {
    let mut bytes = zip(&sound(), End::default());
    let from = bytes.len() * 3 / 5;
    bytes[from..].fill(0);
    let found = inspect("model.pth", bytes);
    assert_eq!(found.code, 2, "{found:?}");
}
