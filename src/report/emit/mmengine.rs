//! For MMEngine and mmcv: `revise_keys`, or a prefix in `init_cfg`.

use std::io::{self, Write};

use super::literal::{python, python_path, python_raw};
use super::pattern::prefix;
use super::{Plan, beyond};

pub(super) fn write(plan: &Plan<'_>, out: &mut dyn Write) -> io::Result<()> {
    let file = plan.path().map_or_else(|| "\"checkpoint.pth\"".to_owned(), python_path);
    let containers = plan.containers();
    beyond(plan, "#", out)?;
    let inner = match containers.as_slice() {
        [] | ["state_dict"] => file.clone(),
        _ => {
            // Only `state_dict` is unwrapped by itself.
            let path: String = containers.iter().map(|name| format!("[{}]", python(name))).collect();
            writeln!(out, "# MMEngine unwraps `state_dict` only: save the inner dict first.")?;
            writeln!(out, "import torch\n")?;
            writeln!(out, "checkpoint = torch.load({file}, map_location=\"cpu\", weights_only=True){path}")?;
            writeln!(out, "torch.save(checkpoint, \"weights.pth\")\n")?;
            "\"weights.pth\"".to_owned()
        }
    };
    let renames = &plan.renames;
    if let [only] = renames.as_slice()
        && only.replacement.is_empty()
        && let Some(prefix) = prefix(&only.pattern)
        && plan.unfit.is_empty()
    {
        // Keeps what is below the prefix and leaves everything else out.
        writeln!(out, "# In the configuration of the part that the weights are for:")?;
        writeln!(out, "init_cfg = dict(type=\"Pretrained\", checkpoint={inner}, prefix={})\n", python(&prefix))?;
        writeln!(out, "# Or by hand:")?;
    }
    writeln!(out, "from mmengine.runner import load_checkpoint\n")?;
    writeln!(out, "load_checkpoint(\n    model,\n    {inner},\n    map_location=\"cpu\",")?;
    writeln!(out, "    strict=False,  # what the model has no place for is left out: {} keys", left_out(plan))?;
    writeln!(out, "    revise_keys=[")?;
    for rename in renames {
        writeln!(out, "        ({}, {}),", python_raw(&rename.pattern), python_raw(&rename.replacement))?;
    }
    if renames.is_empty() {
        // A plain dict that passes no rename is no OrderedDict, and MMEngine sets an attribute on it.
        writeln!(out, "        (r\"^\", \"\"),  # nothing is renamed")?;
    }
    writeln!(out, "    ],\n)")
}

fn left_out(plan: &Plan<'_>) -> usize {
    plan.alignment.drops.iter().map(|d| d.keys).sum::<usize>()
}
