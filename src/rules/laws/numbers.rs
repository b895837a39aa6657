//! Laws of sizes that a number in the configuration sets: classes, channels, kernels, queries, ranks.

use super::{Mend, Reading, only_first, only_one, times};

/// Anchors a place of RetinaNet's default head: three scales, three ratios.
const ANCHORS: u64 = 9;
/// Anchors a place of YOLO's heads.
const YOLO_ANCHORS: u64 = 3;
/// Box and objectness of one YOLO anchor.
const YOLO_BOX: u64 = 5;
/// No image has more channels than this.
const CHANNELS: u64 = 16;

fn classes_reading(a: u64, b: u64) -> Reading {
    Reading::from_to(format!("{a} → {b} classes"), a, b, Mend::Lost)
}

pub(super) fn classes(from: &[u64], to: &[u64]) -> Option<Reading> {
    only_first(from, to).map(|(a, b)| classes_reading(a, b))
}

pub(super) fn anchor_classes(from: &[u64], to: &[u64]) -> Option<Reading> {
    let (a, b) = only_first(from, to)?;
    let whole = a.is_multiple_of(ANCHORS) && b.is_multiple_of(ANCHORS);
    whole.then(|| classes_reading(a / ANCHORS, b / ANCHORS))
}

pub(super) fn yolo_classes(from: &[u64], to: &[u64]) -> Option<Reading> {
    let (a, b) = only_first(from, to)?;
    let classes = |n: u64| if n.is_multiple_of(YOLO_ANCHORS) { (n / YOLO_ANCHORS).checked_sub(YOLO_BOX) } else { None };
    Some(classes_reading(classes(a)?, classes(b)?))
}

pub(super) fn in_channels(from: &[u64], to: &[u64]) -> Option<Reading> {
    let (at, a, b) = only_one(from, to)?;
    let image = at == 1 && from.len() >= 4 && (1..=CHANNELS).contains(&a) && (1..=CHANNELS).contains(&b);
    image.then(|| Reading::from_to(format!("{a} → {b} input channels"), a, b, Mend::Resize))
}

pub(super) fn image_channels(from: &[u64], to: &[u64]) -> Option<Reading> {
    let (_, a, b) = only_one(from, to)?;
    let colours = |n: u64| matches!(n, 1 | 3 | 4);
    (colours(a) && colours(b)).then(|| Reading::from_to(format!("{a} → {b} image channels"), a, b, Mend::Lost))
}

pub(super) fn transpose(from: &[u64], to: &[u64]) -> Option<Reading> {
    let (mut a, mut b) = (from.to_vec(), to.to_vec());
    a.sort_unstable();
    b.sort_unstable();
    let turned = from.len() >= 2 && a == b && from.iter().filter(|&&d| d > 1).count() >= 2;
    turned.then(|| Reading { words: "transposed".into(), facts: Vec::new(), mend: Mend::Edit })
}

pub(super) fn kernel(from: &[u64], to: &[u64]) -> Option<Reading> {
    let ([o, i, a @ ..], [p, j, b @ ..]) = (from, to) else { return None };
    if (o, i, a.len()) != (p, j, b.len()) || a.is_empty() {
        return None;
    }
    let words = format!("kernel {} → {}", times(a), times(b));
    Some(Reading::from_to(words, super::list(a), super::list(b), Mend::Lost))
}

pub(super) fn axes(from: &[u64], to: &[u64]) -> Option<Reading> {
    let ([o, i, a @ ..], [p, j, b @ ..]) = (from, to) else { return None };
    let (few, many) = if a.len() < b.len() { (a, b) } else { (b, a) };
    // The new axis stands before the others (time, height, width) or behind them.
    let added = many.get(1..) == Some(few) || many.get(..few.len()) == Some(few);
    if (o, i) != (p, j) || few.len() < 2 || many.len() != few.len() + 1 || !added {
        return None;
    }
    let words = format!("{}-D → {}-D convolutions", a.len(), b.len());
    Some(Reading::from_to(words, a.len(), b.len(), Mend::Lost))
}

pub(super) fn queries(from: &[u64], to: &[u64]) -> Option<Reading> {
    let (a, b) = only_first(from, to).filter(|_| from.len() == 2)?;
    Some(Reading::from_to(format!("{a} → {b} queries"), a, b, Mend::Lost))
}

pub(super) fn rank(from: &[u64], to: &[u64]) -> Option<Reading> {
    let (_, a, b) = only_one(from, to)?;
    Some(Reading::from_to(format!("rank {a} → {b}"), a, b, Mend::Lost))
}

pub(super) fn kv_heads(from: &[u64], to: &[u64]) -> Option<Reading> {
    let (a, b) = only_first(from, to)?;
    let (small, large) = (a.min(b), a.max(b));
    if small == 0 || !large.is_multiple_of(small) {
        return None;
    }
    let words = format!("{a} → {b} rows of keys and values, {} to 1", large / small);
    Some(Reading::from_to(words, a, b, Mend::Lost))
}

