//! How far a global that a pickle asks for can be trusted, by the lists under `rules/safety/`.
//!
//! A list names single functions (`names`), whole packages (`packages`), or the classes of packages (`classes`: names that begin
//! with a capital letter). Single names beat packages, longer packages beat shorter ones. What no list knows stays unknown.

use std::collections::{HashMap, HashSet};
use std::sync::OnceLock;

use serde::Deserialize;

use crate::checkpoint::Trust;

/// One list as it stands in its TOML file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    /// `known`, `dangerous`, or absent for a list of aliases.
    trust: Option<Word>,
    /// One sentence: what these can do.
    #[serde(rename = "why")]
    _why: String,
    /// Where that is said.
    #[serde(rename = "sources")]
    _sources: Vec<String>,
    #[serde(default)]
    names: Vec<String>,
    #[serde(default)]
    packages: Vec<String>,
    #[serde(default)]
    classes: Vec<String>,
    /// Names that are as dangerous as what is handed to them.
    #[serde(default)]
    by_use: Vec<String>,
    /// Attributes that lead from any object to any function, wherever they stand in a name with dots.
    #[serde(default)]
    segments: Vec<String>,
    /// Packages whose names are ordinary words: an attribute that is so called is not taken for the package.
    #[serde(default)]
    plain_words: Vec<String>,
    /// Python 2's names of modules.
    #[serde(default)]
    aliases: HashMap<String, String>,
    /// Python 2's full names of functions that are in another module now.
    #[serde(default)]
    renamed: HashMap<String, String>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Word {
    Known,
    Dangerous,
}

/// What the lists say of one global.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// How far it can be trusted.
    pub trust: Trust,
    /// The id of the list that says so.
    pub rule: Option<&'static str>,
}

