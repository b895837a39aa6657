//! Another width: every layer of the checkpoint is wider or narrower by one factor.

use std::collections::{BTreeMap, HashMap};

use super::Remedy;
use super::case::{Case, Cause, Rank, Resized, count};
use crate::rules::Diagnosis;

/// A factor as a reduced fraction.
type Factor = (u64, u64);

/// Explains sizes that all differ by one factor, norms included.
pub(super) fn explain(case: &mut Case<'_>) {
    let Some(about) = case.rules.diagnosis(Diagnosis::Width) else { return };
    let resized = case.resized();
    let mut by_factor: BTreeMap<Factor, Vec<&Resized<'_>>> = BTreeMap::new();
    for one in &resized {
        if let Some(f) = factor(one.from, one.to) {
            by_factor.entry(f).or_default().push(one);
        }
    }
    let Some((f, same)) = by_factor.into_iter().max_by_key(|(_, v)| v.len()) else { return };
    let sized = case.alignment.matches.iter().filter_map(|m| case.pair(m));
    let sized = sized.filter(|(s, t)| s.shape().is_some_and(|d| d.rank() > 0) && t.shape().is_some()).count();
    // Projections of attention share a factor when only the size of a head differs; the norms are then as they were.
    let norms = same.iter().filter(|r| r.from.len() == 1 && r.target.key.leaf() == "weight").count();
    let most = if case.partial() { same.len() >= 8 } else { same.len() * 5 >= sized * 3 && same.len() >= 4 };
    if !most || norms < 2 {
        return;
    }
    let (from, to) = usual(&same);
    let message =
        format!("every width differs: {from} → {to} ({} by the factor {})", count(same.len(), "tensor"), say(f));
    let named: Vec<u32> = same.iter().map(|r| r.difference).collect();
    let cause = Cause::new("CK209", Rank::Build, Remedy::Lost, message)
        .by(Some(about))
        .with("from", from)
        .with("to", to)
        .with("factor", say(f));
    case.claim(named, cause);
}

/// The one factor by which all sizes that differ do so.
fn factor(from: &[u64], to: &[u64]) -> Option<Factor> {
    if from.len() != to.len() {
        return None;
    }
    let mut common = None;
    for (&a, &b) in from.iter().zip(to).filter(|(a, b)| a != b) {
        let divisor = gcd(a, b);
        if divisor == 0 || a == 0 || b == 0 {
            return None;
        }
        let here = (b / divisor, a / divisor);
        if *common.get_or_insert(here) != here {
            return None;
        }
    }
    common
}

/// The pair of sizes that occurs most often among those that differ.
fn usual(same: &[&Resized<'_>]) -> (u64, u64) {
    let mut counts: HashMap<(u64, u64), usize> = HashMap::new();
    for one in same {
        for (&a, &b) in one.from.iter().zip(one.to).filter(|(a, b)| a != b) {
            *counts.entry((a, b)).or_default() += 1;
        }
    }
    counts.into_iter().max_by_key(|&(pair, n)| (n, std::cmp::Reverse(pair))).map_or((0, 0), |(pair, _)| pair)
}

fn say((b, a): Factor) -> String {
    if a == 1 { b.to_string() } else { format!("{b}/{a}") }
}

fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_factor_must_be_the_same_in_every_size_that_differs() {
        assert_eq!(factor(&[1024, 4096], &[1280, 5120]), Some((5, 4)));
        assert_eq!(factor(&[3072, 1024], &[3840, 1024]), Some((5, 4)));
        assert_eq!(factor(&[3072, 1024], &[3840, 2048]), None);
        assert_eq!(factor(&[0], &[5]), None);
        assert_eq!(say((5, 4)), "5/4");
    }
}
