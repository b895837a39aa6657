//! Numbers that a side counts from 0 where the lexicon counts from 1.
//!
//! The first norm of a block is `norm1` in PyTorch's own layers and `LayerNorm_0` in Flax, which numbers the modules of one
//! class in the order of their creation (flax linen/module.py, automatic names). The lexicon knows the former.

use std::collections::HashSet;

use super::words::{Token, Words};

/// A key cut into tokens.
pub(crate) struct Cut {
    /// The tokens.
    pub(crate) tokens: Vec<Token>,
    /// Where the last segment begins.
    pub(crate) last: usize,
}

/// Counts on by one what stands in line with a 0 and a 1 of the same module and word, where the lexicon then knows it.
pub(crate) fn from_one<'k>(keys: impl Iterator<Item = &'k str>, words: &mut Words) -> Vec<Cut> {
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
        cuts.push(Cut { tokens, last });
    }
    let mut heads: [HashSet<&[Token], foldhash::fast::RandomState>; 2] = Default::default();
    for &(cut, i) in &places {
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
    let mut counted = Vec::new();
    for &(cut, i) in &places {
        let (head, Token::Number(n)) = (&cuts[cut].tokens[..i], cuts[cut].tokens[i]) else { continue };
        let in_line = heads.iter().all(|h| h.contains(head));
        if in_line && !known(head, 0) && known(head, n.saturating_add(1)) {
            counted.push((cut, i, n + 1));
        }
    }
    for (cut, i, n) in counted {
        cuts[cut].tokens[i] = Token::Number(n);
    }
    cuts
}
