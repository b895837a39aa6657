//! Whether git-lfs keeps a file out of the repository.

use std::path::Path;
use std::process::Command;

/// Asks git, which alone knows all places where attributes may stand. `false` where there is no git or no repository.
pub(super) fn manages(file: &Path) -> bool {
    let mut git = Command::new("git");
    if let Some(folder) = file.parent().filter(|f| !f.as_os_str().is_empty()) {
        git.arg("-C").arg(folder);
    }
    let Some(name) = file.file_name() else { return false };
    let done = git.args(["check-attr", "-z", "filter", "--"]).arg(name).output();
    // `name NUL filter NUL lfs NUL`
    done.is_ok_and(|done| done.status.success() && done.stdout.split(|&b| b == 0).nth(2) == Some(b"lfs"))
}
