//! Whether square matrices have to be turned: their shape does not say, those beside them do.
//!
//! GPT-2 keeps its matrices input first. That shows in `[768, 3072]` against `[3072, 768]`, and not in `[768, 768]`, which
//! would load and be wrong.

use std::collections::HashMap;

use super::plan::Step;
use crate::checkpoint::Key;
use crate::rules::lexicon::Lexicon;

/// What is known of a square matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Square {
    /// It stays as it is.
    AsItIs,
    /// Rows become columns.
    Turned,
    /// What stands beside it contradicts itself.
    Unknown,
}

/// What the matrices that are not square show, by the module that they lie in.
#[derive(Clone, Debug, Default)]
pub(super) struct Layout {
    /// For every module of the source, with all above it: matrices that stay, and that are turned.
    seen: HashMap<String, (usize, usize)>,
    /// Names of leaves whose matrices are stored input first.
    turned: Vec<String>,
    /// Names that mean an embedding, which is a table and no matrix.
    tables: Vec<String>,
}

impl Layout {
    pub(super) fn new(lexicon: &Lexicon) -> Layout {
        let forms = |l: &crate::rules::lexicon::LeafForms| l.forms.clone();
        let turned = lexicon.leaves.iter().filter(|l| l.turned).flat_map(forms).collect();
        let embeddings = lexicon.concepts.iter().filter(|c| c.name.ends_with("embedding"));
        Layout { seen: HashMap::new(), turned, tables: embeddings.flat_map(|c| c.forms.clone()).collect() }
    }

    /// Whether a key is that of a table with one row a token or position.
    fn is_table(&self, key: Key<'_>) -> bool {
        key.segments().any(|s| self.tables.iter().any(|t| t == s))
    }

    /// Takes note of how a matrix that is not square is brought over.
    pub(super) fn learn(&mut self, key: Key<'_>, from: &[u64], to: &[u64], steps: &[Step]) {
        let (&[a, b], 2) = (from, to.len()) else { return };
        if a == b || a <= 1 || b <= 1 || self.is_table(key) {
            return;
        }
        let turned = steps.iter().any(|s| matches!(s, Step::Permute(_)));
        for module in above(key) {
            let seen = self.seen.entry(module.to_owned()).or_default();
            if turned {
                seen.1 += 1;
            } else {
                seen.0 += 1;
            }
        }
    }

    /// Whether one of two names is that of a matrix stored input first, and the other is not.
    pub(super) fn crossed(&self, source: Key<'_>, target: Key<'_>) -> bool {
        let input_first = |key: Key<'_>| self.turned.iter().any(|t| t == key.leaf());
        input_first(source) != input_first(target)
    }

    /// What becomes of a square matrix `source` of the source that is `target` in the target.
    pub(super) fn square(&self, source: Key<'_>, target: Key<'_>) -> Square {
        if source == target || self.is_table(source) || self.is_table(target) {
            return Square::AsItIs;
        }
        if self.crossed(source, target) {
            return Square::Turned;
        }
        // The nearest module that shows anything decides.
        match above(source).find_map(|module| self.seen.get(module)) {
            None | Some((_, 0)) => Square::AsItIs,
            Some((0, _)) => Square::Turned,
            Some(_) => Square::Unknown,
        }
    }
}

/// The modules around a key, the innermost first, the whole model last.
fn above<'k>(key: Key<'k>) -> impl Iterator<Item = &'k str> {
    let mut next = Some(key.module());
    std::iter::from_fn(move || {
        let module = next?;
        next = if module.is_empty() { None } else { Some(Key(module).module()) };
        Some(module)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::RuleSet;

    fn layout(learned: &[(&str, bool)]) -> Layout {
        let mut layout = Layout::new(&RuleSet::embedded().lexicon);
        for (key, turned) in learned {
            let steps = if *turned { vec![Step::Permute(vec![1, 0])] } else { Vec::new() };
            layout.learn(Key(key), &[768, 3072], if *turned { &[3072, 768] } else { &[768, 3072] }, &steps);
        }
        layout
    }

    #[test]
    fn a_square_matrix_goes_the_way_of_those_in_its_block() {
        let gpt2 = layout(&[("h.0.mlp.c_fc.weight", true), ("lm_head.weight", false)]);
        let square = |s, t| gpt2.square(Key(s), Key(t));
        assert_eq!(square("h.0.attn.c_proj.weight", "layers.0.out_proj.weight"), Square::Turned);
        assert_eq!(layout(&[]).square(Key("a.w1.weight"), Key("a.w2.weight")), Square::AsItIs);
        let plain = layout(&[("h.0.mlp.c_fc.weight", false)]);
        assert_eq!(plain.square(Key("h.0.attn.c_proj.weight"), Key("h.0.o.weight")), Square::AsItIs);
    }

    #[test]
    fn what_contradicts_itself_is_not_decided() {
        let mixed = layout(&[("h.0.mlp.c_fc.weight", true), ("h.0.mlp.other.weight", false)]);
        assert_eq!(mixed.square(Key("h.0.attn.c_proj.weight"), Key("h.0.out.weight")), Square::Unknown);
    }

    #[test]
    fn tables_and_equal_names_stay_and_kernels_are_turned() {
        let gpt2 = layout(&[("h.0.mlp.c_fc.weight", true)]);
        assert_eq!(gpt2.square(Key("wpe.weight"), Key("embed_positions.weight")), Square::AsItIs);
        assert_eq!(gpt2.square(Key("h.0.x.weight"), Key("h.0.x.weight")), Square::AsItIs);
        assert_eq!(layout(&[]).square(Key("dense.kernel"), Key("dense.weight")), Square::Turned);
    }
}
