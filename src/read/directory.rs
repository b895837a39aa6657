//! A folder: which of its files is the checkpoint, by the names that tools write; and what the folder is where there is none.

use std::path::Path;

use super::ReadError;
use super::expected::{self, Json};
use super::input::{self, Input, Named, name_of};
use super::sharded::{self, Inside, numbered};
use crate::checkpoint::{Checkpoint, Format, Remark, quoted};

mod beside;

/// Suffixes of files that hold weights, the ones that loaders prefer first.
const WEIGHTS: &[&str] = &["safetensors", "bin", "pth", "pt", "ckpt", "pkl"];
/// Beginnings of names of files that tools write beside weights, with the same suffixes and no weights in them.
const BESIDE: &[&str] =
    &["training_args", "optimizer", "scheduler", "scaler", "rng_state", "random_states", "trainer_state"];
/// The longest config.json that is looked at, in bytes.
const CONFIG: u64 = 1 << 20;

/// Reads the checkpoint that a folder holds.
///
/// # Errors
/// Where it holds none, several, or one that cannot be read.
pub(super) fn read(folder: &Path) -> Result<Checkpoint, ReadError> {
    let names = list(folder)?;
    let mut out = match choose(&names) {
        Choice::Index(name) => {
            let path = sharded::within(folder, name)?;
            match input::open(&path)? {
                Named::File(mut input) => read_index(&mut input)?,
                Named::Directory => {
                    return Err(refuse(folder, format!("{} is a folder", quoted(name)), "hand over the file itself"));
                }
            }
        }
        Choice::File(name) => {
            let path = sharded::within(folder, name)?;
            match input::open(&path)? {
                Named::File(input) => super::read_weights(input)?,
                Named::Directory => {
                    return Err(refuse(folder, format!("{} is a folder", quoted(name)), "hand over the file itself"));
                }
            }
        }
        Choice::Shards(shards) => from_shards(folder, &shards)?,
        Choice::Several(several) => {
            let shown: Vec<String> = several.iter().take(5).map(|n| quoted(n)).collect();
            let more = if several.len() > 5 { format!(" and {} more", several.len() - 5) } else { String::new() };
            let what = format!("a folder with several checkpoints: {}{more}", shown.join(", "));
            return Err(refuse(folder, what, "hand over one of them"));
        }
        Choice::None => match distributed(folder, &names)? {
            Some(checkpoint) => checkpoint,
            None => return Err(without_weights(folder, &names)),
        },
    };
    out.path = folder.into();
    out.remarks.extend(passed_over(&names, &out));
    out.remarks.extend(remote_code(folder, &names));
    beside::look(folder, &names, &mut out);
    Ok(out)
}

/// A folder of `torch.distributed.checkpoint` with its parts; `None` where it is none.
fn distributed(folder: &Path, names: &[String]) -> Result<Option<Checkpoint>, ReadError> {
    let has = |end: &str| names.iter().any(|n| n.ends_with(end));
    if !names.iter().any(|n| n == ".metadata") || !has(".distcp") {
        return Ok(None);
    }
    let open = |name: &str| match sharded::resolve(folder, name) {
        Inside::Here(path) => match input::open(&path) {
            Ok(Named::File(input)) => Ok(input.file),
            Ok(Named::Directory) => Err("a folder".into()),
            Err(e) => Err(e.what),
        },
        Inside::Missing => Err("no such file".into()),
        Inside::Outside(why) => Err(why),
    };
    let metadata = open(".metadata").map_err(|why| refuse(folder, format!(".metadata: {why}"), "fetch it again"))?;
    super::torch::distributed::read(folder, metadata, &open)
}

fn refuse(folder: &Path, what: String, remedy: &str) -> ReadError {
    ReadError { path: folder.into(), what, remedy: remedy.into(), code: "CK001" }
}

/// The names in a folder, sorted; those that are no Unicode are left out.
fn list(folder: &Path) -> Result<Vec<String>, ReadError> {
    let entries = std::fs::read_dir(folder).map_err(|e| ReadError {
        path: folder.into(),
        what: format!("the folder cannot be listed: {}", input::plain(&e)),
        remedy: "check its permissions".into(),
        code: "CK002",
    })?;
    let mut names: Vec<String> = entries.flatten().filter_map(|e| e.file_name().into_string().ok()).collect();
    names.sort();
    Ok(names)
}

