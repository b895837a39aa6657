//! Pickles that lie beside the weights: the optimizer's state, the trainer's arguments, random states. Whoever goes on with the
//! training loads them, mostly with `weights_only=False`, so what they ask for counts as much as what the weights ask for.

use std::path::Path;

use crate::checkpoint::{Checkpoint, Import, Remark, Trust};
use crate::read::input::{self, Named};
use crate::read::sharded;
use crate::read::torch::{self, distributed};

/// Suffixes of files that are loaded as pickles.
const PICKLES: &[&str] = &["bin", "pt", "pth", "ckpt", "pkl", "pickle", "pck", "dump", "th", "tar", "joblib", "distcp"];
/// Files that are looked at, at most.
const MOST: usize = 256;

/// Adds what the pickles of a folder ask for that were not read as the checkpoint.
pub(super) fn look(folder: &Path, names: &[String], out: &mut Checkpoint) {
    let read: Vec<String> = out.files.iter().filter_map(|f| f.file_name()?.to_str()).map(str::to_owned).collect();
    let beside: Vec<&String> = names
        .iter()
        .filter(|n| !read.contains(n))
        .filter(|n| n.rsplit_once('.').is_some_and(|(_, s)| PICKLES.contains(&s.to_ascii_lowercase().as_str())))
        .collect();
    if beside.len() > MOST {
        out.remarks.push(Remark {
            code: "CK503",
            error: false,
            message: format!("of {} files beside the weights that may be pickles, {MOST} were looked at", beside.len()),
            help: "look at the others by themselves before they are loaded".into(),
            examples: Vec::new(),
        });
    }
    for name in beside.into_iter().take(MOST) {
        let Ok(path) = sharded::within(folder, name) else { continue };
        let Ok(Named::File(input)) = input::open(&path) else { continue };
        let Ok(again) = input.file.try_clone() else { continue };
        let Some(found) = distributed::asks(&path, input.file) else {
            packed(name, torch::dangerous_inside(again), out);
            continue;
        };
        out.imports.extend(found.imports.into_iter().map(|mut import| {
            import.place = format!("{name}: {}", import.place);
            import
        }));
        // What is dangerous or not known to its end is said; that a training state asks for names on no list is not.
        out.remarks.extend(found.remarks.into_iter().filter(|r| ["CK501", "CK503"].contains(&r.code)).map(
            |mut remark| {
                remark.message = format!("{name}, beside the weights: {}", remark.message);
                remark
            },
        ));
    }
}

/// Says what dangerous globals are asked for within a file that is no pickle itself: an archive, a compressed one.
fn packed(name: &str, dangerous: Vec<String>, out: &mut Checkpoint) {
    let Some(first) = dangerous.first() else { return };
    out.remarks.push(Remark {
        code: "CK501",
        error: true,
        message: format!("{name}, beside the weights: what is packed in it asks for {first}, which runs code"),
        help: "do not load it; ask the author for a safetensors file".into(),
        examples: dangerous.clone(),
    });
    out.imports.extend(dangerous.into_iter().map(|global| Import {
        global,
        trust: Trust::Dangerous,
        called: true,
        rule: None,
        place: name.to_owned(),
    }));
}
