//! For vLLM: a `WeightsMapper` of prefixes where renames are prefixes, of patterns otherwise.

use std::io::{self, Write};

use super::literal::{python, python_raw};
use super::pattern::{plain, prefix, prefixes};
use super::{Plan, beyond};

pub(super) fn write(plan: &Plan<'_>, out: &mut dyn Write) -> io::Result<()> {
    beyond(plan, "#", out)?;
    let renames = &plan.renames;
    let renamed: Option<Vec<(String, &str)>> = renames
        .iter()
        .map(|r| Some((prefix(&r.pattern)?, r.replacement.as_str())).filter(|(_, replacement)| plain(replacement)))
        .collect();
    let dropped: Option<Vec<Vec<String>>> = plan.alignment.drops.iter().map(|d| prefixes(&d.pattern)).collect();
    match (renamed, dropped) {
        (Some(renamed), Some(dropped)) => {
            writeln!(out, "from vllm.model_executor.models.utils import WeightsMapper\n")?;
            writeln!(out, "# As a class attribute of the model; a prefix that becomes None is left out.")?;
            writeln!(out, "hf_to_vllm_mapper = WeightsMapper(\n    orig_to_new_prefix={{")?;
            for prefix in dropped.into_iter().flatten() {
                writeln!(out, "        {}: None,", python(&prefix))?;
            }
            for (prefix, replacement) in renamed {
                writeln!(out, "        {}: {},", python(&prefix), python(replacement))?;
            }
        }
        _ => {
            writeln!(out, "import re\n\nfrom vllm.model_executor.models.utils import WeightsMapper\n")?;
            writeln!(out, "# As a class attribute of the model; what becomes None is left out.")?;
            writeln!(out, "# `orig_to_new_regex` needs a vLLM that has it; older ones map prefixes only.")?;
            writeln!(out, "hf_to_vllm_mapper = WeightsMapper(\n    orig_to_new_regex={{")?;
            for drop in &plan.alignment.drops {
                writeln!(out, "        re.compile({}): None,", python_raw(&drop.pattern))?;
            }
            for rename in renames {
                writeln!(
                    out,
                    "        re.compile({}): {},",
                    python_raw(&rename.pattern),
                    python_raw(&rename.replacement)
                )?;
            }
        }
    }
    writeln!(out, "    }},\n)")
}