/// What in a folder is the checkpoint.
#[derive(Debug, PartialEq, Eq)]
enum Choice<'a> {
    Index(&'a str),
    File(&'a str),
    Shards(Vec<String>),
    Several(Vec<&'a str>),
    None,
}

/// Chooses as `from_pretrained` does: a single file before an index, safetensors before torch; then whatever there is.
fn choose(names: &[String]) -> Choice<'_> {
    let there = |name: &str| names.iter().find(|n| n.as_str() == name).map(String::as_str);
    for suffix in ["safetensors", "bin"] {
        let stems: &[&str] = if suffix == "safetensors" {
            &["model", "diffusion_pytorch_model", "adapter_model"]
        } else {
            &["pytorch_model", "diffusion_pytorch_model", "adapter_model"]
        };
        for stem in stems {
            if let Some(name) = there(&format!("{stem}.{suffix}")) {
                return Choice::File(name);
            }
            if let Some(name) = there(&format!("{stem}.{suffix}.index.json")) {
                return Choice::Index(name);
            }
        }
        let index = format!(".{suffix}.index.json");
        let mut indices = names.iter().filter(|n| n.ends_with(&index)).map(String::as_str);
        match (indices.next(), indices.next()) {
            (Some(name), None) => return Choice::Index(name),
            (Some(a), Some(b)) => return Choice::Several([a, b].into_iter().chain(indices).collect()),
            _ => {}
        }
        if let Some(choice) = by_suffix(names, suffix) {
            return choice;
        }
    }
    let others: Vec<&str> = WEIGHTS.iter().skip(2).flat_map(|suffix| of_suffix(names, suffix)).collect();
    match others.as_slice() {
        [] => Choice::None,
        [one] => Choice::File(one),
        _ => Choice::Several(others),
    }
}

fn of_suffix<'a>(names: &'a [String], suffix: &str) -> Vec<&'a str> {
    let wanted = |name: &&str| {
        name.rsplit_once('.').is_some_and(|(_, s)| s == suffix) && !BESIDE.iter().any(|b| name.starts_with(b))
    };
    names.iter().map(String::as_str).filter(wanted).collect()
}

/// One file, one set of numbered shards, or several.
fn by_suffix<'a>(names: &'a [String], suffix: &str) -> Option<Choice<'a>> {
    let files = of_suffix(names, suffix);
    let (shards, single): (Vec<&str>, Vec<&str>) = files.iter().partition(|n| numbered(n).is_some_and(|n| n.of > 1));
    let stem = |name: &&str| numbered(name).map(|n| (n.stem.to_owned(), n.of));
    let first = shards.first().and_then(stem);
    match (single.as_slice(), &first) {
        ([], None) => None,
        ([one], None) => Some(Choice::File(one)),
        ([], Some(_)) if shards.iter().all(|s| stem(s) == first) => {
            Some(Choice::Shards(shards.into_iter().map(String::from).collect()))
        }
        _ => Some(Choice::Several(files)),
    }
}

fn read_index(input: &mut Input) -> Result<Checkpoint, ReadError> {
    match expected::read(input)? {
        Json::Index(index) => sharded::from_index(&input.path, index, true),
        Json::Keys(_) => Err(input.error("CK003", "no index of shards: it has no weight_map", "fetch the index again")),
    }
}

/// Numbered shards without an index: all numbers must be there.
fn from_shards(folder: &Path, shards: &[String]) -> Result<Checkpoint, ReadError> {
    let mut out = sharded::without_index(folder, shards)?;
    let of = shards.first().and_then(|s| numbered(s)).map_or(0, |n| n.of);
    let there: std::collections::HashSet<u32> = shards.iter().filter_map(|s| numbered(s)).map(|n| n.number).collect();
    let missing: Vec<u32> = (1..=of).filter(|n| !there.contains(n)).take(1000).collect();
    let message = match missing.as_slice() {
        [] => "the shards have no index".to_owned(),
        [one] => format!("shard {one} of {of} is missing, and there is no index"),
        [first, ..] => format!(
            "{} of {of} shards are missing, the first is number {first}, and there is no index",
            of as usize - there.len().min(of as usize)
        ),
    };
    out.complete &= missing.is_empty();
    out.remarks.insert(
        0,
        Remark {
            code: "CK010",
            error: !missing.is_empty(),
            message,
            help: "fetch the index.json, which says what each shard must hold".into(),
            examples: Vec::new(),
        },
    );
    Ok(out)
}

/// A second checkpoint in the folder that was not read.
fn passed_over(names: &[String], out: &Checkpoint) -> Option<Remark> {
    let both = |stem: &str, suffix: &str| {
        let index = format!("{stem}.{suffix}.index.json");
        (names.contains(&format!("{stem}.{suffix}")) && names.contains(&index)).then_some(index)
    };
    let index =
        if out.format == Format::Safetensors { both("model", "safetensors") } else { both("pytorch_model", "bin") }?;
    Some(Remark {
        code: "CK011",
        error: false,
        message: format!("the folder holds a single file and {} as well; the single file was read", quoted(&index)),
        help: "remove the one that is out of date".into(),
        examples: Vec::new(),
    })
}

