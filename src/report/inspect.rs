//! `ckdiff inspect`: one file, as JSON for programs and as text for people.

mod brief;
mod fold;
mod json;
mod text;

pub use brief::brief;
pub use json::{json, many_json};
pub(super) use text::summary;
pub use text::text;
