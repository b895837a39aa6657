//! Checkpoint diff and compatibility linter for deep-learning weights.
//!
//! One-way flow: each stage is a function from the type on its left to the type on its right, and no stage imports a later one.
//!
//! ```text
//! paths ─read→ Checkpoint ×2 ─align→ Alignment ─compare→ [Difference] ─explain→ [Finding] ─judge→ Report ─report→ bytes
//!                                      ▲                                  ▲                  ▲
//!                                      └───────────── RuleSet ────────────┘                Config
//! ```
//!
//! The library returns values; only the binary prints.

pub mod checkpoint;

pub mod rules;

pub mod read;

pub mod payload;

pub mod align;

pub mod compare;

pub mod explain;

pub mod codes;

pub mod judge;

pub mod config;

pub mod inspect;

pub mod convert;

pub mod values;

pub mod report;

pub mod cli;

pub mod run;
