//! Pairs of names taken apart once, so that the search compares numbers instead of texts.

use std::collections::HashMap;

use super::super::samples::{Sample, template};

/// Texts that were seen, each with its number.
#[derive(Debug, Default)]
pub(super) struct Texts {
    ids: HashMap<String, u32, foldhash::fast::RandomState>,
}

impl Texts {
    /// The number of a text; equal texts have equal numbers.
    pub(super) fn id(&mut self, text: &str) -> u32 {
        if let Some(&id) = self.ids.get(text) {
            return id;
        }
        let id = self.ids.len() as u32;
        self.ids.insert(text.to_owned(), id);
        id
    }
}

/// One segment of a source name.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    /// Where it begins in the name.
    pub(super) start: usize,
    /// The number of its text.
    pub(super) text: u32,
    /// The number of its text with digits as `#`.
    pub(super) form: u32,
    /// The numbers it holds, as texts.
    pub(super) digits: Vec<u32>,
    /// Whether one of them stands for others.
    pub(super) generic: bool,
}

/// A place in the target name where a segment may end: nothing, after a dot, or the end.
#[derive(Clone, Copy, Debug)]
struct Boundary {
    at: usize,
    form: u32,
    digits: usize,
}

/// A pair while it is being split.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) source: String,
    pub(super) target: String,
    pub(super) segments: Vec<Segment>,
    /// The numbers of the target name, as texts.
    digits: Vec<u32>,
    boundaries: Vec<Boundary>,
    /// As in the sample.
    generic: Vec<bool>,
    /// How many bytes both names share at their ends.
    common: usize,
}

/// The beginning of a target name, up to what both names share.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head<'i> {
    /// Its text, with the dot at its end.
    pub(super) text: &'i str,
    /// The number of its text with digits as `#`.
    pub(super) form: u32,
    /// Its numbers.
    pub(super) digits: &'i [u32],
}

impl Item {
    /// Takes a sample apart.
    pub(super) fn new(sample: &Sample<'_>, texts: &mut Texts) -> Item {
        let source = sample.source.to_string();
        let mut numbers = sample.generic.iter().copied();
        let mut start = 0;
        let segments = source
            .split('.')
            .map(|segment| {
                let (form, digits) = template(segment);
                let generic = numbers.by_ref().take(digits.len()).fold(false, |a, g| a | g);
                let at = start;
                start += segment.len() + 1;
                Segment {
                    start: at,
                    text: texts.id(segment),
                    form: texts.id(&form),
                    digits: digits.iter().map(|d| texts.id(d)).collect(),
                    generic,
                }
            })
            .collect();
        let target = sample.target.to_owned();
        let mut boundaries = vec![Boundary { at: 0, form: texts.id(""), digits: 0 }];
        let mut form = String::with_capacity(target.len());
        let mut digits = Vec::new();
        let mut at = 0;
        for segment in target.split_inclusive('.') {
            let (f, d) = template(segment);
            form.push_str(&f);
            digits.extend(d.iter().map(|d| texts.id(d)));
            at += segment.len();
            boundaries.push(Boundary { at, form: texts.id(&form), digits: digits.len() });
        }
        let common = source.bytes().rev().zip(target.bytes().rev()).take_while(|(a, b)| a == b).count();
        Item { source, target, segments, digits, boundaries, generic: sample.generic.clone(), common }
    }

    /// Whether it was made from a sample like this.
    pub(super) fn is(&self, sample: &Sample<'_>) -> bool {
        self.source == sample.source && self.target == sample.target && self.generic == sample.generic
    }

    /// What the target has instead of the first `depth` segments, when the rest is the same on both sides.
    pub(super) fn head(&self, depth: usize) -> Option<Head<'_>> {
        let rest = self.source.len() - self.segments.get(depth)?.start;
        let at = self.target.len().checked_sub(rest).filter(|_| rest <= self.common)?;
        let found = self.boundaries.binary_search_by_key(&at, |b| b.at).ok()?;
        let b = self.boundaries[found];
        Some(Head { text: &self.target[..at], form: b.form, digits: &self.digits[..b.digits] })
    }

    /// The whole target name.
    pub(super) fn whole(&self) -> Head<'_> {
        let form = self.boundaries.last().map_or(0, |b| b.form);
        Head { text: &self.target, form, digits: &self.digits }
    }

    /// The first `depth` segments of the source name.
    pub(super) fn path(&self, depth: usize) -> &str {
        match self.segments.get(depth) {
            Some(s) => self.source[..s.start].trim_end_matches('.'),
            None => &self.source,
        }
    }

    /// One segment of the source name.
    pub(super) fn segment(&self, at: usize) -> &str {
        let start = self.segments[at].start;
        let end = self.segments.get(at + 1).map_or(self.source.len(), |s| s.start - 1);
        &self.source[start..end]
    }
}