/// `auto_map` in config.json: `from_pretrained(trust_remote_code=True)` runs Python files of the folder or of another repository.
fn remote_code(folder: &Path, names: &[String]) -> Option<Remark> {
    #[derive(serde::Deserialize)]
    struct Config {
        auto_map: Option<serde::de::IgnoredAny>,
    }
    if !names.iter().any(|n| n == "config.json") {
        return None;
    }
    let path = sharded::within(folder, "config.json").ok()?;
    let Ok(Named::File(mut input)) = input::open(&path) else { return None };
    let text = input.read_all(CONFIG).ok()?;
    let config: Config = serde_json::from_slice(&text).ok()?;
    config.auto_map.map(|_| Remark {
        code: "CK510",
        error: false,
        message: "config.json has an auto_map: with trust_remote_code=True, transformers runs Python code that comes with the model".into(),
        help: "read that code before turning trust_remote_code on".into(),
        examples: vec!["config.json".into()],
    })
}

/// What a folder without weights is.
fn without_weights(folder: &Path, names: &[String]) -> ReadError {
    let has = |test: &dyn Fn(&str) -> bool| names.iter().any(|n| test(n));
    let parts = names.iter().filter(|n| n.ends_with(".distcp")).count();
    let (what, remedy) = if names.is_empty() {
        ("an empty folder".to_owned(), "hand over the folder or file that holds the weights".to_owned())
    } else if has(&|n| n == ".metadata") && parts == 0 {
        (
            "a torch.distributed.checkpoint whose .distcp files are missing: only .metadata is there".into(),
            "fetch the .distcp files as well".into(),
        )
    } else if has(&|n| n == ".metadata") {
        (
            format!("a torch.distributed.checkpoint ({parts} .distcp files)"),
            "make one file of it: python -m torch.distributed.checkpoint.format_utils dcp_to_torch FOLDER model.pth"
                .into(),
        )
    } else if parts > 0 {
        (
            format!(
                "{parts} .distcp files of a torch.distributed.checkpoint whose .metadata is missing: saving did not finish"
            ),
            "use an earlier checkpoint, or fetch .metadata as well".into(),
        )
    } else if has(&|n| {
        n.starts_with("zero_pp_rank") || n.starts_with("global_step") || n.starts_with("bf16_zero_pp_rank")
    }) {
        (
            "a checkpoint of DeepSpeed ZeRO, spread over ranks".into(),
            "make one file of it: python zero_to_fp32.py FOLDER OUTPUT".into(),
        )
    } else if has(&|n| n == "saved_model.pb") {
        ("a TensorFlow SavedModel".into(), "export its weights to safetensors first".into())
    } else if has(&|n| n.ends_with(".gguf")) {
        ("a folder with GGUF files only".into(), "hand over the checkpoint they were converted from".into())
    } else if has(&|n| n.ends_with(".msgpack")) {
        ("a folder with Flax weights only".into(), "load them with from_flax=True and save them as safetensors".into())
    } else if has(&|n| n.ends_with(".h5")) {
        (
            "a folder with Keras or TensorFlow weights only".into(),
            "load them with from_tf=True and save them as safetensors".into(),
        )
    } else if has(&|n| n.ends_with(".index") || n == "checkpoint") {
        ("a folder with a TensorFlow checkpoint only".into(), "convert it to PyTorch first".into())
    } else if has(&|n| n == "_METADATA" || n == "_CHECKPOINT_METADATA" || n == "ocdbt.process_0") {
        ("a checkpoint of Orbax (JAX)".into(), "restore it with orbax and save it as safetensors".into())
    } else {
        let below = folders_with_weights(folder, names);
        let remedy = match below.as_slice() {
            [] => "hand over the folder or file that holds the weights".into(),
            below => format!("hand over a folder below it that does: {}", below.join(", ")),
        };
        ("a folder without weights".into(), remedy)
    };
    refuse(folder, what, &remedy)
}

/// Folders one level down (and below `snapshots`, where huggingface_hub keeps them) that hold weights, at most a handful.
fn folders_with_weights(folder: &Path, names: &[String]) -> Vec<String> {
    let holds = |path: &Path| list(path).is_ok_and(|names| !matches!(choose(&names), Choice::None));
    let mut found = Vec::new();
    for name in names.iter().take(256) {
        let path = folder.join(name);
        if !path.is_dir() {
            continue;
        }
        if holds(&path) {
            found.push(name_of(Path::new(name)));
        } else if name == "snapshots" {
            let below = list(&path).unwrap_or_default();
            let revision = below.iter().take(64).find(|revision| holds(&path.join(revision)));
            found.extend(revision.map(|revision| name_of(&Path::new(name).join(revision))));
        }
        if found.len() == 4 {
            break;
        }
    }
    found
}

#[cfg(test)]
mod tests;
