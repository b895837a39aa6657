//! A snapshot of the sources of a contract, and in what two snapshots differ.

use super::*;
use crate::checkpoint::{Dtype, Shape, quoted};
use crate::config::Contract;

/// A snapshot that can be written.
pub(super) struct Snap {
    /// As expected.json.
    pub(super) text: Vec<u8>,
    /// What stands in it.
    pub(super) facts: Facts,
}

/// What a snapshot says of one key: what is not known of it is `None`.
type Fact = (Option<Dtype>, Option<Shape>, Option<u128>);

/// What a snapshot says.
#[derive(Clone, Default)]
pub(super) struct Facts(HashMap<String, Fact>);

impl Facts {
    fn of(view: &StateDict<'_>, contents: &HashMap<Box<str>, Content>) -> Facts {
        let fact = |e: &crate::checkpoint::Entry<'_>| {
            let digest = contents.get(&*e.tensor.path).map(|c| c.digest);
            (e.key.as_str().to_owned(), (e.dtype(), e.shape().cloned(), digest))
        };
        Facts(view.entries.iter().map(fact).collect())
    }

    /// What a list of keys says.
    pub(super) fn of_list(list: &Checkpoint) -> Facts {
        Facts::of(&StateDict::below(list, main_container(list)), &list.contents)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// A key in which two snapshots differ, the first in the order of names. What one of them does not say it does not deny.
    pub(super) fn differ(&self, other: &Facts) -> Option<String> {
        let differs = |key: &&String| match (self.0.get(*key), other.0.get(*key)) {
            (Some(a), Some(b)) => !alike(a, b),
            _ => true,
        };
        self.0.keys().chain(other.0.keys()).filter(differs).min().map(|key| quoted(key))
    }

    /// `2 keys added, 1 removed, 3 changed`.
    pub(super) fn changes(&self, now: &Facts) -> String {
        let missing = |from: &Facts, of: &Facts| of.0.keys().filter(|k| !from.0.contains_key(*k)).count();
        let (added, removed) = (missing(self, now), missing(now, self));
        let both = || self.0.iter().filter_map(|(k, a)| Some((a, now.0.get(k)?)));
        let changed = both().filter(|(a, b)| !alike(&(a.0, a.1.clone(), None), b)).count();
        let values = both().filter(|(a, b)| !alike(a, b)).count() - changed;
        let values = if values > 0 { format!(", {} with other values", count(values)) } else { String::new() };
        format!("{} added, {} removed, {} changed{values}", plural(added, "key"), count(removed), count(changed))
    }
}

/// Whether nothing that both say of a key contradicts.
fn alike(a: &Fact, b: &Fact) -> bool {
    fn same<T: PartialEq>(a: &Option<T>, b: &Option<T>) -> bool {
        a.is_none() || b.is_none() || a == b
    }
    same(&a.0, &b.0) && same(&a.1, &b.1) && same(&a.2, &b.2)
}

/// The snapshot of a contract's sources, which must agree. With digests where the old one has them.
pub(super) fn taken(
    contract: &Contract,
    sources: &[(&str, Checkpoint)],
    old: Option<&Checkpoint>,
) -> Result<Snap, Failure> {
    let mut first: Option<(&str, Snap)> = None;
    for (name, checkpoint) in sources {
        let container = match &contract.container {
            Some(container) => named_container(checkpoint, &checkpoint.candidates(), container).map_err(|failure| {
                let (_, what, help) = failure.into_parts();
                Failure::coded("CK105", what).help(help)
            })?,
            None => container(checkpoint, old),
        };
        let view = StateDict::below(checkpoint, container);
        let contents = match old.is_some_and(|old| !old.contents.is_empty()) {
            true => digests(&view)?,
            false => checkpoint.contents.clone(),
        };
        let facts = Facts::of(&view, &contents);
        match &first {
            Some((other, known)) => {
                if let Some(key) = known.facts.differ(&facts) {
                    let what = format!("{} and {} differ in {key}", escaped(other), escaped(name));
                    let help =
                        "a snapshot is taken of one model: give each its contract, or write it with `ckdiff snapshot`";
                    return Err(Failure::coded("CK906", what).help(help));
                }
            }
            None => {
                let mut text = Vec::new();
                snapshot::write_all(&[(&view, &contents)], &mut text)
                    .map_err(|e| Failure::new(format!("{}: {e}", escaped(name))))?;
                first = Some((name, Snap { text, facts }));
            }
        }
    }
    first.map(|(_, snap)| snap).ok_or_else(|| Failure::new("a contract without sources has no snapshot"))
}

/// The state_dict that a snapshot is taken of: the one most like the old snapshot, else the main one.
fn container(checkpoint: &Checkpoint, old: Option<&Checkpoint>) -> u32 {
    let main = main_container(checkpoint);
    let Some(old) = old else { return main };
    let known: std::collections::HashSet<&str> = old.tensors.iter().map(|t| &*t.path).collect();
    let hits =
        |c: u32| StateDict::below(checkpoint, c).entries.iter().filter(|e| known.contains(e.key.as_str())).count();
    let others = checkpoint.candidates().into_iter().map(|c| c.container).filter(|&c| c != main);
    others.fold((main, hits(main)), |best, c| if hits(c) > best.1 { (c, hits(c)) } else { best }).0
}