pub(super) fn head_size(from: &[u64], to: &[u64]) -> Option<Reading> {
    let (_, a, b) = only_one(from, to)?;
    let words = format!("attention {a} → {b} wide: another size or number of heads");
    Some(Reading::from_to(words, a, b, Mend::Lost))
}

pub(super) fn packed(from: &[u64], to: &[u64]) -> Option<Reading> {
    let words = match (values_in(from, to), values_in(to, from)) {
        (Some(how), _) => how.to_owned(),
        (_, Some(how)) => format!("{how}, which the model packs and the checkpoint does not,"),
        _ => return None,
    };
    Some(Reading { words, facts: Vec::new(), mend: Mend::Lost })
}

/// How a matrix lies in a tensor of the first shape: bytes in one column, or words in tiles of 32 × 4.
fn values_in(packed: &[u64], matrix: &[u64]) -> Option<&'static str> {
    let count = |dims: &[u64]| dims.iter().try_fold(1u64, |n, &d| n.checked_mul(d));
    let (each, words) = match *packed {
        [_, 1] => (2, "two 4-bit values a byte"),
        [_, _, 32, 4] => (8, "eight 4-bit values a number, in tiles"),
        _ => return None,
    };
    (count(packed)?.checked_mul(each) == count(matrix)).then_some(words)
}

#[cfg(test)]
mod tests {
    use super::super::{Law, Mend};

    fn words(law: Law, from: &[u64], to: &[u64]) -> Option<String> {
        law.read(from, to).map(|r| r.words)
    }

    #[test]
    fn heads_tell_their_classes() {
        assert_eq!(words(Law::Classes, &[1000, 2048], &[80, 2048]).as_deref(), Some("1000 → 80 classes"));
        assert_eq!(words(Law::Classes, &[1000], &[80]).as_deref(), Some("1000 → 80 classes"));
        assert_eq!(words(Law::Classes, &[1000, 2048], &[80, 512]), None);
        assert_eq!(words(Law::AnchorClasses, &[720, 256, 3, 3], &[18, 256, 3, 3]).as_deref(), Some("80 → 2 classes"));
        assert_eq!(words(Law::YoloClasses, &[255, 128, 1, 1], &[21, 128, 1, 1]).as_deref(), Some("80 → 2 classes"));
        assert_eq!(words(Law::YoloClasses, &[255, 128, 1, 1], &[12, 128, 1, 1]), None);
    }

    #[test]
    fn only_few_channels_are_those_of_an_image() {
        assert_eq!(words(Law::InChannels, &[64, 3, 7, 7], &[64, 1, 7, 7]).as_deref(), Some("3 → 1 input channels"));
        assert_eq!(words(Law::InChannels, &[64, 64, 3, 3], &[64, 32, 3, 3]), None);
        assert_eq!(
            words(Law::ImageChannels, &[1, 1, 512, 1, 1], &[1, 3, 512, 1, 1]).as_deref(),
            Some("1 → 3 image channels")
        );
    }

    #[test]
    fn a_transposed_matrix_loses_nothing_and_a_square_one_cannot_be_told() {
        assert_eq!(Law::Transpose.read(&[2304, 768], &[768, 2304]).map(|r| r.mend), Some(Mend::Edit));
        assert_eq!(words(Law::Transpose, &[768, 768], &[768, 768]), None);
        assert_eq!(words(Law::Transpose, &[1, 768], &[768, 1]), None);
    }

    #[test]
    fn kernels_ranks_and_queries() {
        assert_eq!(words(Law::Kernel, &[64, 3, 7, 7], &[64, 3, 3, 3]).as_deref(), Some("kernel 7×7 → 3×3"));
        assert_eq!(words(Law::Axes, &[8, 4, 3, 3], &[8, 4, 5, 3, 3]).as_deref(), Some("2-D → 3-D convolutions"));
        assert_eq!(words(Law::Axes, &[8, 4, 3, 3], &[8, 2, 3, 3, 3]), None);
        assert_eq!(words(Law::Axes, &[8, 4], &[8, 4, 1]), None);
        assert_eq!(words(Law::Rank, &[16, 4096], &[32, 4096]).as_deref(), Some("rank 16 → 32"));
        assert_eq!(words(Law::Queries, &[100, 256], &[10, 256]).as_deref(), Some("100 → 10 queries"));
        assert_eq!(words(Law::Packed, &[262_144, 1], &[256, 2048]).as_deref(), Some("two 4-bit values a byte"));
        let tiles = words(Law::Packed, &[512, 32, 32, 4], &[4096, 4096]);
        assert_eq!(tiles.as_deref(), Some("eight 4-bit values a number, in tiles"));
        assert!(words(Law::Packed, &[256, 2048], &[262_144, 1]).is_some_and(|w| w.contains("which the model packs")));
    }
}