type Entry = (Word, &'static str);

/// All lists, ready to be asked.
#[derive(Debug, Default)]
pub struct Rules {
    names: HashMap<String, Entry>,
    packages: HashMap<String, Entry>,
    classes: HashMap<String, Entry>,
    by_use: HashMap<String, &'static str>,
    /// Dangerous names and packages in small letters: some file systems do not tell `OS` from `os`.
    small: HashMap<String, &'static str>,
    aliases: HashMap<String, String>,
    renamed: HashMap<String, String>,
    plain_words: HashSet<String>,
    segments: HashMap<String, &'static str>,
}

/// Parts of the longest name on any list.
const MOST_PARTS: usize = 10;
/// Dots in the name of a function that somebody wrote.
const MOST_DOTS: usize = 40;

/// Stands in a name where the middle of it was left out.
const CUT: char = '…';

const UNKNOWN: Verdict = Verdict { trust: Trust::Unknown, rule: None };

impl Rules {
    /// The lists that ship with the program.
    pub fn embedded() -> &'static Rules {
        static RULES: OnceLock<Rules> = OnceLock::new();
        RULES.get_or_init(|| {
            let mut rules = Rules::default();
            for &(id, text) in super::EMBEDDED.iter().filter(|(id, _)| id.starts_with("safety/")) {
                // Built in and read by a test, so that a broken list cannot ship.
                let list = toml::from_str(text).unwrap_or_else(|e| panic!("rules/{id}.toml: {e}"));
                rules.add(id, list);
            }
            rules
        })
    }

    fn add(&mut self, id: &'static str, list: List) {
        self.aliases.extend(list.aliases);
        self.renamed.extend(list.renamed);
        self.plain_words.extend(list.plain_words);
        self.segments.extend(list.segments.into_iter().map(|name| (name, id)));
        self.by_use.extend(list.by_use.into_iter().map(|name| (name, id)));
        let Some(word) = list.trust else { return };
        if word == Word::Dangerous {
            let all = list.names.iter().chain(&list.packages);
            self.small.extend(all.map(|name| (name.to_ascii_lowercase(), id)));
        }
        self.names.extend(list.names.into_iter().map(|name| (name, (word, id))));
        self.packages.extend(list.packages.into_iter().map(|name| (name, (word, id))));
        self.classes.extend(list.classes.into_iter().map(|name| (name, (word, id))));
    }

    /// Judges the global `full`, of which the first `module` bytes are the module's name.
    ///
    /// `called` and `odd` say how the pickle uses it: some functions are as harmless as what is handed to them.
    pub fn judge(&self, full: &str, module: usize, called: bool, odd: bool) -> Verdict {
        let (head, tail) = full.split_at_checked(module).unwrap_or((full, ""));
        let (modern, tail) = match (self.renamed.get(full), self.aliases.get(head)) {
            (Some(now), _) => (now.clone(), now.rsplit_once('.').map_or("", |(_, name)| name)),
            (None, Some(head)) => (format!("{head}{tail}"), tail),
            (None, None) => (full.to_owned(), tail),
        };
        let name = modern.get(modern.len() - tail.len()..).unwrap_or("").trim_start_matches('.');
        // Python joins a module's name to the folders it looks in, so a name with a slash is a file wherever somebody put one. No
        // function has a name that had to be cut.
        if head.contains(['/', '\\', '\0']) || full.contains(CUT) {
            return Verdict { trust: Trust::Dangerous, rule: None };
        }
        // Modules import each other, so a path through them can be as long as somebody likes; no function needs one.
        if modern.bytes().filter(|&b| b == b'.').count() > MOST_DOTS {
            return Verdict { trust: Trust::Dangerous, rule: None };
        }
        if let Some(&rule) = self.by_use.get(&modern) {
            let trust = if odd || !called { Trust::Dangerous } else { Trust::Unknown };
            return Verdict { trust, rule: Some(rule) };
        }
        if let Some(rule) = self.reached(name) {
            return Verdict { trust: Trust::Dangerous, rule: Some(rule) };
        }
        match self.listed(&modern, name) {
            Some((Word::Dangerous, rule)) => Verdict { trust: Trust::Dangerous, rule: Some(rule) },
            // BUILD on a module or class changes it for the whole program, however harmless it was.
            Some((Word::Known, rule)) if odd => Verdict { trust: Trust::Unknown, rule: Some(rule) },
            Some((Word::Known, rule)) => Verdict { trust: Trust::Known, rule: Some(rule) },
            None => UNKNOWN,
        }
    }

    /// What the lists say of a full name.
    fn listed(&self, full: &str, name: &str) -> Option<Entry> {
        if let Some(&entry) = self.names.get(full) {
            return Some(entry);
        }
        let small = full.to_ascii_lowercase();
        let mut package = small.as_str();
        loop {
            if let Some(&rule) = self.small.get(package) {
                // Unless a longer name in the right letters is known, looked up below.
                let longer = self.known_package(full, name).filter(|(_, len)| *len > package.len());
                return longer.map(|(entry, _)| entry).or(Some((Word::Dangerous, rule)));
            }
            match package.rsplit_once('.') {
                Some((rest, _)) => package = rest,
                None => return self.known_package(full, name).map(|(entry, _)| entry),
            }
        }
    }

    /// The longest package on a list of known ones, and its length. Names with dots of their own could reach anything.
    fn known_package(&self, full: &str, name: &str) -> Option<(Entry, usize)> {
        if name.contains('.') {
            return None;
        }
        let is_class = name.trim_start_matches('_').starts_with(|c: char| c.is_ascii_uppercase());
        let mut package = full;
        loop {
            let class = self.classes.get(package).filter(|_| is_class);
            if let Some(&entry) = class.or_else(|| self.packages.get(package)).filter(|entry| entry.0 == Word::Known) {
                return Some((entry, package.len()));
            }
            package = package.rsplit_once('.')?.0;
        }
    }

    /// Whether a name leads through its module into a dangerous one: `os.system` in `torch.serialization`.
    fn reached(&self, name: &str) -> Option<&'static str> {
        if let Some(rule) = name.split('.').find_map(|segment| self.segments.get(segment)) {
            return Some(rule);
        }
        let mut rest = name;
        loop {
            // Modules that import another one for themselves name it so: `random._os`.
            let found = self.starts_dangerous(rest).or_else(|| self.starts_dangerous(rest.trim_start_matches('_')));
            if found.is_some() {
                return found;
            }
            rest = rest.split_once('.')?.1;
        }
    }

    /// Whether a name begins with a dangerous package, or is a dangerous name.
    fn starts_dangerous(&self, name: &str) -> Option<&'static str> {
        let dangerous = |entry: Option<&Entry>| entry.filter(|e| e.0 == Word::Dangerous).map(|e| e.1);
        // No entry has more parts; of names with hundreds of them each is looked at once.
        let ends = name.match_indices('.').map(|(at, _)| at).chain([name.len()]).take(MOST_PARTS);
        for end in ends {
            let part = name.get(..end).unwrap_or_default();
            let dotted = part.contains('.');
            let package = self.packages.get(part).filter(|_| name.contains('.') || !self.plain_words.contains(part));
            let whole = self.names.get(part).filter(|_| end == name.len() && dotted);
            if let Some(rule) = dangerous(package).or_else(|| dangerous(whole)) {
                return Some(rule);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(module: &str, name: &str) -> Trust {
        Rules::embedded().judge(&format!("{module}.{name}"), module.len(), true, false).trust
    }

    #[test]
    fn every_list_parses_says_why_and_names_its_sources() {
        for (id, text) in crate::rules::EMBEDDED.iter().filter(|(id, _)| id.starts_with("safety/")) {
            let list: List = toml::from_str(text).unwrap_or_else(|e| panic!("{id}: {e}"));
            assert!(!list._why.is_empty() && !list._sources.is_empty(), "{id}");
        }
    }

    #[test]
    fn no_name_is_on_two_lists() {
        let mut seen = HashMap::new();
        for (id, text) in crate::rules::EMBEDDED.iter().filter(|(id, _)| id.starts_with("safety/")) {
            let list: List = toml::from_str(text).unwrap();
            for name in list.names.into_iter().chain(list.packages).chain(list.by_use) {
                if let Some(other) = seen.insert(name.clone(), id) {
                    panic!("{name} is on {other} and {id}");
                }
            }
        }
    }

    #[test]
    fn what_rebuilds_tensors_is_known() {
        for (module, name) in [
            ("torch._utils", "_rebuild_tensor_v2"),
            ("torch", "FloatStorage"),
            ("collections", "OrderedDict"),
            ("torch.nn.modules.conv", "Conv2d"),
            ("numpy._core.multiarray", "_reconstruct"),
            ("__builtin__", "set"),
            ("pathlib", "PosixPath"),
            ("__torch__.torch.nn.modules.conv", "Conv2d"),
        ] {
            assert_eq!(judge(module, name), Trust::Known, "{module}.{name}");
        }
    }

    #[test]
    fn what_runs_code_is_dangerous_in_every_spelling() {
        for (module, name) in [
            ("os", "system"),
            ("posix", "system"),
            ("nt", "system"),
            ("OS", "System"),
            ("__builtin__", "eval"),
            ("builtins", "exec"),
            ("torch.serialization", "os.system"),
            ("torch.serialization", "os"),
            ("torch.nn.modules.module", "torch.hub.load"),
            ("pathlib", "Path.write_text"),
            ("asyncio.unix_events", "_UnixSubprocessTransport._start"),
            ("torch.jit.unsupported_tensor_ops", "execWrapper"),
            ("numpy.testing._private.utils", "runstring"),
            ("pip", "main"),
            ("builtins", "object.__subclasses__"),
            ("collections", "OrderedDict.__init__.__globals__"),
            ("torch.storage", "UntypedStorage.from_file"),
            ("random", "_os"),
            ("random", "_os.system"),
            ("itertools", "imap"),
            ("__builtin__", "intern"),
            ("tkFileDialog", "Open"),
            ("uploads/model", "Net"),
            ("uploads\\model", "Net"),
        ] {
            assert_eq!(judge(module, name), Trust::Dangerous, "{module}.{name}");
        }
    }

    #[test]
    fn what_no_list_knows_is_unknown_even_below_a_known_package() {
        for (module, name) in
            [("__main__", "Net"), ("torch.nn.modules.module", "Module.apply"), ("osmnx", "Graph"), ("torch", "zeros")]
        {
            assert_eq!(judge(module, name), Trust::Unknown, "{module}.{name}");
        }
    }

    #[test]
    fn getattr_is_as_dangerous_as_its_use() {
        let rules = Rules::embedded();
        assert_eq!(rules.judge("builtins.getattr", 8, true, false).trust, Trust::Unknown);
        assert_eq!(rules.judge("__builtin__.getattr", 11, true, true).trust, Trust::Dangerous);
        assert_eq!(rules.judge("builtins.getattr", 8, false, false).trust, Trust::Dangerous);
    }
}
