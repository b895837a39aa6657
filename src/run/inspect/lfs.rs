//! Whether git-lfs keeps a file out of the repository.

use std::path::Path;
use std::process::Command;

/// Who keeps the content of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keeper {
    /// git-lfs, and git has but a pointer.
    Lfs,
    /// git itself: the file lies in a repository, and its attributes do not name git-lfs.
    Git,
    /// Nobody that is known of: there is no git here, or no repository.
    Unknown,
}

/// Asks git, which alone knows all places where attributes may stand.
pub(super) fn keeper(file: &Path) -> Keeper {
    let mut git = Command::new("git");
    if let Some(folder) = file.parent().filter(|f| !f.as_os_str().is_empty()) {
        git.arg("-C").arg(folder);
    }
    let Some(name) = file.file_name() else { return Keeper::Unknown };
    match git.args(["check-attr", "-z", "filter", "--"]).arg(name).output() {
        // `name NUL filter NUL lfs NUL`
        Ok(done) if done.status.success() => match done.stdout.split(|&b| b == 0).nth(2) {
            Some(b"lfs") => Keeper::Lfs,
            _ => Keeper::Git,
        },
        _ => Keeper::Unknown,
    }
}
