//! Renderers: from a [`crate::judge::Report`] to text, JSON and what review tools read. None of them prints; each writes to what it is given.

pub mod base;
pub mod check;
pub mod convert;
pub mod emit;
pub mod explain;
pub mod github;
pub mod html;
pub mod inspect;
pub mod json;
pub mod junit;
pub mod markdown;
pub mod rules;
pub mod sarif;
pub mod snapshot;
pub mod style;
pub mod subject;
pub mod text;
pub mod values;
