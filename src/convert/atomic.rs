//! Files that are there whole or not at all: written under another name beside the wanted one, then renamed.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::ConvertError;

/// A file that is being written: `NAME.PID.part`. Removed when it is dropped before it was given its name.
///
/// A process that is killed leaves it behind; the wanted file is then as it was before, or not there.
#[derive(Debug)]
pub(super) struct Part {
    file: File,
    part: PathBuf,
    target: PathBuf,
    named: bool,
}

impl Part {
    /// Begins a file that will be `target`.
    ///
    /// # Errors
    /// Where the folder cannot be written to.
    pub(super) fn create(target: &Path) -> Result<Part, ConvertError> {
        let mut name = target.file_name().unwrap_or_default().to_os_string();
        name.push(format!(".{}.part", std::process::id()));
        let part = target.with_file_name(name);
        // Not by way of a private temporary file: what others may read follows from the umask.
        let file = File::options().read(true).write(true).create_new(true).open(&part);
        let file = file.map_err(|e| refused(&e, &part))?;
        Ok(Part { file, part, target: target.to_owned(), named: false })
    }

    /// The open file.
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Where it stands for now.
    pub(super) fn path(&self) -> &Path {
        &self.part
    }

    /// Gives the file its name, in place of what has it now where `replace` is set.
    ///
    /// # Errors
    /// Where a file of that name has come up meanwhile, or the system refuses.
    pub(super) fn finish(mut self, replace: bool) -> Result<(), ConvertError> {
        let done = if replace {
            // The old file goes away with this: a power cut must not take both.
            let replacing = self.target.exists();
            if replacing {
                self.file.sync_all().map_err(|e| refused(&e, &self.part))?;
            }
            fs::rename(&self.part, &self.target)
        } else {
            // Unlike a rename, a link never takes the place of another file.
            match fs::hard_link(&self.part, &self.target) {
                Ok(()) => fs::remove_file(&self.part),
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => return Err(exists(&self.target)),
                // Some file systems know no links.
                Err(_) => fs::rename(&self.part, &self.target),
            }
        };
        done.map_err(|e| refused(&e, &self.target))?;
        self.named = true;
        Ok(())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.named {
            // What was begun is of no use, and that it cannot be removed does not matter beside the error that led here.
            let _ = fs::remove_file(&self.part);
        }
    }
}

/// Files that runs which were killed left beside `target`.
pub fn leftovers(target: &Path) -> Vec<PathBuf> {
    let folder = target.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let stem = name.strip_suffix(".safetensors").unwrap_or(&name);
    let is_part = |found: &str| {
        let pid = found.strip_suffix(".part").and_then(|f| f.rsplit_once('.'));
        pid.is_some_and(|(file, pid)| {
            file.starts_with(stem) && !pid.is_empty() && pid.bytes().all(|b| b.is_ascii_digit())
        })
    };
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> =
        entries.filter(|e| is_part(&e.file_name().to_string_lossy())).map(|e| e.path()).collect();
    found.sort();
    found
}

/// That a file is in the way.
pub(super) fn exists(path: &Path) -> ConvertError {
    ConvertError::new("is there already", "--force replaces it").at(path)
}

/// What the system said when a file was written.
pub(super) fn refused(e: &io::Error, path: &Path) -> ConvertError {
    let (what, remedy) = match e.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            (format!("the disk is full: {e}"), "nothing was changed; make room, or write to another disk")
        }
        io::ErrorKind::FileTooLarge => (
            format!("the file would be larger than the system allows: {e}"),
            "nothing was changed; ulimit -f, or --shard-size",
        ),
        io::ErrorKind::NotFound => ("its folder is not there".to_owned(), "make the folder first"),
        _ => (format!("cannot be written: {e}"), "check the folder and its permissions"),
    };
    // The name that was asked for, not the one it has meanwhile.
    let name = path.to_string_lossy();
    let wanted = name.strip_suffix(".part").and_then(|n| n.rsplit_once('.')).map(|(n, _)| PathBuf::from(n));
    ConvertError::new(what, remedy).at(wanted.unwrap_or_else(|| path.to_owned()))
}

/// Whether two paths lead to one file.
pub(super) fn same_file(a: &Path, b: &Path) -> bool {
    match (fs::canonicalize(a), fs::canonicalize(b)) {
        (Ok(x), Ok(y)) if x == y => true,
        (Ok(x), Ok(y)) => one_inode(&x, &y),
        _ => false,
    }
}

#[cfg(unix)]
fn one_inode(a: &Path, b: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    match (fs::metadata(a), fs::metadata(b)) {
        (Ok(x), Ok(y)) => (x.dev(), x.ino()) == (y.dev(), y.ino()),
        _ => false,
    }
}

#[cfg(not(unix))]
fn one_inode(_: &Path, _: &Path) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_file_has_its_name_only_when_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("a.safetensors");
        let part = Part::create(&target).unwrap();
        part.file().write_all(b"half").unwrap();
        assert!(!target.exists());
        assert_eq!(leftovers(&target), [part.path().to_owned()]);
        drop(part);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "what was begun is removed");
        let part = Part::create(&target).unwrap();
        part.file().write_all(b"whole").unwrap();
        part.finish(false).unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"whole");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_came_up_meanwhile_is_not_replaced_unasked() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("a.safetensors");
        let part = Part::create(&target).unwrap();
        fs::write(&target, b"other").unwrap();
        assert!(part.finish(false).unwrap_err().to_string().contains("is there already"));
        assert_eq!(fs::read(&target).unwrap(), b"other");
        let part = Part::create(&target).unwrap();
        part.finish(true).unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"");
        assert_eq!(leftovers(&target), [] as [PathBuf; 0]);
    }

    #[cfg(unix)]
    #[test]
    fn what_others_may_read_follows_from_the_umask() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let (plain, made) = (folder.path().join("plain"), folder.path().join("made"));
        fs::write(&plain, b"").unwrap();
        Part::create(&made).unwrap().finish(false).unwrap();
        let mode = |p: &Path| fs::metadata(p).unwrap().permissions().mode();
        assert_eq!(mode(&plain), mode(&made));
    }

    #[cfg(unix)]
    #[test]
    fn links_lead_to_one_file() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b, c) = (folder.path().join("a"), folder.path().join("b"), folder.path().join("c"));
        fs::write(&a, b"x").unwrap();
        fs::hard_link(&a, &b).unwrap();
        std::os::unix::fs::symlink(&a, &c).unwrap();
        assert!(same_file(&a, &b) && same_file(&a, &c) && !same_file(&a, folder.path()));
    }
}
