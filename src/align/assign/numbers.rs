//! How the numbers in names relate, learned from what was assigned.

use std::collections::HashMap;

use crate::align::units::Unit;

/// How the numbers in the names of two classes relate: by a constant difference, a constant sum, or one by one.
#[derive(Default)]
pub(super) struct Numbers {
    votes: HashMap<(u32, u32, u8, Relation), f32, foldhash::fast::RandomState>,
    /// For each pair of classes and place the difference or sum with most votes, and its share.
    best: HashMap<(u32, u32, u8), (Relation, f32), foldhash::fast::RandomState>,
    all: HashMap<(u32, u32, u8, Option<u32>), f32, foldhash::fast::RandomState>,
}

/// A relation between a number on one side and a number on the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Relation {
    Difference(i64),
    Sum(i64),
    Pair(u32, u32),
}

impl Numbers {
    pub(super) fn add(&mut self, a: &Unit, b: &Unit, sure: f32) {
        if a.name.numbers.len() != b.name.numbers.len() {
            return;
        }
        for (i, (&x, &y)) in a.name.numbers.iter().zip(&b.name.numbers).enumerate() {
            let (s, t, i) = (a.name.class, b.name.class, i as u8);
            let relations = [
                Relation::Difference(i64::from(y) - i64::from(x)),
                Relation::Sum(i64::from(y) + i64::from(x)),
                Relation::Pair(x, y),
            ];
            for relation in relations {
                *self.votes.entry((s, t, i, relation)).or_insert(0.0) += sure;
            }
            *self.all.entry((s, t, i, None)).or_insert(0.0) += sure;
            *self.all.entry((s, t, i, Some(x))).or_insert(0.0) += sure;
        }
    }

    pub(super) fn settle(&mut self) {
        for (&(s, t, i, relation), &votes) in &self.votes {
            if matches!(relation, Relation::Pair(..)) {
                continue;
            }
            let share = votes / self.all[&(s, t, i, None)];
            let best = self.best.entry((s, t, i)).or_insert((relation, share));
            if share > best.1 + 1e-4 || (share > best.1 - 1e-4 && relation < best.0) {
                *best = (relation, share);
            }
        }
    }

    /// The usual relations of a pair of classes, place by place.
    pub(super) fn of(&self, (s, t): (u32, u32)) -> Relations {
        Relations((0..u8::MAX).map_while(|i| self.best.get(&(s, t, i)).copied()).collect())
    }

    /// −1 to 1: whether the numbers of two names relate as those of their classes usually do.
    pub(super) fn agrees(&self, relations: &Relations, a: &Unit, b: &Unit) -> f32 {
        let places = a.name.numbers.len();
        if places != b.name.numbers.len() || places == 0 || relations.0.len() < places {
            return 0.0;
        }
        let mut sum = 0f32;
        for (i, ((&x, &y), &(relation, share))) in
            a.name.numbers.iter().zip(&b.name.numbers).zip(&relations.0).enumerate()
        {
            sum += if share >= 0.6 {
                let holds = match relation {
                    Relation::Difference(d) => i64::from(y) - i64::from(x) == d,
                    Relation::Sum(d) => i64::from(y) + i64::from(x) == d,
                    Relation::Pair(..) => false,
                };
                if holds { share } else { -share }
            } else {
                // Where no difference and no sum holds for most, what each number became is asked by itself.
                let (s, t, i) = (a.name.class, b.name.class, i as u8);
                let pair = self.votes.get(&(s, t, i, Relation::Pair(x, y))).copied().unwrap_or(0.0)
                    / self.all.get(&(s, t, i, Some(x))).copied().unwrap_or(1.0);
                2.0 * pair - 1.0
            };
        }
        sum / (places as f32).sqrt()
    }
}

/// For each place in the names of two classes the usual relation of the numbers there, and its share.
pub(super) struct Relations(Vec<(Relation, f32)>);
