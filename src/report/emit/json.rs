//! The plan as data: what `ckdiff convert --renames` reads.

use std::io::{self, Write};

use serde::Serialize;

use super::Plan;
use crate::report::json::Object;

#[derive(Serialize)]
struct Rename<'a> {
    pattern: &'a str,
    replacement: &'a str,
    keys: usize,
}

#[derive(Serialize)]
struct Drop<'a> {
    pattern: &'a str,
    keys: usize,
}

pub(super) fn write(plan: &Plan<'_>, out: &mut dyn Write) -> io::Result<()> {
    let mut object = Object::start(out)?;
    object.field("version", &1)?;
    object.field("container", plan.source.container)?;
    object.list("drops", plan.alignment.drops.iter().map(|d| Drop { pattern: &d.pattern, keys: d.keys }))?;
    object.list(
        "renames",
        plan.renames.iter().map(|r| Rename { pattern: &r.pattern, replacement: &r.replacement, keys: r.keys }),
    )?;
    object.list("missing_keys", plan.missing.iter())?;
    object.list("unfit_keys", plan.unfit.iter())?;
    object.list("changed_values", plan.changes.iter().map(|(key, _)| key))?;
    object.end()
}
