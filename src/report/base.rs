//! Paths as review tools want them: relative to the folder that the program runs in, with forward slashes.

use std::path::{Component, Path, PathBuf};

/// The folder that paths are written relative to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base(PathBuf);

impl Base {
    /// A folder, as an absolute path.
    pub fn new(folder: impl Into<PathBuf>) -> Base {
        Base(folder.into())
    }

    /// The working directory; where that is gone, paths stay as they are given.
    pub fn here() -> Base {
        Base(std::env::current_dir().unwrap_or_default())
    }

    /// `path` relative to this folder; an absolute one where it lies elsewhere.
    pub fn place(&self, path: &Path) -> Location {
        let whole = normal(&self.0.join(path));
        let below = |whole: &Path| whole.strip_prefix(&self.0).ok().map(slashes);
        // A working directory is told without links; a path that was given may go through some.
        let resolved = || below(&path.canonicalize().ok()?);
        match below(&whole).or_else(resolved) {
            Some(path) => Location { path, inside: true },
            None => Location { path: slashes(&whole), inside: false },
        }
    }
}

/// A file, by a path with forward slashes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Location {
    /// Relative where `inside`, otherwise absolute.
    pub path: String,
    /// Whether it lies within the folder that paths are relative to.
    pub inside: bool,
}

impl Location {
    /// As a URI reference of RFC 3986: `weights/a%20b.pth`, or `file:///data/a.pth`.
    pub fn uri(&self) -> String {
        let mut out = String::new();
        if !self.inside {
            out.push_str(if self.path.starts_with('/') { "file://" } else { "file:///" });
        }
        for (i, byte) in self.path.bytes().enumerate() {
            let plain = byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
            // The colon of `C:` may stay; in the first segment of a relative reference it would read as a scheme.
            if plain || (byte == b':' && !self.inside && i == 1) {
                out.push(char::from(byte));
            } else {
                out.push_str(&format!("%{byte:02X}"));
            }
        }
        out
    }
}

/// Without `.` and `..`, by the names alone.
fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if matches!(out.components().next_back(), Some(Component::Normal(_))) => {
                out.pop();
            }
            other => out.push(other),
        }
    }
    out
}

fn slashes(path: &Path) -> String {
    let text = path.to_string_lossy();
    if std::path::MAIN_SEPARATOR == '\\' { text.replace('\\', "/") } else { text.into_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_below_the_folder_is_relative_and_percent_encoded() {
        let base = Base::new("/repo");
        for (given, uri) in [
            ("a/b.pth", "a/b.pth"),
            ("./a/../b.pth", "b.pth"),
            ("/repo/a b#1.pth", "a%20b%231.pth"),
            ("模.json", "%E6%A8%A1.json"),
            ("c:d.json", "c%3Ad.json"),
            ("100%.json", "100%25.json"),
        ] {
            assert_eq!(base.place(Path::new(given)).uri(), uri, "{given}");
        }
    }

    #[test]
    fn a_path_elsewhere_is_a_file_uri() {
        let base = Base::new("/repo/sub");
        assert_eq!(base.place(Path::new("../other/a.pth")).uri(), "file:///repo/other/a.pth");
        assert_eq!(base.place(Path::new("/repository/a.pth")).uri(), "file:///repository/a.pth");
    }
}
