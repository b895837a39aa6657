//! Names that a file gives for other files, followed only within its own folder.

use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use crate::read::input::plain;

/// Where a name leads.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::read) enum Inside {
    /// To this file, within the folder.
    Here(PathBuf),
    /// Nowhere.
    Missing,
    /// Out of the folder, or in a circle; why it is not followed.
    Outside(String),
}

/// Follows `name` from `folder`.
pub(in crate::read) fn resolve(folder: &Path, name: &str) -> Inside {
    let outside = |why: &str| Inside::Outside(why.to_owned());
    let drive = name.as_bytes().get(1) == Some(&b':');
    if name.is_empty() || name.contains(['\\', '\0']) || drive {
        return outside("its name is no plain file name");
    }
    if !Path::new(name).components().all(|c| matches!(c, Component::Normal(_))) {
        return outside("its name leads out of the folder, and is not followed");
    }
    let path = folder.join(name);
    match std::fs::symlink_metadata(&path) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Inside::Missing,
        Err(e) => return Inside::Outside(format!("cannot be looked at: {}", plain(&e))),
        Ok(_) => {}
    }
    // A link may have been packed with the file; where it leads is known only now.
    let (Ok(root), real) = (folder.canonicalize(), path.canonicalize()) else {
        return outside("its folder cannot be looked at");
    };
    match real {
        Ok(real) if real.starts_with(&root) || cache_of(&root).is_some_and(|blobs| real.starts_with(blobs)) => {
            Inside::Here(path)
        }
        Ok(_) => outside("a symbolic link that leads out of the folder, and is not followed"),
        Err(e) if e.kind() == ErrorKind::NotFound => outside("a symbolic link to nowhere"),
        Err(_) => outside("a symbolic link that leads back to itself"),
    }
}

/// The folder of blobs that a snapshot in the cache of huggingface_hub links to: `…/snapshots/<revision>/x` → `…/blobs/<hash>`.
fn cache_of(folder: &Path) -> Option<PathBuf> {
    let snapshots = folder.ancestors().find(|a| a.file_name().is_some_and(|n| n == "snapshots"))?;
    snapshots.parent().map(|repository| repository.join("blobs"))
}
