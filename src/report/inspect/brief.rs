//! What is wrong with a file and nothing else, as a linter says it.

use std::io::{self, Write};
use std::path::Path;

use crate::checkpoint::escaped;
use crate::explain::{Finding, Severity};
use crate::report::style::{Style, Tone};
use crate::report::text::findings;

/// Writes the path and its warnings and errors; nothing where there are none.
///
/// # Errors
/// What the writer reports.
pub fn brief(path: &Path, all: &[Finding], style: &Style, out: &mut dyn Write) -> io::Result<()> {
    let loud: Vec<Finding> = all.iter().filter(|f| f.severity > Severity::Note).cloned().collect();
    if loud.is_empty() {
        return Ok(());
    }
    writeln!(out, "{}", style.paint(Tone::Title, &escaped(&path.to_string_lossy())))?;
    findings(&loud, style, out)
}
