//! Keys that a rename script cut in the middle of a name.

use std::collections::HashMap;

use super::Remedy;
use super::case::{Case, Cause, Rank, count};
use crate::rules::Diagnosis;

/// Explains pairs of keys of which one is the other, cut where no dot is.
pub(super) fn explain(case: &mut Case<'_>) {
    if case.rules.diagnosis(Diagnosis::CutKey).is_none() {
        return;
    }
    let mut claims = Vec::new();
    let mut pairs: Vec<(&str, &str)> = Vec::new();
    let renamed = case.renamed();
    for (difference, _, source, target) in &renamed {
        let (s, t) = (source.key.as_str(), target.key.as_str());
        if cut_tail(s, t) || without_piece(t).iter().any(|w| w == s) {
            claims.push(*difference);
            pairs.push((s, t));
        }
    }
    // Among many that were renamed otherwise, `norm` for `layernorm` is a rename as well.
    if pairs.len() * 2 < renamed.len() {
        claims.clear();
        pairs.clear();
    }
    let missing = case.missing();
    let mut reversed: Vec<(String, usize)> =
        missing.iter().enumerate().map(|(i, (_, e))| (e.key.as_str().chars().rev().collect(), i)).collect();
    reversed.sort_unstable();
    let mut pieces: HashMap<String, usize> = HashMap::new();
    for (i, (_, entry)) in missing.iter().enumerate() {
        for piece in without_piece(entry.key.as_str()) {
            pieces.entry(piece).or_insert(i);
        }
    }
    for (difference, entry) in case.unexpected() {
        let key = entry.key.as_str();
        let tail: String = key.chars().rev().collect();
        let at = reversed.partition_point(|(r, _)| *r < tail);
        let longer = reversed.get(at..).unwrap_or(&[]).iter().take_while(|(r, _)| r.starts_with(&tail)).take(16);
        let by_tail = longer.filter_map(|(_, i)| missing.get(*i)).find(|(_, e)| cut_tail(key, e.key.as_str()));
        let found = by_tail.or_else(|| pieces.get(key).and_then(|&i| missing.get(i)));
        if let Some((other, wanted)) = found {
            claims.extend([difference, *other]);
            pairs.push((key, wanted.key.as_str()));
        }
    }
    // One pair may be a coincidence of short names.
    let sure = pairs.iter().any(|(s, _)| s.contains('.') || s.contains('_')) || pairs.len() > 1;
    if let Some((given, wanted)) = pairs.first().filter(|_| sure) {
        let n = count(pairs.len(), "key");
        let are = if pairs.len() == 1 { "is" } else { "are" };
        let message = format!("{n} {are} cut in the middle of a name: `{given}` is what is left of `{wanted}`");
        let cause = Cause::new("CK111", Rank::Stored, Remedy::Edit, message)
            .by(case.rules.diagnosis(Diagnosis::CutKey))
            .confidence(0.9)
            .with("given", *given)
            .with("wanted", *wanted);
        case.claim(claims, cause);
    }
}

/// Whether `short` is the end of `long`, cut within a segment.
fn cut_tail(short: &str, long: &str) -> bool {
    let Some(lost) = long.strip_suffix(short) else { return false };
    // `norm` of `fc_norm` is a word of its own, and so is a number; what is left of a word cut in two is neither.
    let within = !lost.is_empty() && !lost.ends_with(['.', '_']);
    within && short.len() >= 4 && !short.starts_with(|c: char| c == '.' || c == '_' || c.is_ascii_digit())
}

/// What is left of a key when a name and its dot are taken out wherever they stand, also within other names.
fn without_piece(key: &str) -> Vec<String> {
    let Some((first, rest)) = key.split_once('.') else { return Vec::new() };
    let piece = format!("{first}.");
    let left = key.replace(&piece, "");
    // Taking off the first segment alone is a prefix that was stripped.
    if left == rest || left.is_empty() { Vec::new() } else { vec![left] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_is_cut_only_where_no_dot_is() {
        assert!(cut_tail("utput_projection.weight", "output_projection.weight"));
        assert!(!cut_tail("projection.weight", "output.projection.weight"));
        assert!(!cut_tail("output.weight", "output.weight"));
        assert!(!cut_tail("norm.weight", "fc_norm.weight"));
        assert!(!cut_tail("0.weight", "10.weight"));
    }

    #[test]
    fn a_piece_that_also_ends_another_name_tears_it() {
        assert_eq!(without_piece("head.aux_head.weight"), ["aux_weight"]);
        assert_eq!(without_piece("model.smp_model.decoder.w"), ["smp_decoder.w"]);
        assert!(without_piece("model.decoder.w").is_empty());
    }
}
