//! Renderers: from a [`crate::judge::Report`] to text or JSON. None of them prints; each writes to what it is given.

pub mod emit;
pub mod explain;
pub mod inspect;
pub mod json;
pub mod rules;
pub mod snapshot;
pub mod style;
pub mod text;
