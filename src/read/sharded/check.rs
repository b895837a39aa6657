//! Whether an index and the headers of its shards say the same.

use std::collections::{HashMap, HashSet};

use super::{Merged, number};
use crate::checkpoint::{Checkpoint, Format, Remark, TensorInfo, quoted};
use crate::read::expected::Index;
use crate::read::names::{examples, given_twice};

/// How a key of the index fares.
#[derive(Default)]
struct Tally<'a> {
    /// In a shard, and not in the index.
    unlisted: Vec<&'a str>,
    /// In the index, and not in the shard it names, though that was read.
    absent: Vec<&'a str>,
    /// In another shard than the index says.
    elsewhere: Vec<&'a str>,
    /// In the index, in a shard that was not read.
    lost: Vec<&'a str>,
}

/// Holds the shards against their index.
pub(super) fn against(mut merged: Merged, index: &Index) -> Checkpoint {
    let (promised, twice) = promises(index);
    keep_one_of_each(&mut merged, |key| promised.get(key).copied());
    let tally = tally(&merged, index, &promised);
    let mut remarks = Vec::new();
    remarks.extend(shards(&merged, &tally.lost));
    let error = |code, error, message: String, help: &str, keys: &[&str]| {
        (!keys.is_empty()).then(|| Remark {
            code,
            error,
            message,
            help: help.into(),
            examples: examples(keys.iter().copied()),
        })
    };
    remarks.extend(error(
        "CK011",
        true,
        count(&tally.absent, "that the index names", "not in the shard it gives for"),
        "the index belongs to another version of the shards; fetch all of them again",
        &tally.absent,
    ));
    remarks.extend(error(
        "CK011",
        false,
        count(&tally.elsewhere, "", "in another shard than the index gives for"),
        "loaders that open single shards will not find it; write the index again",
        &tally.elsewhere,
    ));
    remarks.extend(error(
        "CK011",
        false,
        count(&tally.unlisted, "of the shards", "not in the index, which should name"),
        "loaders that follow the index leave out what it does not name; write the index again",
        &tally.unlisted,
    ));
    if let Some((key, what)) = index.nameless.first() {
        let message = match index.nameless.len() {
            1 => format!("the shard of {} is {what}, not a file name", quoted(key)),
            n => format!("the shards of {n} keys are no file names, as of {} ({what})", quoted(key)),
        };
        let keys: Vec<&str> = index.nameless.iter().map(|(key, _)| key.as_str()).collect();
        remarks.extend(error("CK011", true, message, "fetch the index again", &keys));
    }
    if !twice.is_empty() {
        remarks.push(given_twice(&twice, "the last one counts; fetch the index again"));
    }
    let whole = merged.missing.is_empty() && merged.refused.is_empty() && merged.out.unreadable.is_empty();
    if whole && let Some(said) = index.total_size {
        remarks.extend(total_size(&merged.out, said));
    }
    finish(merged, remarks)
}

/// Puts shards together that have no index.
pub(super) fn alone(mut merged: Merged) -> Checkpoint {
    keep_one_of_each(&mut merged, |_| None);
    let remarks = shards(&merged, &[]).into_iter().collect();
    finish(merged, remarks)
}

fn finish(merged: Merged, remarks: Vec<Remark>) -> Checkpoint {
    let Merged { mut out, safetensors, missing, refused, .. } = merged;
    out.format = if safetensors { Format::SafetensorsSharded } else { Format::TorchSharded };
    out.complete &= missing.is_empty() && refused.is_empty();
    out.remarks.splice(0..0, remarks);
    for container in &mut out.containers {
        container.tensors = 0;
    }
    for tensor in &out.tensors {
        if let Some(container) = out.containers.get_mut(tensor.container as usize) {
            container.tensors += 1;
        }
    }
    out
}

/// Key → shard, the last one counting, and the keys that the index gives more than once.
fn promises(index: &Index) -> (HashMap<&str, u32>, Vec<Box<str>>) {
    let mut promised = HashMap::with_capacity(index.keys.len());
    let mut twice = Vec::new();
    for (key, shard) in &index.keys {
        if promised.insert(&**key, *shard).is_some() && !twice.contains(key) && twice.len() < 1000 {
            twice.push(key.clone());
        }
    }
    (promised, twice)
}

/// Where several shards hold one key, keeps the one that the index names, otherwise the last, and says so.
fn keep_one_of_each<'a>(merged: &mut Merged, promised: impl Fn(&str) -> Option<u32> + 'a) {
    let mut places: HashMap<&str, Vec<usize>> = HashMap::new();
    let mut seen: HashSet<&str> = HashSet::with_capacity(merged.out.tensors.len());
    let again: HashSet<&str> = merged.out.tensors.iter().map(|t| &*t.path).filter(|path| !seen.insert(path)).collect();
    if again.is_empty() {
        return;
    }
    for (at, tensor) in merged.out.tensors.iter().enumerate() {
        if again.contains(&*tensor.path) {
            places.entry(&tensor.path).or_default().push(at);
        }
    }
    let mut drop: HashSet<usize> = HashSet::new();
    let mut keys: Vec<&str> = Vec::new();
    for (key, at) in &places {
        let wanted = promised(key).and_then(|shard| at.iter().rev().find(|&&i| merged.from.get(i) == Some(&shard)));
        let kept = wanted.or(at.last());
        drop.extend(at.iter().filter(|i| Some(*i) != kept));
        keys.push(key);
    }
    keys.sort_unstable();
    let message = match keys.as_slice() {
        [key] => format!("{} is in more than one shard", quoted(key)),
        keys => format!("{} keys are in more than one shard", keys.len()),
    };
    let remark = Remark {
        code: "CK011",
        error: false,
        message,
        help: "which one is loaded depends on the loader; write the shards again".into(),
        examples: examples(keys.into_iter()),
    };
    let mut at = 0;
    merged.out.tensors.retain(|_| {
        at += 1;
        !drop.contains(&(at - 1))
    });
    let mut at = 0;
    merged.from.retain(|_| {
        at += 1;
        !drop.contains(&(at - 1))
    });
    merged.out.remarks.push(remark);
}

