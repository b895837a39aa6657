//! Folds many keys into few patterns without claiming a key that is not there.
//!
//! `layers.0.norm.weight` … `layers.23.norm.weight` without number 7 becomes `layers.{0-6,8-23}.norm.weight`. Indices are
//! merged only where every combination exists: `a.0.b.0` and `a.1.b.3` stay two patterns.

use std::collections::{BTreeSet, HashMap, HashSet};

/// A pattern that stands for keys which are all there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folded {
    /// `layers.{0-6,8-23}.norm.{weight,bias}`: ranges and lists in braces, everything else as it is in the keys.
    pub pattern: String,
    /// How many keys it stands for.
    pub count: usize,
}

/// The most index segments of one key that are folded; further ones are taken as names.
const INDICES: usize = 8;
/// The most names in one list: beyond that a pattern is harder to read than two.
const NAMES: usize = 8;

/// Keys of one class: equal but for their indices.
struct Class<'a> {
    /// Segments; `None` where the index stands.
    segments: Vec<Option<&'a str>>,
    /// Every combination of indices, in order of appearance.
    indices: Vec<Vec<u32>>,
}

/// A pattern under construction.
struct Draft {
    segments: Vec<String>,
    count: usize,
}

/// Folds keys into patterns, in order of first appearance. A key that occurs twice counts once.
///
/// The cost is near-linear in the total length of the keys.
pub fn fold_keys<'a>(keys: impl IntoIterator<Item = &'a str>) -> Vec<Folded> {
    let (slashed, dotted): (Vec<&str>, Vec<&str>) =
        keys.into_iter().partition(|key| key.contains('/') && !key.contains('.'));
    let mut out = fold_dotted(dotted);
    if !slashed.is_empty() {
        let spelled: Vec<String> = slashed.into_iter().map(with_dots).collect();
        let folded = fold_dotted(spelled.iter().map(String::as_str));
        out.extend(folded.into_iter().map(|f| Folded { pattern: with_slashes(&f.pattern), count: f.count }));
    }
    out
}

/// Stands before a number that is glued to its word, which is folded as if it stood apart. No key holds it.
const GLUE: &str = "\u{10ffff}.";

/// A key of TensorFlow or Flax as if it had dots: `encoderblock_3/kernel`, whose number counts as one.
fn with_dots(key: &str) -> String {
    let segment = |segment: &str| match segment.rsplit_once('_') {
        Some((word, number)) if index(number).is_some() => format!("{word}_{GLUE}{number}"),
        _ => segment.to_owned(),
    };
    key.split('/').map(segment).collect::<Vec<_>>().join(".")
}

fn with_slashes(pattern: &str) -> String {
    pattern.replace(GLUE, "").replace('.', "/")
}

fn fold_dotted<'a>(keys: impl IntoIterator<Item = &'a str>) -> Vec<Folded> {
    let mut drafts: Vec<Draft> = classes(keys).into_iter().flat_map(factor).collect();
    // From the last segment to the first: `{weight,bias}` is met more often than `{attn,mlp}`, and easier to read.
    let longest = drafts.iter().map(|d| d.segments.len()).max().unwrap_or(0).min(INDICES * 4);
    for back in 1..=longest {
        drafts = merge_names(drafts, back);
    }
    drafts.into_iter().map(|d| Folded { pattern: d.segments.join("."), count: d.count }).collect()
}

/// Sorts keys into classes.
fn classes<'a>(keys: impl IntoIterator<Item = &'a str>) -> Vec<Class<'a>> {
    let mut known: HashMap<Vec<Option<&'a str>>, usize> = HashMap::new();
    let mut seen: HashSet<&'a str> = HashSet::new();
    let mut out: Vec<Class<'a>> = Vec::new();
    for key in keys {
        if !seen.insert(key) {
            continue;
        }
        let mut indices = Vec::new();
        let mut segments = Vec::new();
        for segment in key.split('.') {
            match index(segment).filter(|_| indices.len() < INDICES) {
                Some(n) => {
                    indices.push(n);
                    segments.push(None);
                }
                None => segments.push(Some(segment)),
            }
        }
        let at = *known.entry(segments.clone()).or_insert_with(|| {
            out.push(Class { segments, indices: Vec::new() });
            out.len() - 1
        });
        out[at].indices.push(indices);
    }
    out
}

/// The number a segment is, written in the one usual way (`07` is a name).
fn index(segment: &str) -> Option<u32> {
    let usual = segment.len() <= 9 && (segment == "0" || !segment.starts_with('0'));
    if usual && segment.bytes().all(|b| b.is_ascii_digit()) { segment.parse().ok() } else { None }
}

