//! A container file taken apart: its pickles as they ran, before they become a [`Checkpoint`].

use super::script::Classes;
use super::world::{Era, Inner, Part, TorchWorld};
use super::{legacy, zip};
use crate::checkpoint::{Checkpoint, Format, Remark};
use crate::read::pickle::{self, Pickle, Source};

/// One pickle that was run.
pub(super) struct Run {
    pub pickle: Pickle,
    pub world: TorchWorld,
    /// The member or pickle it is: `archive/data.pkl`, `pickle 3`; empty where the file is the pickle.
    pub place: String,
}

/// A file taken apart.
pub(super) struct Loaded {
    pub format: Format,
    /// Every pickle of the file; the one with the weights is `main`.
    pub runs: Vec<Run>,
    pub main: usize,
    pub classes: Option<Classes>,
    pub metadata: Vec<(String, String)>,
    pub remarks: Vec<Remark>,
    /// What stands in members that are archives, or arrays of objects, with the members' names.
    pub within: Vec<(String, Inner)>,
    /// What hinders reading to the end, apart from broken pickles.
    pub cut: Option<String>,
    /// Whether bytes that are no padding stand where a pickle could, and were not run: nothing is known of them.
    pub unread: bool,
}

impl Loaded {
    pub(super) fn new(format: Format) -> Self {
        Loaded {
            format,
            runs: Vec::new(),
            main: 0,
            classes: None,
            metadata: Vec::new(),
            remarks: Vec::new(),
            within: Vec::new(),
            cut: None,
            unread: false,
        }
    }
}

/// Why a file cannot be taken apart.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub code: &'static str,
    pub what: String,
    pub remedy: String,
}

impl Refusal {
    pub(super) fn new(code: &'static str, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Refusal { code, what: what.into(), remedy: remedy.into() }
    }
}

/// A remark without examples.
pub(super) fn remark(code: &'static str, error: bool, message: impl Into<String>, help: &str) -> Remark {
    Remark { code, error, message: message.into(), help: help.into(), examples: Vec::new() }
}

/// A world for one pickle, `depth` pickles deep.
pub(super) fn world(era: Era, depth: u32) -> TorchWorld {
    TorchWorld::new(era, depth, open_inner)
}

/// Runs one pickle.
pub(super) fn run(source: &Source, start: u64, era: Era, depth: u32, place: impl Into<String>) -> Run {
    let mut world = world(era, depth);
    let pickle = pickle::run(source, start, &mut world);
    Run { pickle, world, place: place.into() }
}

/// Takes a file apart by what its first bytes say; `None` where they say nothing that is PyTorch's.
///
/// # Errors
/// Where the container is recognised and broken.
pub(super) fn open(source: &Source, depth: u32) -> Result<Option<Loaded>, Refusal> {
    let head = source.bytes(0, 512).unwrap_or_default();
    if head.starts_with(b"PK\x03\x04") || head.starts_with(b"PK\x05\x06") {
        return zip::open(source, depth);
    }
    if head.get(257..262) == Some(b"ustar") {
        return Ok(super::tar::open(source, depth));
    }
    legacy::open(source, depth, &head)
}

/// A pickle within a pickle: its globals, and the storage that it is where it is one.
fn open_inner(source: &Source, depth: u32) -> Inner {
    let mut inner = Inner::default();
    match open(source, depth) {
        Err(refusal) => inner.broken = Some(refusal.what),
        Ok(None) => inner.broken = Some("what it holds is no pickle".into()),
        Ok(Some(loaded)) => {
            if let Some(run) = loaded.runs.get(loaded.main)
                && let Some(&Part::Storage { id, elements, .. }) = run.pickle.root.and_then(|root| run.world.part(root))
                && let Some(storage) = run.world.storages.get(id as usize)
            {
                inner.storage = Some((storage.dtype, elements, storage.start, storage.coding));
            }
            let all = gather_all(&loaded);
            inner = Inner { storage: inner.storage, ..all };
        }
    }
    inner
}

/// Collects the globals of a pickle and of those within it.
pub(super) fn gather(run: &Run, into: &mut Inner) {
    for global in &run.pickle.heap.globals {
        let at = format!("byte {}", global.at);
        let place = if run.place.is_empty() { at } else { format!("{}, {at}", run.place) };
        into.globals.push((global.clone(), place));
    }
    for nested in &run.world.nested {
        for (global, place) in &nested.globals {
            let place = format!(
                "{}within: {place}",
                if run.place.is_empty() { String::new() } else { format!("{}, ", run.place) }
            );
            into.globals.push((global.clone(), place));
        }
        if let Some(why) = &nested.broken {
            into.broken.get_or_insert_with(|| format!("a pickle within: {why}"));
        }
        if let Some(place) = &nested.torn {
            into.torn.get_or_insert_with(|| format!("a pickle within: {place}"));
        }
    }
    if let Some(at) = run.pickle.torn {
        let place = if run.place.is_empty() { String::new() } else { format!("{}, ", run.place) };
        into.torn.get_or_insert_with(|| format!("{place}byte {at}"));
    }
    if let Some(broken) = &run.pickle.broken {
        let place = if run.place.is_empty() { String::new() } else { format!("{}: ", run.place) };
        into.broken.get_or_insert_with(|| format!("{place}{broken}"));
    }
}

/// All globals of a file with their places, and why it was not read to its end.
pub(super) fn gather_all(loaded: &Loaded) -> Inner {
    let mut all = Inner { broken: loaded.cut.clone(), ..Inner::default() };
    for run in &loaded.runs {
        gather(run, &mut all);
    }
    for (member, inner) in &loaded.within {
        all.globals.extend(inner.globals.iter().map(|(global, place)| (global.clone(), format!("{member}, {place}"))));
        if let Some(why) = &inner.broken {
            all.broken.get_or_insert_with(|| format!("{member}: {why}"));
        }
    }
    all
}

/// Fills a checkpoint from what was taken apart.
pub(super) fn finish(loaded: Loaded, checkpoint: &mut Checkpoint) {
    let all = gather_all(&loaded);
    checkpoint.format = loaded.format;
    checkpoint.metadata = loaded.metadata;
    checkpoint.remarks = loaded.remarks;
    if let Some(run) = loaded.runs.get(loaded.main) {
        checkpoint.storages = run
            .world
            .storages
            .iter()
            .map(|storage| crate::checkpoint::Storage {
                file: 0,
                name: match loaded.format {
                    Format::TorchZip | Format::TorchScript if storage.start.is_some() || storage.found => {
                        format!("data/{}", storage.key).into()
                    }
                    _ => storage.key.to_string().into(),
                },
                start: storage.start,
                bytes: storage.bytes,
                coding: storage.coding,
            })
            .collect();
        if let Some(root) = run.pickle.root {
            super::walk::walk(&run.pickle.heap, &run.world, loaded.classes.as_ref(), root, checkpoint);
        }
    }
    checkpoint.complete &= !loaded.unread;
    super::safety::judge(&all, checkpoint);
}
