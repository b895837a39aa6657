//! Which keys a finding is about: its claims, followed to the entries of both sides.

use super::Report;
use crate::checkpoint::StateDict;
use crate::compare::Difference;
use crate::explain::Finding;

/// One difference that a finding claims, as the names that it concerns.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fact<'a> {
    /// `missing`, `unexpected`, `renamed`, `size-mismatch`, `dtype-mismatch`, `ambiguous`.
    pub kind: &'static str,
    /// Keys of the checkpoint; none where a key is missing.
    pub source: Vec<&'a str>,
    /// Keys of the model; none where a key is unexpected.
    pub target: Vec<&'a str>,
}

impl<'a> Report<'a> {
    /// Every difference that the finding claims, in the order of the differences.
    pub fn facts<'f>(&'f self, finding: &'f Finding) -> impl Iterator<Item = Fact<'a>> + 'f {
        finding.claims.iter().filter_map(|&claim| self.fact(self.differences.get(claim as usize)?))
    }

    fn fact(&self, difference: &Difference) -> Option<Fact<'a>> {
        let (source, target): (&'a StateDict<'a>, &'a StateDict<'a>) = (self.source, self.target);
        let name = |side: &'a StateDict<'a>, i: u32| side.entries.get(i as usize).map(|e| e.key.as_str());
        let names = |side: &'a StateDict<'a>, list: &[u32]| list.iter().filter_map(|&i| name(side, i)).collect();
        let of_match = |kind, matched: u32| {
            let m = self.alignment.matches.get(matched as usize)?;
            Some(Fact { kind, source: names(source, &m.source), target: names(target, &[m.target]) })
        };
        match *difference {
            Difference::Missing { target: t } => {
                Some(Fact { kind: "missing", source: Vec::new(), target: names(target, &[t]) })
            }
            Difference::Unexpected { source: s } => {
                Some(Fact { kind: "unexpected", source: names(source, &[s]), target: Vec::new() })
            }
            Difference::Renamed { matched } => of_match("renamed", matched),
            Difference::SizeMismatch { matched } => of_match("size-mismatch", matched),
            Difference::DtypeMismatch { matched, .. } => of_match("dtype-mismatch", matched),
            Difference::Ambiguous { group } => {
                let group = self.alignment.ambiguous.get(group as usize)?;
                let (source, target) = (names(source, &group.source), names(target, &group.target));
                Some(Fact { kind: "ambiguous", source, target })
            }
        }
    }
}
