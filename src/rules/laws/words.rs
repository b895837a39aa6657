//! Laws of tables that hold one row a token: positions and vocabularies.

use super::{Mend, Reading, list, only_first, only_one, root, times};

/// Tokens before the patches: none, a class token, a distillation token beside it, registers.
const PREFIXES: [u64; 8] = [1, 0, 2, 5, 4, 3, 8, 9];

/// A grid of patches with tokens before it.
#[derive(Clone, Copy, PartialEq)]
struct Grid {
    side: u64,
    prefix: u64,
}

impl Grid {
    /// How `tokens` come about with `prefix` tokens before a square grid.
    fn of(tokens: u64, prefix: u64) -> Option<Grid> {
        let side = root(tokens.checked_sub(prefix)?)?;
        (side > 1).then_some(Grid { side, prefix })
    }
}

/// Position embeddings over patches.
pub(super) fn token_grid(from: &[u64], to: &[u64]) -> Option<Reading> {
    if let ([1, a @ .., d], [1, b @ .., same]) = (from, to)
        && d == same
        && a.len() == 2
        && b.len() == 2
    {
        return Some(planes(a, b));
    }
    if let ([1, d, a @ ..], [1, same, b @ ..]) = (from, to)
        && d == same
        && a.len() == 2
        && b.len() == 2
        // `(1, 14, 14, 384)` with another width is no plane of 14×384.
        && a.first() == a.last()
        && b.first() == b.last()
    {
        return Some(planes(a, b));
    }
    let (a, b) = match (from, to) {
        ([1, a, d], [1, b, same]) | ([a, d], [b, same]) | ([a, 1, d], [b, 1, same]) if d == same => (*a, *b),
        _ => return None,
    };
    let pairs = PREFIXES.iter().map(|&p| (p, p));
    // The same tokens on both sides are likelier than tokens that came or went with the same grid.
    let others = PREFIXES.iter().flat_map(|&p| PREFIXES.iter().map(move |&q| (p, q)));
    let same_tokens = pairs.filter_map(|(p, q)| Grid::of(a, p).zip(Grid::of(b, q)));
    let same_grid = others.filter_map(|(p, q)| Grid::of(a, p).zip(Grid::of(b, q))).filter(|(g, h)| g.side == h.side);
    let (g, h) = same_tokens.chain(same_grid).next()?;
    let name = |g: Grid| if g.prefix == 0 { format!("{}²", g.side) } else { format!("{}² + {}", g.side, g.prefix) };
    Some(Reading {
        words: format!("{} → {} tokens", name(g), name(h)),
        facts: vec![
            ("from", list(&[g.side, g.side])),
            ("to", list(&[h.side, h.side])),
            ("prefix_from", g.prefix.into()),
            ("prefix_to", h.prefix.into()),
        ],
        mend: Mend::Resize,
    })
}

fn planes(a: &[u64], b: &[u64]) -> Reading {
    Reading::from_to(format!("{} → {} patches", times(a), times(b)), list(a), list(b), Mend::Resize)
}

/// One row a position of the text.
pub(super) fn context_length(from: &[u64], to: &[u64]) -> Option<Reading> {
    let (at, a, b) = only_one(from, to)?;
    // Rows come first, after a leading 1 at most.
    let leading = from.get(..at).is_some_and(|dims| dims.iter().all(|&d| d == 1));
    if !leading || from.len() > 3 {
        return None;
    }
    Some(Reading::from_to(format!("{a} → {b} positions"), a, b, Mend::Resize))
}

/// One row a token of the vocabulary.
pub(super) fn vocabulary(from: &[u64], to: &[u64]) -> Option<Reading> {
    let (a, b) = only_first(from, to).filter(|_| from.len() <= 2)?;
    let (small, large) = (a.min(b), a.max(b));
    let added = large - small;
    let sign = if b > a { '+' } else { '−' };
    // Padding stops short of the next multiple; tokens that were added seldom end on one.
    let padding = [128, 64].into_iter().find(|&m| large.is_multiple_of(m) && !small.is_multiple_of(m) && added < m);
    let words = match padding {
        Some(m) => format!("{sign}{added} tokens ({a} → {b}): padded to a multiple of {m}"),
        None => format!("{sign}{added} tokens ({a} → {b})"),
    };
    let mut reading = Reading::from_to(words, a, b, Mend::Resize);
    if let Some(m) = padding {
        reading.facts.push(("multiple", m.into()));
    }
    Some(reading)
}

#[cfg(test)]
mod tests {
    use super::super::Law;

    fn words(law: Law, from: &[u64], to: &[u64]) -> Option<String> {
        law.read(from, to).map(|r| r.words)
    }

    #[test]
    fn position_tables_tell_their_grid_and_the_tokens_before_it() {
        let grid = |a, b| words(Law::TokenGrid, &[1, a, 768], &[1, b, 768]);
        assert_eq!(grid(197, 577).as_deref(), Some("14² + 1 → 24² + 1 tokens"));
        assert_eq!(grid(64, 256).as_deref(), Some("8² → 16² tokens"));
        assert_eq!(grid(198, 197).as_deref(), Some("14² + 2 → 14² + 1 tokens"));
        assert_eq!(grid(1374, 261).as_deref(), Some("37² + 5 → 16² + 5 tokens"));
        assert_eq!(grid(77, 248), None);
        assert_eq!(words(Law::TokenGrid, &[50, 768], &[197, 768]).as_deref(), Some("7² + 1 → 14² + 1 tokens"));
    }

    #[test]
    fn planes_of_positions_are_named_by_their_sides() {
        let planes = words(Law::TokenGrid, &[1, 64, 64, 768], &[1, 32, 48, 768]);
        assert_eq!(planes.as_deref(), Some("64×64 → 32×48 patches"));
        let planes = words(Law::TokenGrid, &[1, 768, 14, 14], &[1, 768, 24, 24]);
        assert_eq!(planes.as_deref(), Some("14×14 → 24×24 patches"));
    }

    #[test]
    fn another_width_is_no_grid() {
        assert_eq!(words(Law::TokenGrid, &[1, 197, 384], &[1, 577, 768]), None);
    }

    #[test]
    fn vocabularies_tell_tokens_added_from_padding() {
        let vocabulary = |a, b| words(Law::Vocabulary, &[a, 4096], &[b, 4096]);
        assert_eq!(vocabulary(128_256, 128_260).as_deref(), Some("+4 tokens (128256 → 128260)"));
        assert_eq!(vocabulary(128_260, 128_256).as_deref(), Some("−4 tokens (128260 → 128256)"));
        assert_eq!(
            vocabulary(50_257, 50_304).as_deref(),
            Some("+47 tokens (50257 → 50304): padded to a multiple of 128")
        );
    }

    #[test]
    fn positions_of_a_text_are_counted() {
        assert_eq!(words(Law::ContextLength, &[1024, 768], &[4096, 768]).as_deref(), Some("1024 → 4096 positions"));
        assert_eq!(words(Law::ContextLength, &[1024, 768], &[1024, 1024]), None);
    }
}
