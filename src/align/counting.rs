//! Numbers that a side counts in a way of its own: from 0 where the lexicon counts from 1, or down.
//!
//! The first norm of a block is `norm1` in PyTorch's own layers and `LayerNorm_0` in Flax, which numbers the modules of one
//! class in the order of their creation (flax linen/module.py, automatic names). The lexicon knows the former. Decoders
//! that go from the coarsest features to the finest often number their stages by the features: the last is used first.

use std::collections::{HashMap, HashSet};

use super::words::{Token, Words};

/// A key cut into tokens.
pub(crate) struct Cut {
    /// The tokens.
    pub(crate) tokens: Vec<Token>,
    /// Where the last segment begins.
    pub(crate) last: usize,
    /// Where all segments begin, as bits.
    pub(crate) starts: u64,
}

/// The tokens of keys, their numbers counted as the lexicon counts.
pub(crate) fn cut<'k>(keys: impl Iterator<Item = &'k str>, words: &mut Words) -> Vec<Cut> {
    let mut cuts: Vec<Cut> = Vec::with_capacity(keys.size_hint().0);
    // Places of numbers that may have to be counted on: which cut, which token.
    let mut places: Vec<(usize, usize)> = Vec::new();
    for key in keys {
        let (tokens, last, starts) = words.tokenize_with_starts(key);
        for i in 1..tokens.len() {
            if let (Token::Word(word), Token::Number(_), false) =
                (tokens[i - 1], tokens[i], starts >> i.min(63) & 1 == 1)
                && words.counts(word)
            {
                places.push((cuts.len(), i));
            }
        }
        cuts.push(Cut { tokens, last, starts });
    }
    count_on(&mut cuts, &places, words);
    for phrase in words.countdowns() {
        turn(&mut cuts, phrase);
    }
    cuts
}

/// Counts on by one what stands in line with a 0 and a 1 of the same module and word, where the lexicon then knows it.
fn count_on(cuts: &mut [Cut], places: &[(usize, usize)], words: &Words) {
    let mut heads: [HashSet<&[Token], foldhash::fast::RandomState>; 2] = Default::default();
    for &(cut, i) in places {
        let tokens = &cuts[cut].tokens;
        if let Token::Number(n @ (0 | 1)) = tokens[i] {
            heads[n as usize].insert(&tokens[..i]);
        }
    }
    let known = |head: &[Token], n: u32| {
        (1..=head.len().min(5)).any(|words_before| {
            let phrase: Vec<Token> =
                head[head.len() - words_before..].iter().copied().chain([Token::Number(n)]).collect();
            words.knows(&phrase)
        })
    };
    // Where one block has a 1 without a 0, the others do not count from 0 either: the 0 is something else.
    let blocks = |head: &[Token]| -> Vec<Token> {
        head.iter().map(|&t| if let Token::Number(_) = t { Token::Number(0) } else { t }).collect()
    };
    let [zeros, ones] = &heads;
    let from_one: HashSet<Vec<Token>> = ones.difference(zeros).map(|head| blocks(head)).collect();
    let mut counted = Vec::new();
    for &(cut, i) in places {
        let (head, Token::Number(n)) = (&cuts[cut].tokens[..i], cuts[cut].tokens[i]) else { continue };
        let in_line = heads.iter().all(|h| h.contains(head)) && !from_one.contains(&blocks(head));
        if in_line && !known(head, 0) && known(head, n.saturating_add(1)) {
            counted.push((cut, i, n + 1));
        }
    }
    for (cut, i, n) in counted {
        cuts[cut].tokens[i] = Token::Number(n);
    }
}

/// Counts up, from 0, what is counted down behind a phrase in one module.
fn turn(cuts: &mut [Cut], phrase: &[Token]) {
    let place = |tokens: &[Token]| {
        let at = tokens.windows(phrase.len()).position(|w| w == phrase)? + phrase.len();
        match tokens.get(at) {
            Some(&Token::Number(n)) => Some((at, n)),
            _ => None,
        }
    };
    let places: Vec<(usize, usize, u32)> =
        (0..).zip(cuts.iter()).filter_map(|(i, cut)| place(&cut.tokens).map(|(at, n)| (i, at, n))).collect();
    let mut last: HashMap<Vec<Token>, u32> = HashMap::new();
    for &(cut, at, n) in &places {
        let most = last.entry(cuts[cut].tokens[..at].to_vec()).or_default();
        *most = n.max(*most);
    }
    for (cut, at, n) in places {
        if let Some(most) = last.get(&cuts[cut].tokens[..at]) {
            cuts[cut].tokens[at] = Token::Number(most - n);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::RuleSet;

    /// The numbers of keys, as they are counted.
    fn numbers(keys: &[&str]) -> Vec<Vec<u32>> {
        let mut words = Words::new(&RuleSet::embedded().lexicon);
        let cuts = cut(keys.iter().copied(), &mut words);
        let number = |t: &Token| if let Token::Number(n) = t { Some(*n) } else { None };
        cuts.iter().map(|c| c.tokens.iter().filter_map(number).collect()).collect()
    }

    #[test]
    fn norms_that_flax_counts_from_0_are_the_first_and_the_second() {
        let keys = ["block_0/LayerNorm_0/scale", "block_0/LayerNorm_1/scale"];
        assert_eq!(numbers(&keys), [[0, 1], [0, 2]]);
    }

    #[test]
    fn a_single_0_is_no_count_and_what_counts_from_1_stays() {
        assert_eq!(numbers(&["head/LayerNorm_0/scale"]), [[0]]);
        assert_eq!(numbers(&["blocks.0.norm1.weight", "blocks.0.norm2.weight"]), [[0, 1], [0, 2]]);
    }

    #[test]
    fn a_0_that_only_the_first_block_has_is_something_else() {
        let keys = ["blocks.0.ln0.weight", "blocks.0.ln1.weight", "blocks.0.ln2.weight", "blocks.1.ln1.weight"];
        assert_eq!(numbers(&keys), [[0, 0], [0, 1], [0, 2], [1, 1]]);
    }

    #[test]
    fn what_is_counted_down_is_counted_up_from_0() {
        let keys =
            ["scratch.refinenet1.out_conv.weight", "scratch.refinenet4.out_conv.weight", "scratch.layer1_rn.weight"];
        assert_eq!(numbers(&keys), [[3], [0], [1]]);
    }

    #[test]
    fn places_in_a_sequence_are_no_count() {
        assert_eq!(numbers(&["norm.0.weight", "norm.1.weight"]), [[0], [1]]);
    }
}
