//! Small pairs for the tests of the steps, written as the examples of rules are.

use super::{Alignment, align};
use crate::checkpoint::StateDict;
use crate::rules::{Example, Line, RuleSet};

/// Aligns keys such as `blocks.{0-3}.norm.weight [8]` and shows the outcome with both sides.
pub(crate) fn aligned<T>(
    source: &[&str],
    target: &[&str],
    look: impl FnOnce(&Alignment, &StateDict<'_>, &StateDict<'_>) -> T,
) -> T {
    let lines = |text: &[&str]| text.iter().map(|l| Line::try_from((*l).to_owned()).unwrap()).collect::<Vec<Line>>();
    let case = Example { source: lines(source), target: lines(target), ..Example::default() };
    let (a, b) = case.checkpoints();
    let (a, b) = (StateDict::below(&a, 0), StateDict::below(&b, 0));
    look(&align(&a, &b, &RuleSet::embedded()), &a, &b)
}

/// The key of an entry.
pub(crate) fn key(side: &StateDict<'_>, i: u32) -> String {
    side.entries[i as usize].key.to_string()
}
