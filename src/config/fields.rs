//! The values of a configuration, each checked while it is parsed, so that every refusal has its line and caret.

use std::collections::BTreeMap;
use std::fmt;

use globset::{GlobBuilder, GlobMatcher};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::codes;
use crate::judge::{Grade, Level};

/// A text of one line that says something.
#[derive(serde::Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Name(pub(super) String);

impl TryFrom<String> for Name {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text.trim().is_empty() {
            return Err("is empty");
        }
        if text.chars().any(char::is_control) {
            return Err("must be one line without control characters");
        }
        Ok(Name(text))
    }
}

/// Why a finding is ignored.
#[derive(serde::Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Reason(pub(super) String);

impl TryFrom<String> for Reason {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        // Folded to one line: it is shown beside a finding.
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if text.is_empty() { Err("say why the finding is ignored") } else { Ok(Reason(text)) }
    }
}

/// A path below the folder of the configuration, or beside it.
#[derive(serde::Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Relative(pub(super) String);

impl TryFrom<String> for Relative {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        relative(text).map(Relative)
    }
}

/// Refuses paths that mean something else on another machine; takes `./` off.
fn relative(text: String) -> Result<String, String> {
    if text.trim().is_empty() {
        return Err("is empty".into());
    }
    let drive = text.as_bytes().get(1) == Some(&b':');
    if text.starts_with(['/', '~']) || drive {
        return Err("must be relative to the folder of this file, to mean the same on every machine".into());
    }
    if text.contains('\\') {
        return Err("write `/` between folders, on every system".into());
    }
    let mut rest = text.as_str();
    while let Some(below) = rest.strip_prefix("./") {
        rest = below.trim_start_matches('/');
    }
    if rest.is_empty() { Ok(".".into()) } else { Ok(rest.to_owned()) }
}

/// A glob: `*` within a name, `**` across folders, `?`, `[ab]`, `{a,b}`.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Pattern {
    pub(super) text: String,
    pub(super) glob: GlobMatcher,
}

impl TryFrom<String> for Pattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let text = relative(text)?;
        let glob = GlobBuilder::new(text.trim_end_matches('/')).literal_separator(true).backslash_escape(false).build();
        let glob = glob.map_err(|e| format!("is no pattern: {}", e.kind()))?.compile_matcher();
        Ok(Pattern { text, glob })
    }
}

/// A glob over names that are no paths: `*` stands for anything.
#[derive(serde::Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Glob(pub(super) GlobMatcher);

impl TryFrom<String> for Glob {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let Name(text) = Name::try_from(text)?;
        let glob = GlobBuilder::new(&text).literal_separator(false).backslash_escape(false).build();
        glob.map(|g| Glob(g.compile_matcher())).map_err(|e| format!("is no pattern: {}", e.kind()))
    }
}

/// A code, given as `CK302` or by its name.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Code(pub(super) &'static str);

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Code::try_from(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl TryFrom<String> for Code {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match codes::page(&text) {
            Some((code, _)) => Ok(Code(code)),
            None => {
                let names = codes::PAGES.iter().flat_map(|&(code, _)| [code, codes::name(code)]);
                let near = names
                    .map(|n| (strsim::jaro_winkler(&text.to_lowercase(), &n.to_lowercase()), n))
                    .filter(|(score, _)| *score > 0.8)
                    .max_by(|(a, _), (b, _)| a.total_cmp(b));
                let hint =
                    near.map_or(String::from("`ckdiff rules` lists them"), |(_, n)| format!("did you mean `{n}`?"));
                Err(format!("there is no code `{text}`; {hint}"))
            }
        }
    }
}

/// The name of a level.
#[derive(Default)]
pub(super) struct LevelName(pub(super) Level);

impl<'de> Deserialize<'de> for LevelName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        named(deserializer, &Level::ALL.map(|l| (l.id(), l))).map(LevelName)
    }
}

/// How grave a code is.
pub(super) struct SeverityName(pub(super) Grade);

impl<'de> Deserialize<'de> for SeverityName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        named(deserializer, &Grade::ALL.map(|g| (g.id(), g))).map(SeverityName)
    }
}

/// One of a few names; the refusal lists them.
fn named<'de, D: Deserializer<'de>, T: Copy>(deserializer: D, names: &[(&str, T)]) -> Result<T, D::Error> {
    let text = String::deserialize(deserializer)?;
    names.iter().find(|(name, _)| *name == text).map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<String> = names.iter().map(|(name, _)| format!("`{name}`")).collect();
        serde::de::Error::custom(format_args!("`{text}` is none of {}", names.join(", ")))
    })
}

/// The table `[severity]`. A code that is given twice, by number and by name, is refused.
#[derive(Default)]
pub(super) struct Severities(pub(super) BTreeMap<Code, SeverityName>);

impl<'de> Deserialize<'de> for Severities {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Table;

        impl<'de> Visitor<'de> for Table {
            type Value = Severities;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table from codes to severities")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Severities, A::Error> {
                let mut out = BTreeMap::new();
                while let Some((code, severity)) = map.next_entry::<Code, SeverityName>()? {
                    let name = code.0;
                    if out.insert(code, severity).is_some() {
                        return Err(serde::de::Error::custom(format_args!("{name} has two severities")));
                    }
                }
                Ok(Severities(out))
            }
        }

        deserializer.deserialize_map(Table)
    }
}

/// One pattern, or a list of at least one.
pub(super) struct Patterns(pub(super) Vec<Pattern>);

impl<'de> Deserialize<'de> for Patterns {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Patterns;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or a list of strings")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Patterns, E> {
                Pattern::try_from(text.to_owned()).map(|one| Patterns(vec![one])).map_err(E::custom)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Patterns, A::Error> {
                let mut list = Vec::new();
                while let Some(pattern) = seq.next_element()? {
                    list.push(pattern);
                }
                if list.is_empty() { Err(serde::de::Error::custom("the list is empty")) } else { Ok(Patterns(list)) }
            }
        }

        deserializer.deserialize_any(Any)
    }
}

/// A list of tables.
pub(super) struct Tables<T>(pub(super) Vec<T>);

impl<T> Tables<T> {
    pub(super) fn none() -> Tables<T> {
        Tables(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Tables<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List<T>(std::marker::PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for List<T> {
            type Value = Tables<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of tables: write two brackets, [[…]], for each")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Tables<T>, A::Error> {
                let mut list = Vec::new();
                while let Some(table) = seq.next_element()? {
                    list.push(table);
                }
                Ok(Tables(list))
            }
        }

        deserializer.deserialize_seq(List(std::marker::PhantomData))
    }
}
