//! Members of a torch zip that no record leads to, and what pickles, archives and arrays of objects among them ask for.

use super::archive::Archive;
use super::loaded::{Loaded, Run, remark, run};
use super::world::Era;
use super::zip::MOST_UNPACKED;
use super::{carried, legacy};
use crate::read::pickle::Source;

/// Members that are looked into for pickles nobody mentions.
const MOST_HIDDEN: usize = 10_000;
/// Archives within the archive that are looked into.
const MOST_ARCHIVES: usize = 64;

/// Pickles that no record leads to: whoever opens the archive by another name would run them.
pub(super) fn look(
    archive: &Archive,
    folder: &[u8],
    depth: u32,
    mentioned: &[bool],
    disagree: &mut Vec<String>,
    loaded: &mut Loaded,
) {
    let (mut looked, mut archives) = (0, 0);
    let mut found = Vec::new();
    for (index, member) in archive.members.iter().enumerate() {
        if mentioned.get(index).copied().unwrap_or(true) {
            continue;
        }
        // What one reader takes for a pickle another may find in the middle of something else, or not at all.
        if looked <= MOST_HIDDEN {
            let name = || String::from_utf8_lossy(archive.name(member)).into_owned();
            match archive.local(member) {
                Ok(local) if local.agrees => {}
                Ok(_) => disagree.push(name()),
                Err(why) => _ = loaded.cut.get_or_insert_with(|| format!("{}: {why}", name())),
            }
        }
        if member.size == 0 {
            continue;
        }
        let name = archive.name(member);
        let inner = name.strip_prefix(folder).unwrap_or(name);
        let own = [b"constants.pkl".as_slice(), b"bytecode.pkl", b"traced_inputs.pkl", b"mobile_debug_handles.pkl"]
            .contains(&inner)
            || inner.ends_with(b".debug_pkl")
            || inner.starts_with(b"constants/");
        // Code in Python reads like opcodes of protocol 0, and numbers like anything.
        let text = inner.ends_with(b".py") || inner.starts_with(b"constants/");
        looked += usize::from(!text || member.method != 0);
        if looked > MOST_HIDDEN {
            loaded.cut.get_or_insert(format!("more than {MOST_HIDDEN} members that no record leads to"));
            break;
        }
        let place = String::from_utf8_lossy(name).into_owned();
        let source = match archive.read(member, MOST_UNPACKED) {
            Ok(source) => source,
            Err(why) => {
                loaded.cut.get_or_insert(format!("{place}: {why}"));
                continue;
            }
        };
        let head = source.bytes(0, 2).unwrap_or_default();
        if text && !matches!(head[..], [0x80, 0..=5]) {
            continue;
        }
        if !text && carried::has_a_form(&source) {
            archives += 1;
            if archives > MOST_ARCHIVES {
                loaded.cut.get_or_insert(format!("more than {MOST_ARCHIVES} archives within the archive"));
                continue;
            }
            if let Some(inner) = carried::inside(&source, depth) {
                if !inner.globals.is_empty() {
                    found.push(place.clone());
                }
                loaded.within.push((place, inner));
                continue;
            }
        }
        let Some(run) = as_pickle(&source, &head, depth, &place) else { continue };
        if text && run.pickle.broken.is_some() && run.pickle.heap.globals.is_empty() {
            continue;
        }
        let end = run.pickle.broken.is_none().then_some(run.pickle.end);
        if !own {
            found.push(place.clone());
        }
        loaded.runs.push(run);
        if let Some(end) = end.filter(|&end| end < source.len()) {
            legacy::trailing(&source, end, depth, &place, loaded);
        }
    }
    if !found.is_empty() {
        let mut remark = remark(
            "CK505",
            true,
            format!("{} in the archive that torch.load does not read by itself", pickles(found.len())),
            "what reads them by their name runs what they ask for; unpack the archive and look at them",
        );
        remark.examples = found.into_iter().take(5).collect();
        loaded.remarks.push(remark);
    }
}

fn pickles(count: usize) -> String {
    if count == 1 { "a pickle".into() } else { format!("{count} pickles") }
}

/// A member run as a pickle, where it is one: it declares a protocol, or runs to its STOP and asks for something.
fn as_pickle(source: &Source, head: &[u8], depth: u32, place: &str) -> Option<Run> {
    if !matches!(head, [0x80, 0..=5]) && crate::read::pickle::opcode::name(*head.first()?).is_none() {
        return None;
    }
    let run = run(source, 0, Era::Bare, depth, place);
    let declared = matches!(head, [0x80, 0..=5]) && run.pickle.steps > 2;
    let asks = !run.pickle.heap.globals.is_empty();
    match &run.pickle.broken {
        None if declared || asks => Some(run),
        Some(_) if asks => Some(run),
        _ => None,
    }
}
