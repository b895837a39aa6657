//! `ckdiff inspect`: one file, as JSON for programs and as text for people.

mod fold;
mod json;
mod text;

pub use json::json;
pub(super) use text::summary;
pub use text::text;
