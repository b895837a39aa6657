//! Claims that are taken back: what kept names say against them.

use std::collections::HashMap;

use super::beyond;
use crate::align::certainty::Decision;
use crate::align::evidence::Evidence;
use crate::align::units::Unit;
use crate::align::words::Token;

/// Takes back what passes over a tensor of the same name, where the sides do not fit together otherwise either.
///
/// One model in two widths has tensors of equal shape in other stages, and they are not each other. A conversion that moves a stage
/// (a downsample of Swin) leaves nothing of the kind open: there shapes are believed, not names.
pub(super) fn own_names_first(decisions: &mut [Decision], a: &[Unit], b: &[Unit]) {
    type Names<'u> = HashMap<&'u [Token], Option<&'u [u64]>, foldhash::fast::RandomState>;
    fn names(units: &[Unit]) -> Names<'_> {
        units.iter().filter(|u| u.part.is_none()).map(|u| (u.name.tokens.as_slice(), u.shape.as_deref())).collect()
    }
    // Of equal name and another size: what is of equal size is told apart by other means.
    let resized = |names: &Names<'_>, unit: &Unit| {
        names.get(unit.name.tokens.as_slice()).is_some_and(|shape| *shape != unit.shape.as_deref())
    };
    let (in_a, in_b) = (names(a), names(b));
    let mut claimed = vec![false; a.len()];
    let (mut crossing, mut open) = (0usize, 0usize);
    let crosses = |s: u32, t: usize| {
        let (x, y) = (&a[s as usize], &b[t]);
        x.name.tokens != y.name.tokens && (resized(&in_b, x) || resized(&in_a, y))
    };
    for (t, decision) in decisions.iter().enumerate() {
        match decision {
            Decision::Claim(s, _) => {
                claimed[*s as usize] = true;
                crossing += usize::from(crosses(*s, t));
            }
            _ => open += usize::from(resized(&in_a, &b[t])),
        }
    }
    open += (0..a.len()).filter(|&s| !claimed[s] && resized(&in_b, &a[s])).count();
    if open < OPEN || open * 4 < crossing {
        return;
    }
    for (t, decision) in decisions.iter_mut().enumerate() {
        let passes_over = match decision {
            Decision::Claim(s, _) => crosses(*s, t),
            Decision::OneOf(_) => resized(&in_a, &b[t]),
            Decision::Nothing => false,
        };
        if passes_over {
            *decision = Decision::Nothing;
        }
    }
}

/// Takes the smaller tensors of a module where its largest went, if their place there is open.
///
/// Two models of a kind count their layers in other ways, and the bias of a convolution fits a batch norm that happens to have its
/// old name (`features.28.bias` of VGG-16 with and without norms). A module is one thing: the weight tells where it went.
pub(super) fn follow_the_weight(decisions: &mut [Decision], a: &[Unit], b: &[Unit]) {
    type Modules<'u> = HashMap<&'u [Token], Vec<usize>, foldhash::fast::RandomState>;
    fn modules(units: &[Unit]) -> Modules<'_> {
        let mut out = Modules::default();
        for (i, unit) in units.iter().enumerate().filter(|(_, u)| u.part.is_none()) {
            out.entry(unit.name.module()).or_default().push(i);
        }
        out
    }
    let (in_a, in_b) = (modules(a), modules(b));
    let mut places: HashMap<usize, (usize, f32)> = HashMap::new();
    for (t, decision) in decisions.iter().enumerate() {
        if let Decision::Claim(s, confidence) = *decision {
            places.insert(s as usize, (t, confidence));
        }
    }
    for units in in_a.values().filter(|units| units.len() > 1) {
        let Some(&largest) = units.iter().max_by_key(|&&s| a[s].numel) else { continue };
        let alone = units.iter().filter(|&&s| a[s].numel == a[largest].numel).count() == 1;
        let Some(&(weight, sure)) = places.get(&largest).filter(|_| alone) else { continue };
        let Some(there) = in_b.get(b[weight].name.module()) else { continue };
        for &s in units {
            let Some(&(t, confidence)) = places.get(&s).filter(|(t, _)| !there.contains(t)) else { continue };
            let same = |p: &usize| b[*p].name.leaf_tokens() == a[s].name.leaf_tokens() && b[*p].shape == a[s].shape;
            let place = there.iter().copied().find(same);
            if let Some(place) = place.filter(|&p| matches!(decisions[p], Decision::Nothing)) {
                decisions[t] = Decision::Nothing;
                decisions[place] = Decision::Claim(s as u32, sure.min(confidence));
            }
        }
    }
}

/// How many tensors of equal names must be open before names are believed rather than shapes.
const OPEN: usize = 4;

