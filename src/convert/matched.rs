//! From what was aligned to what is written.

use std::collections::{HashMap, HashSet};

use super::fit::fit;
use super::layout::{Layout, Square};
use super::made::made;
use super::plan::{Change, Output, Plan, Recipe, Share, Step, known, plain};
use super::{ConvertError, Options, Resize};
use crate::align::{How, Match, Piece, Step as Found};
use crate::checkpoint::{Dtype, Entry, Shape, quoted};
use crate::compare::Difference;
use crate::explain::Remedy;
use crate::judge::{Report, ShapeFit};
use crate::rules::{Filled, RuleSet};

/// A tensor whose shares are known by shape, before it is asked whether square matrices have to be turned.
pub(super) struct Draft {
    pub(super) target: u32,
    pub(super) axis: usize,
    pub(super) slice: Vec<u64>,
    pub(super) slices: Vec<Vec<Share>>,
    pub(super) change: Change,
}

pub(super) struct Planner<'a> {
    report: &'a Report<'a>,
    pub(super) rules: &'a RuleSet,
    pub(super) options: Options,
    /// Pieces of every target that has some, and of every fused source.
    by_target: HashMap<u32, Vec<&'a Piece>>,
    pub(super) by_source: HashMap<u32, Vec<&'a Piece>>,
    pub(super) layout: Layout,
}

/// Why a target cannot be made.
type Refusal = (String, String);

impl Plan {
    /// What the matches of a report come to.
    ///
    /// # Errors
    /// Where a match cannot be carried out although names and shapes let it pass: the parts of a fused tensor that may come in
    /// another order, dtypes that differ between parts. With `options.partial` such keys are left out.
    pub fn matched(
        report: &Report<'_>,
        differences: &[Difference],
        rules: &RuleSet,
        options: Options,
    ) -> Result<Plan, ConvertError> {
        let mut planner = Planner::new(report, rules, options);
        let excused = excused(report, differences);
        let mut plan = Plan::default();
        let mut drafts: Vec<Result<Draft, Output>> = Vec::new();
        let mut refused: Vec<Refusal> = Vec::new();
        let name = |t: u32| report.target.entries.get(t as usize).map_or(String::new(), |e| e.key.to_string());
        for (m, fitting) in report.alignment.matches.iter().zip(&report.fits) {
            if fitting.shapes == ShapeFit::Different || (fitting.shapes == ShapeFit::Resizable && !options.resize) {
                planner.without_source(m.target, &excused, &mut plan);
                continue;
            }
            let made = match fitting.shapes {
                ShapeFit::Resizable => planner.resized(m).map(Err),
                _ => planner.draft(m).map(Ok),
            };
            match made {
                Ok(draft) => drafts.push(draft),
                Err(why) => refused.push((name(m.target), why)),
            }
        }
        for draft in drafts {
            match draft {
                Err(output) => plan.outputs.push(output),
                Ok(draft) => match planner.finish(draft) {
                    Ok(output) => plan.outputs.push(output),
                    Err(refusal) => refused.push(refusal),
                },
            }
        }
        if let Some((key, why)) = refused.first().filter(|_| !options.partial) {
            let more =
                if refused.len() > 1 { format!(", and {} more like it", refused.len() - 1) } else { String::new() };
            return Err(ConvertError::new(format!("{}{more}: {why}", quoted(key)), "--partial leaves such keys out"));
        }
        plan.left_out.extend(refused.into_iter().map(|(key, _)| key));
        let open = report.alignment.ambiguous.iter().flat_map(|a| &a.target);
        for &t in report.alignment.missing.iter().chain(open) {
            planner.without_source(t, &excused, &mut plan);
        }
        let order: HashMap<&str, usize> =
            report.target.entries.iter().enumerate().map(|(i, e)| (e.key.as_str(), i)).collect();
        plan.outputs.sort_by_key(|o| order.get(o.key.as_str()).copied());
        let used: HashSet<u32> = plan.outputs.iter().flat_map(Output::sources).collect();
        let unused = (0u32..).zip(&report.source.entries).filter(|(i, _)| !used.contains(i));
        plan.dropped = unused.map(|(_, e)| e.key.to_string()).collect();
        plan.close(report.source)?;
        Ok(plan)
    }
}

/// Targets that a finding excuses, with the key of the source that they are tied to, where they are: the model fills them.
fn excused<'r>(report: &'r Report<'_>, differences: &[Difference]) -> HashMap<u32, Option<&'r str>> {
    let mut out = HashMap::new();
    for finding in report.findings.iter().filter(|f| f.remedy <= Remedy::Edit) {
        let holder = finding.arguments.get("holder").and_then(|v| v.as_str());
        for claim in &finding.claims {
            let target = match differences.get(*claim as usize) {
                Some(Difference::Missing { target }) => Some(*target),
                Some(Difference::SizeMismatch { matched }) => {
                    report.alignment.matches.get(*matched as usize).map(|m| m.target)
                }
                _ => None,
            };
            out.extend(target.map(|t| (t, holder)));
        }
    }
    out
}

