//! The codes of findings (`CKnnn`) and the page behind each: what `ckdiff rules CKnnn` prints.
//!
//! CK0xx reading · 1xx keys · 2xx shapes · 3xx dtypes · 4xx buffers and tied weights · 5xx safety · 9xx rules and configuration.

/// Every page: code and Markdown text.
pub const PAGES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/codes.rs"));