/// Writes the index combinations of a class as few products.
fn factor(class: Class<'_>) -> Vec<Draft> {
    let width = class.indices.first().map_or(0, Vec::len);
    // What is still to be merged (the first indices) and what is merged already (patterns of the last ones, innermost first).
    let mut items: Vec<(Vec<u32>, Vec<String>, usize)> =
        class.indices.into_iter().map(|i| (i, Vec::new(), 1)).collect();
    for _ in 0..width {
        let mut known: HashMap<(Vec<u32>, Vec<String>), usize> = HashMap::new();
        let mut groups: Vec<(Vec<u32>, Vec<String>, BTreeSet<u32>, usize)> = Vec::new();
        for (mut rest, done, count) in items {
            let last = rest.pop().unwrap_or(0);
            let at = *known.entry((rest.clone(), done.clone())).or_insert_with(|| {
                groups.push((rest, done, BTreeSet::new(), 0));
                groups.len() - 1
            });
            groups[at].2.insert(last);
            groups[at].3 += count;
        }
        items = groups
            .into_iter()
            .map(|(rest, mut done, set, count)| {
                done.push(braced(&ranges(&set)));
                (rest, done, count)
            })
            .collect();
    }
    let draft = |(_, mut done, count): (Vec<u32>, Vec<String>, usize)| Draft {
        segments: class
            .segments
            .iter()
            .map(|s| s.map_or_else(|| done.pop().unwrap_or_default(), str::to_owned))
            .collect(),
        count,
    };
    items.into_iter().map(draft).collect()
}

/// `0-6,8-23`, and whether it is more than one number.
fn ranges(numbers: &BTreeSet<u32>) -> (String, bool) {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for &n in numbers {
        match runs.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(n) => *last = n,
            _ => runs.push((n, n)),
        }
    }
    let text = |&(first, last): &(u32, u32)| match last - first {
        0 => first.to_string(),
        1 => format!("{first},{last}"),
        _ => format!("{first}-{last}"),
    };
    (runs.iter().map(text).collect::<Vec<_>>().join(","), numbers.len() > 1)
}

fn braced((text, several): &(String, bool)) -> String {
    if *several { format!("{{{text}}}") } else { text.clone() }
}

/// Merges patterns that differ in one name, `back` segments from the end.
fn merge_names(drafts: Vec<Draft>, back: usize) -> Vec<Draft> {
    let mut known: HashMap<(Vec<String>, usize, usize), usize> = HashMap::new();
    let mut out: Vec<(Draft, Vec<String>, usize)> = Vec::new();
    for mut draft in drafts {
        let Some(at) = draft.segments.len().checked_sub(back) else {
            out.push((draft, Vec::new(), usize::MAX));
            continue;
        };
        let name = std::mem::take(&mut draft.segments[at]);
        // Indices and lists have been merged already; a name with a brace or a comma of its own cannot go into a list.
        if name.contains(['{', '}', ',']) || index(&name).is_some() {
            draft.segments[at] = name;
            out.push((draft, Vec::new(), usize::MAX));
            continue;
        }
        match known.get(&(draft.segments.clone(), at, draft.count)) {
            Some(&i) if out[i].1.len() < NAMES && !out[i].1.contains(&name) => {
                out[i].0.count += draft.count;
                out[i].1.push(name);
            }
            _ => {
                known.insert((draft.segments.clone(), at, draft.count), out.len());
                out.push((draft, vec![name], at));
            }
        }
    }
    let close = |(mut draft, names, at): (Draft, Vec<String>, usize)| {
        if let Some(slot) = draft.segments.get_mut(at) {
            *slot = list(&names);
        }
        draft
    };
    out.into_iter().map(close).collect()
}

/// `{weight,bias}`, and `layer{1-4}` where only the number behind one stem differs.
fn list(names: &[String]) -> String {
    if let [only] = names {
        return only.clone();
    }
    let numbered = |name: &str| {
        let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
        index(name.get(stem.len()..)?).map(|n| (stem.to_owned(), n)).filter(|(stem, _)| !stem.is_empty())
    };
    let split: Option<Vec<(String, u32)>> = names.iter().map(|n| numbered(n)).collect();
    if let Some(split) = split
        && let Some((stem, _)) = split.first()
        && split.iter().all(|(s, _)| s == stem)
    {
        return format!("{stem}{{{}}}", ranges(&split.iter().map(|&(_, n)| n).collect()).0);
    }
    format!("{{{}}}", names.join(","))
}

/// The shortest prefixes under which every key of `all` is one of `keys`, in order of first appearance, with how many
/// keys lie below each: the modules that are wholly concerned. A key whose module is only partly concerned stands for
/// itself.
pub fn roots<'a>(keys: &[&'a str], all: impl IntoIterator<Item = &'a str>) -> Vec<Folded> {
    if keys.is_empty() {
        return Vec::new();
    }
    let mut wanted: HashMap<&str, usize, foldhash::fast::RandomState> = HashMap::default();
    for key in keys {
        for prefix in prefixes(key) {
            *wanted.entry(prefix).or_default() += 1;
        }
    }
    let mut there: HashMap<&str, usize, foldhash::fast::RandomState> = HashMap::default();
    for key in all {
        for prefix in prefixes(key).filter(|p| wanted.contains_key(p)) {
            *there.entry(prefix).or_default() += 1;
        }
    }
    let mut known: HashMap<&str, usize, foldhash::fast::RandomState> = HashMap::default();
    let mut out: Vec<Folded> = Vec::new();
    for key in keys {
        let whole = prefixes(key).find(|p| there.get(p).is_none_or(|n| wanted.get(p).is_some_and(|w| w >= n)));
        let root = whole.unwrap_or(key);
        let at = *known.entry(root).or_insert_with(|| {
            out.push(Folded { pattern: root.to_owned(), count: 0 });
            out.len() - 1
        });
        out[at].count += 1;
    }
    out
}