fn tally<'a>(merged: &'a Merged, index: &'a Index, promised: &HashMap<&'a str, u32>) -> Tally<'a> {
    let mut tally = Tally::default();
    let mut there: HashMap<&str, u32> = HashMap::with_capacity(merged.out.tensors.len());
    for (tensor, shard) in merged.out.tensors.iter().zip(&merged.from) {
        there.insert(&tensor.path, *shard);
        if !promised.contains_key(&*tensor.path) {
            tally.unlisted.push(&tensor.path);
        }
    }
    let unreadable: HashSet<&str> = merged.out.unreadable.iter().map(|u| u.path.as_str()).collect();
    let mut seen: HashSet<&str> = HashSet::with_capacity(promised.len());
    for (key, _) in &index.keys {
        // Of a key that is given twice the last shard counts.
        let Some(shard) = promised.get(&**key).filter(|_| seen.insert(key)) else { continue };
        match there.get(&**key) {
            Some(found) if found == shard => {}
            Some(_) => tally.elsewhere.push(key),
            None if merged.done.get(*shard as usize) != Some(&true) => tally.lost.push(key),
            // A tensor that could not be read has been told of.
            None if unreadable.contains(&**key) => {}
            None => tally.absent.push(key),
        }
    }
    tally
}

/// Which shards are missing or unreadable, and how many keys are lost with them.
fn shards(merged: &Merged, lost: &[&str]) -> Vec<Remark> {
    const SHOWN: usize = 5;
    let total = merged.done.len();
    let with_keys = match lost {
        [] => String::new(),
        [key] => format!("; with it {} is lost", quoted(key)),
        keys => format!(
            "; with it {} keys are lost, the first is {}",
            keys.len(),
            keys.first().map_or(String::new(), |k| quoted(k))
        ),
    };
    let mut out = Vec::new();
    if let Some(first) = merged.missing.first() {
        let names: Vec<String> = merged.missing.iter().take(SHOWN).map(|n| quoted(n)).collect();
        let more = if merged.missing.len() > SHOWN {
            format!(" and {} more", merged.missing.len() - SHOWN)
        } else {
            String::new()
        };
        let message = match merged.missing.len() {
            1 => format!("1 of {total} shards is missing: {}{with_keys}", quoted(first)),
            n => format!(
                "{n} of {total} shards are missing: {}{more}{}",
                names.join(", "),
                with_keys.replace("with it", "with them")
            ),
        };
        let help = "fetch the missing shards (half a download?)".into();
        out.push(Remark {
            code: "CK010",
            error: true,
            message,
            help,
            examples: examples(merged.missing.iter().map(String::as_str)),
        });
    }
    for (name, code, why) in merged.refused.iter().take(SHOWN) {
        let lost = if out.is_empty() { with_keys.as_str() } else { "" };
        let message = format!("the shard {} is not read: {why}{lost}", quoted(name));
        let help =
            if *code == "CK012" { "put the shards beside the index, under plain names" } else { "fetch it again" };
        out.push(Remark { code, error: true, message, help: help.into(), examples: vec![name.clone()] });
    }
    if merged.refused.len() > SHOWN {
        let message = format!("{} more shards are not read", merged.refused.len() - SHOWN);
        let names = merged.refused.iter().skip(SHOWN).map(|(name, ..)| name.as_str());
        out.push(Remark { code: "CK010", error: true, message, help: String::new(), examples: examples(names) });
    }
    out
}

/// `the key `a` that the index names is not in the shard it gives for it`
fn count(keys: &[&str], which: &str, what: &str) -> String {
    let which = if which.is_empty() { String::new() } else { format!(" {which}") };
    match keys {
        [key] => format!("the key {}{which} is {what} it", quoted(key)),
        keys => format!("{} keys{which} are {what} them", keys.len()),
    }
}

/// `metadata.total_size` against what the shards hold.
fn total_size(out: &Checkpoint, said: u64) -> Option<Remark> {
    let bytes = |t: &TensorInfo| {
        let bits = t.shape.as_ref()?.numel()?.checked_mul(t.dtype?.bits().into())?;
        Some(bits.div_ceil(8))
    };
    let mut by_tensor = 0u64;
    for tensor in &out.tensors {
        by_tensor = by_tensor.saturating_add(bytes(tensor)?);
    }
    // Tied weights are counted once by some writers and twice by others.
    let used: HashSet<u32> = out.tensors.iter().filter_map(|t| Some(t.placement.as_ref()?.storage)).collect();
    let stored = |(at, s): (usize, &crate::checkpoint::Storage)| used.contains(&number(at)).then_some(s.bytes);
    let by_storage = out.storages.iter().enumerate().filter_map(stored).fold(0u64, u64::saturating_add);
    if said == by_tensor || said == by_storage {
        return None;
    }
    let message = format!("the index says that the tensors take {said} bytes, they take {by_tensor}");
    let help = "the index belongs to another version of the shards; fetch all of them again".into();
    Some(Remark { code: "CK011", error: false, message, help, examples: Vec::new() })
}