impl<'a> Planner<'a> {
    fn new(report: &'a Report<'a>, rules: &'a RuleSet, options: Options) -> Self {
        let (mut by_target, mut by_source) = (HashMap::new(), HashMap::new());
        for piece in &report.alignment.pieces {
            by_target.entry(piece.target).or_insert_with(Vec::new).push(piece);
            by_source.entry(piece.source).or_insert_with(Vec::new).push(piece);
        }
        Planner { report, rules, options, by_target, by_source, layout: Layout::new(&rules.lexicon) }
    }

    pub(super) fn source(&self, i: u32) -> Result<&'a Entry<'a>, String> {
        self.report.source.entries.get(i as usize).ok_or_else(|| "a source that is not there".to_owned())
    }

    pub(super) fn target(&self, i: u32) -> Result<&'a Entry<'a>, String> {
        self.report.target.entries.get(i as usize).ok_or_else(|| "a target that is not there".to_owned())
    }

    pub(super) fn source_shape(&self, i: u32) -> Result<&'a [u64], String> {
        let entry = self.source(i)?;
        entry
            .shape()
            .map(Shape::dims)
            .ok_or_else(|| format!("the shape of {} is not known", quoted(entry.key.as_str())))
    }

    pub(super) fn target_shape(&self, i: u32) -> Result<&'a [u64], String> {
        self.target(i)?.shape().map(Shape::dims).ok_or_else(|| "its shape is not known".to_owned())
    }

    /// A key that no match fills: tied to another, built by the model, or left out.
    fn without_source(&self, target: u32, excused: &HashMap<u32, Option<&str>>, plan: &mut Plan) {
        let Ok(wanted) = self.target(target) else { return };
        let Some(holder) = excused.get(&target) else {
            plan.left_out.push(wanted.key.to_string());
            return;
        };
        let built = match holder {
            Some(holder) => self.tied(wanted, holder),
            None => self.built(target, wanted),
        };
        match built {
            Some(output) => plan.outputs.push(output),
            None => plan.rebuilt.push(wanted.key.to_string()),
        }
    }

    /// A copy of the tensor that a key is tied to.
    fn tied(&self, wanted: &Entry<'_>, holder: &str) -> Option<Output> {
        let at = self.report.source.entries.iter().position(|e| e.key.as_str() == holder)?;
        let entry = self.report.source.entries.get(at)?;
        plain(wanted.key.as_str(), at as u32, entry, Change::Copied, self.options).ok()
    }

    /// A buffer that the model builds by itself: as the target has it, or as its shape tells.
    fn built(&self, target: u32, wanted: &Entry<'_>) -> Option<Output> {
        let (dtype, shape) = (wanted.dtype()?, wanted.shape()?);
        let recipe = match known(wanted) {
            Ok(_) => Recipe::Target(target),
            Err(_) => {
                let rules = self.rules.buffers.get(wanted.key).filter(|b| b.form.fits(Some(shape)));
                let how = rules.filter(|b| b.filled != Filled::ByTheFile).find_map(|b| b.made)?;
                made(how, dtype, shape)?;
                Recipe::Made(how)
            }
        };
        let key = wanted.key.to_string();
        Some(Output { key, dtype, given: dtype, shape: shape.clone(), recipe, change: Change::Built })
    }

    /// A tensor that a rule resizes.
    fn resized(&self, m: &Match) -> Result<Output, String> {
        let &[source] = m.source.as_slice() else { return Err("it is made of several tensors and resized".into()) };
        let (from, to) = (self.source(source)?, self.target(m.target)?);
        let (given, shape) = self.options.known(from).map_err(|e| e.what)?;
        let wanted = to.shape().ok_or("its shape is not known")?;
        let rules = self.rules.shapes.get(to.key).chain(self.rules.shapes.get(from.key));
        let read = rules.filter_map(|r| Some((r.law, r.law.read(shape.dims(), wanted.dims())?))).next();
        let resize = read.and_then(|(law, reading)| Resize::new(law, &reading, shape.dims(), wanted.dims()));
        let resize = resize.ok_or("the rule that explains its size does not say how to resize it")?;
        if !super::cast::is_number(given) {
            return Err(format!("values of dtype {given} cannot be interpolated"));
        }
        let dtype = self.options.output(given);
        let recipe = Recipe::Resize(source, resize);
        let key = to.key.to_string();
        Ok(Output { key, dtype, given, shape: wanted.clone(), recipe, change: Change::Resized })
    }

    /// The shares of a match by shapes.
    fn draft(&mut self, m: &Match) -> Result<Draft, String> {
        let pieces = self.by_target.get(&m.target).cloned().unwrap_or_default();
        if !pieces.is_empty() {
            return self.pieced(m.target, &pieces);
        }
        let &[source] = m.source.as_slice() else {
            return Err("it would be made of several tensors, and how is not known".into());
        };
        let from = self.source_shape(source)?;
        let slice = self.target(m.target)?.shape().map_or(from, Shape::dims).to_vec();
        let crossed = self.layout.crossed(self.source(source)?.key, self.target(m.target)?.key);
        let steps = fit(from, &slice, crossed).ok_or_else(|| no_way(from, &slice))?;
        let change = match steps.as_slice() {
            _ if m.step == Found::Tied => Change::Copied,
            [] if m.how == How::Identical => Change::Kept,
            [] => Change::Renamed,
            [Step::Reshape(_)] => Change::Reshaped,
            _ => Change::Transposed,
        };
        self.layout.learn(self.source(source)?.key, from, &slice, &steps);
        Ok(Draft { target: m.target, axis: 0, slice, slices: vec![vec![Share { source, steps }]], change })
    }

    /// Turns what has to be turned, and settles dtypes.
    fn finish(&self, draft: Draft) -> Result<Output, Refusal> {
        let Draft { target, axis, slice, mut slices, mut change } = draft;
        let wanted = self.target(target).map_err(|why| (String::new(), why))?;
        let key = wanted.key.to_string();
        let refused = |why: String| (key.clone(), why);
        let mut given: Option<Dtype> = None;
        for share in slices.iter_mut().flatten() {
            let entry = self.source(share.source).map_err(refused)?;
            let (dtype, shape) = self.options.known(entry).map_err(|e| refused(e.what))?;
            if let Some(other) = given.filter(|&g| g != dtype) {
                return Err(refused(format!("the tensors that it is made of are {other} and {dtype}")));
            }
            given = Some(dtype);
            let parted = share.steps.iter().any(|s| matches!(s, Step::Narrow { .. } | Step::Slice(_)));
            let square = match (share.steps.last(), shape.dims()) {
                (None, &[a, b]) => a == b && a > 1,
                (Some(Step::Narrow { .. } | Step::Slice(_)), _) if slice.len() == 2 => {
                    slices_square(&slice, shape.dims(), &share.steps)
                }
                _ => false,
            };
            if square {
                match self.layout.square(entry.key, wanted.key) {
                    Square::AsItIs => {}
                    Square::Turned => {
                        share.steps.push(Step::Permute(vec![1, 0]));
                        if !parted && change != Change::Copied && change != Change::Merged && change != Change::Stacked
                        {
                            change = Change::Transposed;
                        }
                    }
                    Square::Unknown => {
                        return Err(refused(
                            "some matrices beside it have to be turned and some not, and a square one does not show which it is"
                                .into(),
                        ));
                    }
                }
            }
        }
        let given = given.ok_or_else(|| refused("it is made of nothing".into()))?;
        if let ([share], Ok(entry)) = (slices.concat().as_slice(), self.source(slices[0][0].source))
            && share.steps.is_empty()
            && slices.len() == 1
        {
            // The target may not say a shape; and a whole tensor keeps its own way to be planned.
            let mut output = plain(&key, share.source, entry, change, self.options).map_err(|e| refused(e.what))?;
            if let Some(shape) = wanted.shape() {
                output.shape = shape.clone();
            }
            return Ok(output);
        }
        let shape = match wanted.shape() {
            Some(shape) => shape.clone(),
            None => return Err(refused("its shape is not known".into())),
        };
        let dtype = self.options.output(given);
        Ok(Output { key, dtype, given, shape, recipe: Recipe::Join { axis, slice, slices }, change })
    }
}

/// Whether a part of a matrix is square.
fn slices_square(wanted: &[u64], whole: &[u64], steps: &[Step]) -> bool {
    let mut dims = whole.to_vec();
    for step in steps {
        match step {
            Step::Slice(_) if !dims.is_empty() => {
                dims.remove(0);
            }
            Step::Narrow { axis, len, .. } => {
                if let Some(d) = dims.get_mut(*axis) {
                    *d = *len;
                }
            }
            _ => return false,
        }
    }
    matches!(dims.as_slice(), &[a, b] if a == b && a > 1) && wanted.len() == 2
}

pub(super) fn no_way(from: &[u64], to: &[u64]) -> String {
    let shape = |dims: &[u64]| Shape::from(dims.to_vec());
    format!("no reordering is known that makes {} of {}", shape(to), shape(from))
}