/// Every prefix of a key that ends in a dot, the shortest first, at most `4 * INDICES` of them, then the key itself.
fn prefixes(key: &str) -> impl Iterator<Item = &str> {
    let dots = key.match_indices('.').take(INDICES * 4).map(|(at, _)| at + 1);
    dots.filter_map(|end| key.get(..end)).chain(std::iter::once(key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fold(keys: &[&str]) -> Vec<String> {
        fold_keys(keys.iter().copied()).into_iter().map(|f| format!("{} ×{}", f.pattern, f.count)).collect()
    }

    #[test]
    fn names_with_slashes_fold_by_their_segments_and_by_numbers_that_are_glued_to_words() {
        let keys: Vec<String> = (0..12)
            .flat_map(|i| ["key/bias", "key/kernel"].map(|leaf| format!("Encoder_0/encoderblock_{i}/{leaf}")))
            .collect();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        assert_eq!(fold(&keys), ["Encoder_0/encoderblock_{0-11}/key/{bias,kernel} ×24"]);
        assert_eq!(fold(&["params/t", "norm.weight"]), ["norm.weight ×1", "params/t ×1"]);
    }

    /// Every key a pattern stands for.
    fn unfold(pattern: &str) -> Vec<String> {
        let Some((before, rest)) = pattern.split_once('{') else { return vec![pattern.to_owned()] };
        let (choice, after) = rest.split_once('}').unwrap();
        let mut words = Vec::new();
        for word in choice.split(',') {
            match word.split_once('-') {
                Some((a, b)) => {
                    (a.parse::<u32>().unwrap()..=b.parse().unwrap()).for_each(|n| words.push(n.to_string()))
                }
                None => words.push(word.to_owned()),
            }
        }
        let tails = unfold(after);
        words.iter().flat_map(|w| tails.iter().map(move |t| format!("{before}{w}{t}"))).collect()
    }

    #[test]
    fn a_gap_in_a_run_of_layers_is_shown() {
        let keys: Vec<String> = (0..24).filter(|&n| n != 7).map(|n| format!("layers.{n}.norm.weight")).collect();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        assert_eq!(fold(&keys), ["layers.{0-6,8-23}.norm.weight ×23"]);
    }

    #[test]
    fn combinations_that_are_not_there_are_not_claimed() {
        assert_eq!(fold(&["a.0.b.0", "a.1.b.3"]), ["a.0.b.0 ×1", "a.1.b.3 ×1"]);
    }

    #[test]
    fn parameters_of_one_module_share_a_line() {
        assert_eq!(fold(&["fc.weight", "fc.bias"]), ["fc.{weight,bias} ×2"]);
        assert_eq!(fold(&["layer1.0.w", "layer2.0.w", "layer3.0.w"]), ["layer{1-3}.0.w ×3"]);
        assert_eq!(fold(&["a.07", "a.8"]), ["a.07 ×1", "a.8 ×1"]);
    }

    #[test]
    fn modules_that_are_wholly_concerned_are_named_by_their_prefix() {
        let all = ["backbone.a.w", "neck.a.w", "neck.b.w", "head.fc.w", "head.fc.b"];
        let found = roots(&["neck.a.w", "neck.b.w", "head.fc.w"], all);
        let found: Vec<_> = found.iter().map(|f| (f.pattern.as_str(), f.count)).collect();
        assert_eq!(found, [("neck.", 2), ("head.fc.w", 1)]);
    }

    #[test]
    fn a_hundred_thousand_keys_fold_to_a_handful() {
        let keys: Vec<String> = (0..1000)
            .flat_map(|n| (0..50).flat_map(move |e| ["w", "b"].map(|p| format!("layers.{n}.experts.{e}.fc.{p}"))))
            .collect();
        let folded = fold_keys(keys.iter().map(String::as_str));
        assert_eq!(folded, [Folded { pattern: "layers.{0-999}.experts.{0-49}.fc.{w,b}".into(), count: 100_000 }]);
    }

    proptest! {
        #[test]
        fn patterns_stand_for_exactly_the_keys(keys in prop::collection::hash_set("[ab]\\.[0-4]\\.(x|y|z1|z2)(\\.[0-3]\\.(p|q))?", 1..60)) {
            let folded = fold_keys(keys.iter().map(String::as_str));
            let mut back: Vec<String> = folded.iter().flat_map(|f| unfold(&f.pattern)).collect();
            prop_assert_eq!(folded.iter().map(|f| f.count).sum::<usize>(), keys.len());
            back.sort();
            let mut keys: Vec<String> = keys.into_iter().collect();
            keys.sort();
            prop_assert_eq!(back, keys);
        }
    }
}
