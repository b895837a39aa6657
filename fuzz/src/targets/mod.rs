//! The targets. Each takes any bytes, and panics where a law is broken; what is read wrongly is worth as much as a crash.

use std::cell::RefCell;
use std::path::PathBuf;

use ckdiff::checkpoint::{Checkpoint, Format, StateDict, Trust};
use ckdiff::inspect::inspect;
use ckdiff::read::pickle::{self, Plain, Source};
use ckdiff::read::{ReadError, read};
use ckdiff::report;
use ckdiff::report::style::Style;

mod loads;
mod texts;

pub use loads::pipeline;
pub use texts::{log, rules};

/// A target by its name.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const ALL: &[Target] = &[
    ("torch", torch),
    ("pickle", pickle),
    ("safetensors", safetensors),
    ("sharded", sharded),
    ("expected", expected),
    ("log", log),
    ("rules", rules),
    ("pipeline", pipeline),
];

/// What separates the files of one input of the target `sharded`.
pub const NEXT_FILE: &[u8] = b"\n=== next file ===\n";

/// Torch zip, legacy stream, tar, TorchScript, a plain pickle, or none of them: whatever the first bytes say.
pub fn torch(data: &[u8]) {
    let path = folder().file("model.pth", data);
    shown(read(&path), data.len());
}

/// The pickle machine by itself, on memory.
pub fn pickle(data: &[u8]) {
    let source = Source::memory(data.to_vec());
    let run = pickle::run(&source, 0, &mut Plain);
    assert!(run.end <= source.len(), "it ends at byte {} of {}", run.end, source.len());
    assert!(run.steps <= source.len(), "{} steps for {} bytes", run.steps, source.len());
    let broken = run.broken.as_ref().map(ToString::to_string).unwrap_or_default();
    assert!(run.broken.is_some() || run.root.is_some(), "neither broken nor whole");
    if let Some(root) = run.root {
        let text = pickle::text::key_text(&run.heap, root);
        assert!(text.len() <= 16 * data.len() + 256, "{} bytes of text for {} bytes", text.len(), data.len());
    }
    assert!(broken.len() < 4096, "a message of {} bytes", broken.len());
    for global in &run.heap.globals {
        assert!(global.module <= global.name.len() && global.at <= source.len(), "{global:?}");
    }
}

/// A safetensors file. What the official library loads must be read without an error, and the other way round.
pub fn safetensors(data: &[u8]) {
    let path = folder().file("model.safetensors", data);
    let found = read(&path);
    let official = safetensors::SafeTensors::deserialize(data);
    match (&found, &official) {
        (Ok(found), Ok(official)) if found.format == Format::Safetensors => {
            let errors: Vec<_> = found.remarks.iter().filter(|r| r.error).collect();
            assert!(errors.is_empty(), "the library loads it: {errors:?}");
            assert_eq!(found.tensors.len(), official.len());
            for tensor in &found.tensors {
                let other = official.tensor(&tensor.path).expect("the library has it as well");
                let shape: Vec<u64> = other.shape().iter().map(|&d| d as u64).collect();
                assert_eq!(tensor.shape.as_ref().map(|s| s.dims()), Some(&*shape));
            }
        }
        (Ok(found), Err(why)) if found.format == Format::Safetensors => {
            let errors = found.remarks.iter().any(|r| r.error);
            assert!(errors || !found.complete || !found.unreadable.is_empty(), "the library refuses it: {why}");
        }
        (Err(refusal), Ok(official)) => {
            assert!(official.is_empty(), "the library loads it: {refusal}");
        }
        _ => {}
    }
    shown(found, data.len());
}

/// Several files in a folder; pieces stand between [`NEXT_FILE`]. An index of shards with up to four of them, read by the index
/// and by the folder; or, where the first piece begins as a pickle does, the metadata of `torch.distributed.checkpoint` and its parts.
pub fn sharded(data: &[u8]) {
    let folder = folder();
    folder.clear();
    let mut pieces = pieces(data);
    let first = pieces.next().unwrap_or_default();
    let distributed = first.starts_with(b"\x80");
    let index = folder.file(if distributed { ".metadata" } else { "m.bin.index.json" }, first);
    for (n, piece) in pieces.take(4).enumerate() {
        let name = if distributed { format!("__{n}_0.distcp") } else { format!("m-{}-of-3.bin", n + 1) };
        folder.file(&name, piece);
    }
    shown(read(&index), data.len());
    shown(read(folder.0.path()), data.len());
    if first.is_empty() {
        // Without an index the names say what belongs together.
        let _ = std::fs::remove_file(&index);
        shown(read(folder.0.path()), data.len());
    }
    folder.clear();
}

