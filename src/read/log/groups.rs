//! Keys that a report folded: `norm1.{bias, weight}` of fvcore, `layers.{0...23}.mlp` of Transformers.

use super::lists::is_bare_key;
use super::squeezed::joined;

/// The most keys one group may stand for; a longer one is kept as it is written.
const MOST: usize = 4096;

/// Every key that `pattern` stands for; the pattern itself where it is none or stands for too many.
pub(super) fn expand(pattern: &str) -> Vec<String> {
    if !pattern.contains('{') {
        return vec![pattern.to_owned()];
    }
    read(pattern).unwrap_or_else(|| vec![pattern.to_owned()])
}

fn read(pattern: &str) -> Option<Vec<String>> {
    let mut out = vec![String::new()];
    let mut rest = pattern;
    while let Some((plain, behind)) = rest.split_once('{') {
        let (choice, after) = behind.split_once('}')?;
        let words = words(choice)?;
        if out.len().checked_mul(words.len())? > MOST {
            return None;
        }
        out = out.iter().flat_map(|stem| words.iter().map(move |w| format!("{stem}{plain}{w}"))).collect();
        rest = after;
    }
    out.iter_mut().for_each(|key| key.push_str(rest));
    Some(out)
}

/// `0...23`, `0, 1, 5...7`, `bias, weight`.
fn words(choice: &str) -> Option<Vec<String>> {
    let mut out = Vec::new();
    for word in choice.split(',').map(str::trim) {
        let range = word.split_once("...").or_else(|| word.split_once('\u{2026}'));
        match range.map(|(first, last)| (first.trim().parse::<u32>(), last.trim().parse::<u32>())) {
            Some((Ok(first), Ok(last))) if first <= last => {
                if (last - first) as usize >= MOST {
                    return None;
                }
                out.extend((first..=last).map(|n| n.to_string()));
            }
            Some(_) => return None,
            None => out.push(word.to_owned()),
        }
    }
    Some(out)
}

/// `'a.b, c.d'`: all keys of a list between one pair of quotes, as diffusers joins them; and the place behind the quotes.
pub(super) fn all_in_one(text: &str, at: usize) -> Option<(Vec<String>, usize)> {
    let quote = char::from(*text.as_bytes().get(at)?);
    let inner = text.get(at + 1..)?;
    let end = inner.find(quote)?;
    let keys: Vec<String> = inner.get(..end)?.split(',').map(joined).collect();
    let sound = keys.len() > 1 && keys.iter().all(|k| is_bare_key(k) && k.contains(['.', '_']));
    sound.then_some((keys, at + 1 + end + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn braces_and_ranges_stand_for_every_key() {
        assert_eq!(expand("norm1.{bias, weight}"), ["norm1.bias", "norm1.weight"]);
        assert_eq!(expand("h.{0...2}.w").len(), 3);
        assert_eq!(expand("l.{0, 2}.{q,k}_proj"), ["l.0.q_proj", "l.0.k_proj", "l.2.q_proj", "l.2.k_proj"]);
    }

    #[test]
    fn a_group_that_would_not_fit_into_memory_is_left_as_it_is() {
        assert_eq!(expand("h.{0...4000000000}.w").len(), 1);
        assert_eq!(expand(&"{0...999}.".repeat(9)).len(), 1);
        assert_eq!(expand("h.{0"), ["h.{0"]);
    }
}