/// Where nine of ten names are kept, a single module that would be renamed is likelier another module.
pub(super) fn mostly_kept(decisions: &[Decision], a: &[Unit], b: &[Unit]) -> bool {
    let claims = decisions.iter().enumerate().filter_map(|(t, d)| match d {
        Decision::Claim(s, _) => Some(a[*s as usize].name.tokens == b[t].name.tokens),
        _ => None,
    });
    let (mut kept, mut all) = (0usize, 0usize);
    for same in claims {
        all += 1;
        kept += usize::from(same);
    }
    kept * 10 >= all * 9
}

/// Takes back claims that rename a single tensor, or tensors of one block to those of another, to something that is not even called
/// alike.
pub(super) fn forget_odd_ones(decisions: &mut [Decision], a: &[Unit], b: &[Unit], evidence: &mut Evidence<'_>) {
    let mut together: HashMap<(u32, u32), usize> = HashMap::new();
    for (t, d) in decisions.iter().enumerate() {
        if let Decision::Claim(s, _) = d {
            *together.entry((a[*s as usize].name.class, b[t].name.class)).or_default() += 1;
        }
    }
    let mut sizes: HashMap<u64, usize> = HashMap::new();
    for unit in a.iter().chain(b) {
        *sizes.entry(unit.numel).or_default() += 1;
    }
    for (t, d) in decisions.iter_mut().enumerate() {
        if let Decision::Claim(s, _) = *d {
            // A size that hardly anything else has speaks for itself, whatever the names.
            if sizes[&b[t].numel] <= 3 {
                continue;
            }
            let (x, y) = (&a[s as usize].name, &b[t].name);
            // One of its kind, or from one block to another while the blocks keep their numbers.
            let single = x.tokens != y.tokens && (together[&(x.class, y.class)] == 1 || x.numbers != y.numbers);
            let apart = beyond(&x.tokens, &y.tokens).min(beyond(&y.tokens, &x.tokens));
            let same_module = evidence.same_module(x.class, y.class).is_some_and(|written| !written || apart <= 1);
            if single && evidence.name(x.class, y.class) < 0.85 && !same_module {
                *d = Decision::Nothing;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::align::cases::{aligned, key};

    /// Every match whose key does not keep its name, as `source -> target`.
    fn renamed(source: &[&str], target: &[&str]) -> Vec<String> {
        aligned(source, target, |found, a, b| {
            let pairs = found.matches.iter().map(|m| (key(a, m.source[0]), key(b, m.target)));
            pairs.filter(|(s, t)| s != t).map(|(s, t)| format!("{s} -> {t}")).collect()
        })
    }

    #[test]
    fn stages_of_a_model_in_another_width_are_not_one_another() {
        let small = [
            "stages.0.{0-3}.conv.weight [32, 32]",
            "stages.1.{0-3}.conv.weight [64, 64]",
            "stages.2.{0-3}.conv.weight [128, 128]",
        ];
        let large = [
            "stages.0.{0-3}.conv.weight [64, 64]",
            "stages.1.{0-3}.conv.weight [128, 128]",
            "stages.2.{0-3}.conv.weight [256, 256]",
        ];
        assert_eq!(renamed(&small, &large), [] as [&str; 0]);
    }

    #[test]
    fn a_bias_goes_where_its_weight_went_and_not_to_a_norm_of_its_old_name() {
        let plain = ["f.0.weight [8, 3]", "f.1.weight [8, 8]", "f.{0,1}.bias [8]"];
        let norms =
            ["f.0.weight [8, 3]", "f.2.weight [8, 8]", "f.{0,2}.bias [8]", "f.{1,3}.{weight,bias,running_mean} [8]"];
        assert_eq!(renamed(&plain, &norms), ["f.1.weight -> f.2.weight", "f.1.bias -> f.2.bias"]);
    }

    #[test]
    fn a_layer_that_moved_to_the_next_stage_is_found_by_its_shape() {
        let old = [
            "layers.0.{norm,fc}.weight [8, 8]",
            "layers.0.down.weight [16, 32]",
            "layers.1.{norm,fc}.weight [16, 16]",
            "layers.1.down.weight [32, 64]",
            "layers.2.{norm,fc}.weight [32, 32]",
        ];
        let new = [
            "layers.0.{norm,fc}.weight [8, 8]",
            "layers.1.down.weight [16, 32]",
            "layers.1.{norm,fc}.weight [16, 16]",
            "layers.2.down.weight [32, 64]",
            "layers.2.{norm,fc}.weight [32, 32]",
        ];
        let moved = ["layers.0.down.weight -> layers.1.down.weight", "layers.1.down.weight -> layers.2.down.weight"];
        assert_eq!(renamed(&old, &new), moved);
    }
}
