//! Whether names of two sides have words in common, where nothing but names is known.

use std::collections::BTreeSet;

/// Words that every model has.
const EVERYWHERE: [&str; 12] =
    ["weight", "bias", "running", "mean", "var", "num", "batches", "tracked", "module", "model", "head", "norm"];

/// The words of a key: letters in a row, two or more, that not every model has.
pub(super) fn words(key: &str) -> impl Iterator<Item = &str> {
    let words = key.split(|c: char| !c.is_alphabetic()).filter(|w| w.len() > 1);
    words.filter(|w| !EVERYWHERE.contains(w))
}

/// Whether two words are one, or one is short for the other: `attn` and `attention`, `norm` and `layernorm`.
fn alike(a: &str, b: &str) -> bool {
    a == b
        || a.len() > 2 && b.len() > 2 && (a.contains(b) || b.contains(a))
        || a.get(..3).is_some_and(|start| b.get(..3) == Some(start))
}

/// Whether two keys have a word in common; `None` where one has no words of its own (`0.weight`).
pub(super) fn share(given: &str, wanted: &str) -> Option<bool> {
    let wanted: Vec<&str> = words(wanted).collect();
    let mut any = false;
    for word in words(given) {
        any = true;
        if wanted.iter().any(|w| alike(word, w)) {
            return Some(true);
        }
    }
    (any && !wanted.is_empty()).then_some(false)
}

/// Whether the words of two sides have hardly one in common.
pub(super) fn foreign<'a>(given: impl Iterator<Item = &'a str>, wanted: impl Iterator<Item = &'a str>) -> bool {
    let given: BTreeSet<&str> = given.flat_map(words).take(MOST).collect();
    let wanted: BTreeSet<&str> = wanted.flat_map(words).take(MOST).collect();
    let (few, many) = if given.len() < wanted.len() { (given, wanted) } else { (wanted, given) };
    let common = few.iter().filter(|a| many.iter().any(|b| alike(a, b))).count();
    few.len() > 2 && common * 3 < few.len()
}

/// Words of one side that are looked at.
const MOST: usize = 20_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_long_forms_of_a_word_are_alike() {
        let long = "encoder.layer.0.attention.output.dense.weight";
        assert_eq!(share("blocks.0.attn.proj.weight", long), Some(true));
        assert_eq!(share("blocks.0.layernorm1.weight", "h.0.lnorm_layer.weight"), Some(true));
        assert_eq!(share("layer1.0.conv1.weight", "blocks.0.mlp.fc1.weight"), Some(false));
        assert_eq!(share("0.weight", "net.0.weight"), None);
    }

    #[test]
    fn two_architectures_are_foreign_to_each_other() {
        let resnet = ["layer1.0.conv1.weight", "layer1.0.bn1.weight", "layer2.0.downsample.0.weight", "fc.weight"];
        let vit = ["blocks.0.attn.qkv.weight", "blocks.0.mlp.fc1.weight", "patch_embed.proj.weight", "cls_token"];
        assert!(foreign(resnet.into_iter(), vit.into_iter()));
        let bert = ["encoder.layer.0.attention.output.dense.weight", "embeddings.patch_embeddings.projection.weight"];
        assert!(!foreign(vit.into_iter(), bert.into_iter()));
    }
}