fn pieces(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(data);
    std::iter::from_fn(move || {
        let here = rest?;
        let at = here.windows(NEXT_FILE.len()).position(|w| w == NEXT_FILE);
        rest = at.and_then(|at| here.get(at + NEXT_FILE.len()..));
        Some(at.and_then(|at| here.get(..at)).unwrap_or(here))
    })
}

/// A list of keys as JSON. What it says must survive being written and read again.
pub fn expected(data: &[u8]) {
    let folder = folder();
    let path = folder.file("expected.json", data);
    let found = read(&path);
    if let Ok(first) = &found
        && first.format == Format::Json
        && !first.tensors.iter().any(|t| ["metadata", "weight_map", "__metadata__"].contains(&&*t.path))
    {
        let mut text = Vec::new();
        let state_dict = StateDict::below(first, 0);
        report::snapshot::write(&state_dict, &mut text).expect("memory takes it");
        let again = read(&folder.file("again.json", &text)).expect("what was written is read");
        let list = |c: &Checkpoint| -> Vec<_> {
            c.tensors.iter().map(|t| (t.path.to_string(), t.dtype, t.shape.clone())).collect()
        };
        assert_eq!(list(first), list(&again));
    }
    shown(found, data.len());
}

/// What was read is shown in every form, and must hold together.
fn shown(found: Result<Checkpoint, ReadError>, bytes: usize) {
    let checkpoint = match found {
        Ok(checkpoint) => checkpoint,
        Err(refusal) => {
            assert!(!refusal.what.is_empty() && refusal.code.starts_with("CK"), "{refusal:?}");
            let text = refusal.to_string();
            assert!(text.len() < 8192, "a wall of text");
            return plain(&text);
        }
    };
    for tensor in &checkpoint.tensors {
        let container = checkpoint.containers.get(tensor.container as usize).expect("its container is there");
        assert!(tensor.path.starts_with(&*container.name), "{:?} is not in {:?}", tensor.path, container.name);
        if let Some(placement) = &tensor.placement {
            assert!((placement.storage as usize) < checkpoint.storages.len(), "{:?} has no storage", tensor.path);
        }
    }
    for storage in &checkpoint.storages {
        assert!((storage.file as usize) < checkpoint.files.len(), "{storage:?} is in no file");
    }
    assert!(checkpoint.others.len() <= bytes.max(16), "{} things in {bytes} bytes", checkpoint.others.len());
    let has = |code: &str| checkpoint.remarks.iter().any(|r| r.code == code && r.error);
    let dangerous = checkpoint.imports.iter().any(|i| i.trust == Trust::Dangerous);
    assert_eq!(dangerous, has("CK501"), "{:?}", checkpoint.imports);
    assert!(checkpoint.complete || checkpoint.remarks.iter().any(|r| r.error), "not whole, and nothing says so");
    let inspection = inspect(&checkpoint);
    assert!(!dangerous || inspection.fails());
    let mut text = Vec::new();
    report::inspect::text(&inspection, &Style::default(), &mut text).expect("memory takes it");
    plain(std::str::from_utf8(&text).expect("text is UTF-8"));
    let mut json = Vec::new();
    report::inspect::json(&inspection, &mut json).expect("memory takes it");
    let json: serde_json::Value = serde_json::from_slice(&json).expect("JSON parses");
    assert_eq!(json["tensors"].as_array().map(Vec::len), Some(checkpoint.tensors.len()));
}

/// Nothing that a terminal would obey.
fn plain(text: &str) {
    let control = text.chars().find(|&c| c.is_control() && c != '\n');
    assert_eq!(control, None, "a control character reaches the terminal");
}

/// The folder that the files are written to; `fuzz/run.sh` puts it into memory.
struct Folder(tempfile::TempDir);

impl Folder {
    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, bytes).expect("the file can be written");
        path
    }

    fn clear(&self) {
        for entry in std::fs::read_dir(self.0.path()).expect("the folder can be listed").flatten() {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

fn folder() -> std::rc::Rc<Folder> {
    thread_local! {
        static FOLDER: RefCell<Option<std::rc::Rc<Folder>>> = const { RefCell::new(None) };
    }
    FOLDER.with_borrow_mut(|folder| {
        let new = || {
            let made = tempfile::tempdir();
            std::rc::Rc::new(Folder(made.expect("a folder for the files")))
        };
        folder.get_or_insert_with(new).clone()
    })
}
