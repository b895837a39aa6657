//! Phrases of tokens and what they mean.

use std::collections::HashMap;

use super::Token;

/// A tree of phrases: from a node and a token to the next node, and what a phrase that ends there means.
pub(super) struct Phrases<T> {
    next: HashMap<(u32, Token), u32, foldhash::fast::RandomState>,
    ends: Vec<Option<T>>,
}

impl<T> Phrases<T> {
    pub(super) fn new() -> Self {
        Phrases { next: HashMap::default(), ends: Vec::new() }
    }

    /// The node at the end of `phrase`, made where it is not there yet.
    pub(super) fn node(&mut self, phrase: impl Iterator<Item = Token>) -> &mut Option<T> {
        if self.ends.is_empty() {
            self.ends.push(None);
        }
        let mut at = 0;
        for token in phrase {
            let fresh = self.ends.len() as u32;
            at = *self.next.entry((at, token)).or_insert(fresh);
            if at == fresh {
                self.ends.push(None);
            }
        }
        &mut self.ends[at as usize]
    }

    /// The longest phrase that `tokens` begin with: its length and meaning.
    pub(super) fn longest(&self, tokens: impl Iterator<Item = Token>) -> Option<(usize, &T)> {
        let (mut at, mut best) = (0, None);
        for (i, token) in tokens.enumerate() {
            let Some(&next) = self.next.get(&(at, token)) else { break };
            at = next;
            if let Some(meaning) = &self.ends[at as usize] {
                best = Some((i + 1, meaning));
            }
        }
        best
    }
}

impl<T> Phrases<T> {
    /// The meaning of exactly this phrase.
    pub(super) fn exact(&self, tokens: &[Token]) -> Option<&T> {
        let mut at = 0;
        for &token in tokens {
            at = *self.next.get(&(at, token))?;
        }
        self.ends.get(at as usize)?.as_ref()
    }
}
