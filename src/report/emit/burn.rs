//! For Burn: a store with key remapping.

use std::io::{self, Write};

use super::literal::rust;
use super::pattern::rust_replacement;
use super::{Plan, beyond};

pub(super) fn write(plan: &Plan<'_>, out: &mut dyn Write) -> io::Result<()> {
    beyond(plan, "//", out)?;
    let store = if plan.is_safetensors() { "SafetensorsStore" } else { "PytorchStore" };
    let file = plan.path().map_or_else(|| "checkpoint.pth".into(), |p| p.to_string_lossy());
    writeln!(out, "use burn_store::{{ModuleSnapshot, {store}}};\n")?;
    if !plan.alignment.drops.is_empty() {
        let keys: usize = plan.alignment.drops.iter().map(|d| d.keys).sum();
        writeln!(out, "// {keys} keys of the file are unused and left out by themselves.")?;
    }
    write!(out, "let mut store = {store}::from_file({})", rust(&file))?;
    let containers = plan.containers();
    if !containers.is_empty() && !plan.is_safetensors() {
        write!(out, "\n    .with_top_level_key({})", rust(&containers.join(".")))?;
    }
    for rename in &plan.renames {
        let (pattern, replacement) = (rust(&rename.pattern), rust(&rust_replacement(&rename.replacement)));
        write!(out, "\n    .with_key_remapping({pattern}, {replacement})")?;
    }
    if !plan.complete() {
        write!(out, "\n    .allow_partial(true)")?;
    }
    writeln!(out, ";\nmodel.load_from(&mut store)?;")
}
