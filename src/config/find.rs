//! From the patterns of a contract to the files that are there, and from a given file to the contracts it belongs to.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use super::{Config, Contract, Source};

/// Entries of folders that are looked at for one pattern; more is a pattern that was not meant so.
const MOST: usize = 1_000_000;

/// The files of a contract.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    /// Each path once, relative to the configuration, sorted within each pattern.
    pub paths: Vec<String>,
    /// Entries of `source` that matched nothing: their index.
    pub unmatched: Vec<usize>,
}

/// Whether a pattern has to be looked for, and is not the name of a file.
pub(super) fn is_glob(text: &str) -> bool {
    text.contains(['*', '?', '[', '{'])
}

impl Config {
    /// The files that a contract is about.
    ///
    /// # Errors
    /// Where a folder cannot be listed.
    pub fn sources(&self, contract: &Contract) -> io::Result<Sources> {
        let mut out = Sources::default();
        let mut seen = BTreeSet::new();
        for (index, source) in contract.sources.iter().enumerate() {
            let found = self.matches(source)?;
            if found.is_empty() {
                out.unmatched.push(index);
            }
            out.paths.extend(found.into_iter().filter(|path| seen.insert(path.clone())));
        }
        Ok(out)
    }

    /// Paths that an entry of `source` stands for, sorted. A pattern means files, or folders where it ends in `/`.
    fn matches(&self, source: &Source) -> io::Result<Vec<String>> {
        let Some(glob) = &source.glob else {
            let there = self.at(&source.text).exists();
            return Ok(if there { vec![source.text.clone()] } else { Vec::new() });
        };
        let wants_folders = source.text.ends_with('/');
        let text = source.text.trim_end_matches('/');
        // Only below the part without wildcards is there anything to find.
        let wild = text.find(['*', '?', '[', '{']).unwrap_or(text.len());
        let base = text.get(..wild).and_then(|plain| plain.rfind('/')).and_then(|cut| text.get(..cut)).unwrap_or("");
        let deep = text.contains("**") || text.contains('{');
        let levels = if deep { usize::MAX } else { text.matches('/').count() + 1 - base.split_terminator('/').count() };
        let (mut found, mut looked) = (Vec::new(), 0);
        let mut folders = vec![(base.to_owned(), levels)];
        while let Some((folder, levels)) = folders.pop() {
            let entries = match fs::read_dir(self.at(if folder.is_empty() { "." } else { &folder })) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                other => other?,
            };
            for entry in entries {
                let entry = entry?;
                looked += 1;
                if looked > MOST {
                    return Err(io::Error::other(format!("`{}`: too many files to look through", source.text)));
                }
                // A name that is no text cannot be written into the configuration either.
                let Ok(name) = entry.file_name().into_string() else { continue };
                let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
                // Links to files are followed (caches of models consist of them), links to folders are not: they may
                // lead in a circle.
                let kind = entry.file_type()?;
                let is_folder = kind.is_dir();
                let is_file = kind.is_file() || (kind.is_symlink() && entry.path().is_file());
                if glob.is_match(&path) && if wants_folders { is_folder } else { is_file } {
                    found.push(path.clone());
                }
                if is_folder && levels > 1 && entry.file_name() != OsStr::new(".git") {
                    folders.push((path, levels.saturating_sub(1)));
                }
            }
        }
        found.sort();
        Ok(found)
    }

    /// A path as given on the command line, relative to the configuration in the form that patterns are matched against.
    /// `None` where it is on another drive, or no text.
    pub fn relative(&self, given: &Path) -> Option<String> {
        let home = if self.home.as_os_str().is_empty() { Path::new(".") } else { &self.home };
        let (home, given) = (normal(&real(home)), normal(&real(given)));
        let (home, given): (Vec<_>, Vec<_>) = (home.components().collect(), given.components().collect());
        let shared = home.iter().zip(&given).take_while(|(a, b)| a == b).count();
        let up = home.get(shared..)?.iter().map(|_| "..");
        let down = given.get(shared..)?.iter().map(|c| c.as_os_str().to_str());
        let parts: Option<Vec<&str>> = up.map(Some).chain(down).collect();
        Some(parts?.join("/"))
    }
}

