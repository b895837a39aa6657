//! The fuzz targets without a fuzzer: their seeds, and every input that once broke something.
//!
//! Runs with any toolchain. `fuzz/run.sh` lets the last test write the seeds for the fuzzer.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

#[allow(dead_code, unreachable_pub, reason = "the fuzz targets use all of it")]
#[path = "../fuzz/src/targets/mod.rs"]
mod targets;

/// Inputs of one target by name.
type Inputs = BTreeMap<String, Vec<u8>>;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files at or below a folder, by their names without folders.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut folders = vec![folder.to_path_buf()];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for path in entries.flatten().map(|e| e.path()) {
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}

fn name(path: &Path) -> String {
    let below = path.strip_prefix(root()).expect("below the repository");
    below.to_string_lossy().replace(['/', '\\'], "_")
}

fn bytes(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// What a target starts from.
fn seeds(target: &str) -> Inputs {
    let mut out = Inputs::new();
    let made = files(&root().join("tests/checkpoints"));
    let of = |suffixes: &[&str]| {
        let wanted =
            |p: &&PathBuf| p.extension().is_some_and(|e| suffixes.iter().any(|s| e == *s)) || p.ends_with(".metadata");
        made.iter().filter(wanted).map(|p| (name(p), bytes(p))).collect::<Inputs>()
    };
    match target {
        "torch" => out.extend(of(&["pt", "pkl", "bin", "distcp"])),
        "pickle" => {
            for (name, bytes) in of(&["pt", "pkl", "bin"]) {
                let inside = pickles(&bytes);
                let several = inside.into_iter().enumerate().map(|(n, pickle)| (format!("{name}_{n}"), pickle));
                out.extend(several);
            }
        }
        "safetensors" => {
            let suffix = |p: &&PathBuf| p.extension().is_some_and(|e| e == "safetensors");
            out.extend(made.iter().filter(suffix).map(|p| (name(p), bytes(p))));
        }
        "sharded" => {
            for folder in ["sharded", "sharded_bin"] {
                let inside = files(&root().join("tests/checkpoints").join(folder));
                let (index, shards): (Vec<_>, Vec<_>) =
                    inside.iter().partition(|p| p.extension().is_some_and(|e| e == "json"));
                let index = String::from_utf8(bytes(index[0])).expect("an index is text");
                let mut whole = index.into_bytes();
                for (n, shard) in shards.iter().enumerate() {
                    let old = shard.file_name().expect("a name").to_string_lossy().into_owned();
                    let text = String::from_utf8_lossy(&whole).replace(&old, &format!("m-{}-of-3.bin", n + 1));
                    whole = text.into_bytes();
                }
                for shard in shards {
                    whole.extend(targets::NEXT_FILE);
                    whole.extend(bytes(shard));
                }
                out.insert(folder.to_owned(), whole);
            }
            let part = |name: &str| bytes(&root().join("tests/checkpoints/dcp").join(name));
            out.insert("dcp".to_owned(), [&part(".metadata"), targets::NEXT_FILE, &part("__0_0.distcp")].concat());
        }
        "expected" => {
            let list = |p: &&PathBuf| p.extension().is_some_and(|e| e == "json") && !p.ends_with("manifest.json");
            out.extend(made.iter().filter(list).map(|p| (name(p), bytes(p))));
        }
        "log" => {
            let logs = files(&root().join("tests/logs"));
            out.extend(logs.iter().filter(|p| p.extension().is_some_and(|e| e == "txt")).map(|p| (name(p), bytes(p))));
        }
        "rules" => {
            for path in files(&root().join("rules")) {
                let folder = path.parent().and_then(Path::file_name).expect("rules stand in folders").to_string_lossy();
                out.insert(name(&path), [folder.as_bytes(), b"\n", &bytes(&path)].concat());
            }
        }
        _ => {}
    }
    out.extend(files(&root().join("fuzz/seeds").join(target)).iter().map(|p| (name(p), bytes(p))));
    out
}

/// The pickles of a file: the stored members of a zip that are pickles, or the file itself.
fn pickles(file: &[u8]) -> Vec<Vec<u8>> {
    if !file.starts_with(b"PK") {
        return vec![file.to_vec()];
    }
    let archive = rawzip::ZipArchive::from_slice(file).expect("torch writes sound archives");
    let mut out = Vec::new();
    for entry in archive.entries() {
        let entry = entry.expect("torch writes sound archives");
        if !entry.file_path().as_ref().ends_with(b".pkl") || entry.compression_method().as_u16() != 0 {
            continue;
        }
        let data = archive.get_entry(entry.wayfinder()).expect("the member is there");
        out.push(data.data().to_vec());
    }
    out
}

fn run(target: &str, run: fn(&[u8]), inputs: &Inputs) {
    for (name, bytes) in inputs {
        let outcome = std::panic::catch_unwind(|| run(bytes));
        assert!(outcome.is_ok(), "{target}: {name} breaks a law, see above");
    }
}

#[test]
fn every_seed_passes_its_target() {
    for (name, function) in targets::ALL {
        let inputs = seeds(name);
        assert!(inputs.len() >= 2, "{name} has {} seeds", inputs.len());
        run(name, *function, &inputs);
    }
}

#[test]
fn everything_that_once_broke_a_target_passes_it_now() {
    for (name, function) in targets::ALL {
        let found = files(&root().join("fuzz/regressions").join(name));
        run(name, *function, &found.iter().map(|p| (self::name(p), bytes(p))).collect());
    }
    for folder in fs::read_dir(root().join("fuzz/regressions")).into_iter().flatten().flatten() {
        if !folder.path().is_dir() {
            continue;
        }
        let known = targets::ALL.iter().any(|(name, _)| folder.file_name() == *name);
        assert!(known, "{} belongs to no target", folder.path().display());
    }
}

#[test]
fn cut_short_at_any_byte_every_seed_still_passes() {
    for (name, function) in targets::ALL {
        for (seed, bytes) in seeds(name).iter().filter(|(_, b)| b.len() < 6000) {
            let step = (bytes.len() / 24).max(1);
            for end in (0..bytes.len()).step_by(step) {
                let outcome = std::panic::catch_unwind(|| function(&bytes[..end]));
                assert!(outcome.is_ok(), "{name}: the first {end} bytes of {seed} break a law, see above");
            }
        }
    }
}

/// Not a test: writes the seeds and the regressions into the folder that `CKDIFF_FUZZ_CORPUS` names, one folder a target.
#[test]
#[ignore = "called by fuzz/run.sh"]
fn write_the_seeds() {
    let into = PathBuf::from(std::env::var_os("CKDIFF_FUZZ_CORPUS").expect("CKDIFF_FUZZ_CORPUS names a folder"));
    for (name, _) in targets::ALL {
        let folder = into.join(name);
        fs::create_dir_all(&folder).expect("the folder can be made");
        let found = files(&root().join("fuzz/regressions").join(name));
        let old = found.iter().map(|p| (self::name(p), bytes(p)));
        for (seed, bytes) in seeds(name).into_iter().chain(old) {
            fs::write(folder.join(seed), bytes).expect("the seed can be written");
        }
    }
}
