//! `ckdiff inspect FILE`: one file by itself.

use std::io::Write;

use super::{Failure, Status, deliver};
use crate::cli::{Cli, FormatKind, InspectArgs};
use crate::inspect::inspect;
use crate::read::read;
use crate::report::base::Base;
use crate::report::inspect::{json, text};
use crate::report::style::Style;
use crate::report::subject::{Sheet, Subject};

/// Reads a file and says what is in it. Fails where something about the file is an error, a dangerous import above all.
pub(super) fn run(cli: &Cli, args: &InspectArgs, style: &Style, out: &mut dyn Write) -> Result<Status, Failure> {
    let checkpoint = read(&args.file)?;
    let inspection = inspect(&checkpoint);
    deliver(cli, out, |out| match cli.common.format.kind() {
        FormatKind::Text => text(&inspection, style, out),
        FormatKind::Json => json(&inspection, out),
        FormatKind::Sheet(sheet) => {
            let subject = Subject::inspected("", &inspection, &Base::here());
            let page = sheet == Sheet::Html;
            sheet.write(&[if page { subject.with_keys(&inspection) } else { subject }], out)
        }
    })?;
    Ok(if inspection.fails() { Status::Fails } else { Status::Holds })
}
