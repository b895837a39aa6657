//! Shapes in error texts, however they are written: `torch.Size([64, 3])`, `(64, 3)`, `[64,3]`, broken over lines or not.

use crate::checkpoint::Shape;

/// The most dimensions that are believed.
const MOST_DIMENSIONS: usize = 32;

/// The first shape at or behind `from`, not beginning behind `limit`, and the place behind it.
pub(super) fn shape_after(text: &str, from: usize, limit: usize) -> Option<(Shape, usize)> {
    let bytes = text.as_bytes();
    let mut at = from;
    while at < limit.min(bytes.len()) {
        let close = match bytes.get(at) {
            Some(b'[') => b']',
            Some(b'(') => b')',
            _ => {
                at += 1;
                continue;
            }
        };
        match dims(bytes, at + 1, close) {
            // `Size([])` is a scalar; `()` alone is a call.
            Some((dims, end)) if !dims.is_empty() || close == b']' => return Some((Shape::from(dims), end)),
            _ => at += 1,
        }
    }
    None
}

/// Sizes up to `close`, separated by commas (or `x` as ggml writes); `None` when anything else stands there.
fn dims(bytes: &[u8], from: usize, close: u8) -> Option<(Vec<u64>, usize)> {
    let mut out: Vec<u64> = Vec::new();
    let mut size: Option<u64> = None;
    for (at, &byte) in bytes.iter().enumerate().skip(from) {
        match byte {
            b'0'..=b'9' => {
                size = Some(size.unwrap_or(0).checked_mul(10)?.checked_add(u64::from(byte - b'0'))?);
            }
            b' ' | b'\t' | b'\n' => {}
            b',' => out.push(size.take()?),
            _ if byte == close => {
                out.extend(size);
                return Some((out, at + 1));
            }
            _ => return None,
        }
        if out.len() > MOST_DIMENSIONS {
            return None;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(text: &str) -> Option<Shape> {
        shape_after(text, 0, text.len()).map(|(s, _)| s)
    }

    #[test]
    fn shapes_are_read_in_every_spelling() {
        assert_eq!(first("torch.Size([64, 3, 7, 7])"), Some(Shape::from([64, 3, 7, 7])));
        assert_eq!(first("(81, 1024) in"), Some(Shape::from([81, 1024])));
        assert_eq!(first("(81,)"), Some(Shape::from([81])));
        assert_eq!(first("torch.Size([20\n48, 1])"), Some(Shape::from([2048, 1])));
        assert_eq!(first("torch.Size([])"), Some(Shape::from([])));
        assert_eq!(first("f() of [a] is [7]"), Some(Shape::from([7])));
        assert_eq!(first("[99999999999999999999]"), None);
        assert_eq!(first("[1, 2"), None);
    }
}