/// The path without links, as far as it exists. A link as the last part is kept: it is the link that a pattern names.
fn real(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    match (absolute.parent().map(fs::canonicalize), absolute.file_name()) {
        (Some(Ok(parent)), Some(name)) => parent.join(name),
        _ => fs::canonicalize(&absolute).unwrap_or(absolute),
    }
}

/// The path without `.` and `..`.
fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                out.pop();
            }
            other => out.push(other),
        }
    }
    out
}

impl Contract {
    /// Whether a path, relative to the configuration, is one of the model's side: expected, or a rule of this contract.
    pub fn expects(&self, path: &str) -> bool {
        below(path, &self.expected) || self.rules.as_deref().is_some_and(|rules| below(path, rules))
    }

    /// Which of `sources` a path stands for: itself, the folder it lies in, or the index that lists it as a shard.
    pub fn source_of<'s>(&self, path: &str, sources: &'s [String]) -> Option<&'s String> {
        let folder = |p: &str| p.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
        let index = |source: &str| source.ends_with(".index.json") && folder(source) == folder(path);
        sources.iter().find(|s| s.as_str() == path).or_else(|| sources.iter().find(|s| below(path, s) || index(s)))
    }
}

/// Whether a path is this one, or lies below it.
fn below(path: &str, folder: &str) -> bool {
    let folder = folder.trim_end_matches('/');
    path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        folder
    }

    fn config(folder: &Path, sources: &str) -> Config {
        let text = format!("[[contract]]\nname = \"c\"\nsource = {sources}\nexpected = \"e.json\"\n");
        Config::parse(&folder.join(super::super::NAME), &text).unwrap()
    }

    fn found(files: &[&str], sources: &str) -> Sources {
        let folder = project(files);
        let config = config(folder.path(), sources);
        config.sources(&config.contracts[0]).unwrap()
    }

    #[test]
    fn a_star_stays_within_a_folder_and_two_stars_do_not() {
        let files = ["w/b.pth", "w/a.pth", "w/old/c.pth", "w/a.txt", "d.pth"];
        assert_eq!(found(&files, "\"w/*.pth\"").paths, ["w/a.pth", "w/b.pth"]);
        assert_eq!(found(&files, "\"w/**/*.pth\"").paths, ["w/a.pth", "w/b.pth", "w/old/c.pth"]);
        assert_eq!(found(&files, "\"**/*.pth\"").paths.len(), 4);
        assert_eq!(found(&files, "\"w/{old/c,a}.pth\"").paths, ["w/a.pth", "w/old/c.pth"]);
    }

    #[test]
    fn patterns_that_find_nothing_are_named_and_each_file_counts_once() {
        let sources = found(&["w/a.pth"], "[\"w/a.pth\", \"w/*.pth\", \"v/*.pth\", \"b.pth\"]");
        assert_eq!(sources, Sources { paths: vec!["w/a.pth".into()], unmatched: vec![2, 3] });
    }

    #[test]
    fn a_pattern_that_ends_in_a_slash_means_folders() {
        assert_eq!(found(&["m/a/x.json", "m/b/x.json", "m/c"], "\"m/*/\"").paths, ["m/a", "m/b"]);
    }

    #[test]
    fn a_given_path_is_seen_from_the_configuration() {
        let folder = project(&["w/a.pth"]);
        let config = config(folder.path(), "\"w/*.pth\"");
        assert_eq!(config.relative(&folder.path().join("w/../w/./a.pth")).as_deref(), Some("w/a.pth"));
        let beside = folder.path().join("../elsewhere/b.pth");
        assert_eq!(config.relative(&beside).as_deref(), Some("../elsewhere/b.pth"));
    }

    #[test]
    fn a_shard_stands_for_its_index_and_a_file_for_the_folder_it_lies_in() {
        let folder = project(&[]);
        let contract = config(folder.path(), "\"x\"").contracts.remove(0);
        let sources = ["m/model.safetensors.index.json".to_owned(), "n".to_owned()];
        assert_eq!(contract.source_of("m/model-00001-of-00002.safetensors", &sources), Some(&sources[0]));
        assert_eq!(contract.source_of("n/model.safetensors", &sources), Some(&sources[1]));
        assert_eq!(contract.source_of("nn/model.safetensors", &sources), None);
        assert!(contract.expects("e.json") && !contract.expects("e.json.bak"));
    }
}
