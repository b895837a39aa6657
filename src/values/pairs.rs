//! Which bytes of the source stand against which bytes of the target: the steps that a conversion would take, taken on
//! views, so that nothing is copied.

use std::collections::HashMap;

use crate::align::{How, Match};
use crate::checkpoint::{Entry, StateDict};
use crate::convert::{Output, Recipe, Step};
use crate::payload::{Payload, Tensor};

/// Views of equal shape, the source's first.
pub(super) type Views = (Tensor, Tensor);

/// The views of one match.
///
/// # Errors
/// Why its values cannot be compared.
pub(super) fn views(
    m: &Match,
    made: &HashMap<&str, &Output>,
    source: (&StateDict<'_>, &Payload<'_>),
    target: (&StateDict<'_>, &Payload<'_>),
) -> Result<Vec<Views>, String> {
    let there = |side: &StateDict<'_>, i: u32| side.entries.get(i as usize).map(|e: &Entry<'_>| e.tensor.clone());
    let wanted = there(target.0, m.target).ok_or("a target that is not there")?;
    let wanted_key = target.0.entries.get(m.target as usize).map_or("", |e| e.key.as_str());
    let given = |i: u32| {
        let tensor = there(source.0, i).ok_or("a source that is not there")?;
        source.1.tensor(&tensor).map_err(|e| e.to_string())
    };
    let whole = |tensor: &Tensor, wanted: Tensor| {
        let fits = tensor.shape() == wanted.shape();
        // A tensor of one element goes into a scalar.
        let loose = tensor.shape() == [1] && wanted.shape().is_empty();
        let tensor = if loose { tensor.reshape(&[]) } else { fits.then(|| tensor.clone()) };
        tensor.map(|tensor| vec![(tensor, wanted)])
    };
    let target_view = || target.1.tensor(&wanted).map_err(|e| e.to_string());
    if let (How::Identical, &[one]) = (m.how, m.source.as_slice()) {
        return whole(&given(one)?, target_view()?).ok_or_else(|| "its shape differs".into());
    }
    match made.get(wanted_key).map(|o| &o.recipe) {
        Some(Recipe::Join { axis, slice, slices }) => {
            let wanted = target_view()?;
            let mut out = Vec::new();
            for (number, shares) in slices.iter().enumerate() {
                let part = if slices.len() == 1 && wanted.shape() == slice.as_slice() {
                    wanted.clone()
                } else if slices.len() == 1 {
                    wanted.reshape(slice).ok_or("its values are scattered")?
                } else {
                    let one = wanted.narrow(0, number as u64, 1).ok_or("a slice that is not there")?;
                    one.reshape(slice).ok_or("its values are scattered")?
                };
                let mut at = 0;
                for share in shares {
                    let view = stepped(given(share.source)?, &share.steps)?;
                    let view = if shares.len() == 1 && view.shape() != slice.as_slice() {
                        view.reshape(slice).ok_or("its shape differs")?
                    } else {
                        view
                    };
                    let size = view.shape().get(*axis).copied().unwrap_or(1);
                    let there = match shares.len() {
                        1 => part.clone(),
                        _ => part.narrow(*axis, at, size).ok_or("its parts do not add up")?,
                    };
                    if there.shape() != view.shape() {
                        return Err("its parts have other shapes".into());
                    }
                    at += size;
                    out.push((view, there));
                }
            }
            Ok(out)
        }
        Some(Recipe::Resize(..)) => Err("it would be resized".into()),
        Some(Recipe::Target(_) | Recipe::Made(_)) => Err("the model builds it".into()),
        None => match m.source.as_slice() {
            &[one] => {
                let given = given(one)?;
                whole(&given, target_view()?).ok_or_else(|| "its shape differs".into())
            }
            _ => Err("how it is made of its sources is not known".into()),
        },
    }
}

/// A tensor seen as the steps say; copied where that cannot be had otherwise.
fn stepped(mut tensor: Tensor, steps: &[Step]) -> Result<Tensor, String> {
    for step in steps {
        let next = match step {
            Step::Slice(i) => {
                let rest: Vec<u64> = tensor.shape().iter().skip(1).copied().collect();
                tensor.narrow(0, *i, 1).and_then(|one| one.reshape(&rest))
            }
            Step::Narrow { axis, from, len } => tensor.narrow(*axis, *from, *len),
            Step::Permute(order) => tensor.permute(order),
            Step::Reshape(shape) => match tensor.reshape(shape) {
                Some(view) => Some(view),
                None => tensor.gathered().map_err(|e| e.to_string())?.reshape(shape),
            },
        };
        tensor = next.ok_or("its shape differs")?;
    }
    Ok(tensor)
}
