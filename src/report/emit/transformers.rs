//! For Transformers: `key_mapping` where one rename a key does it, a fixed state_dict otherwise.

use std::io::{self, Write};

use regex::Regex;

use super::literal::python_raw;
use super::pattern::rust_replacement;
use super::{Plan, beyond, python};

pub(super) fn write(plan: &Plan<'_>, out: &mut dyn Write) -> io::Result<()> {
    if plan.changes_values() || !plan.unfit.is_empty() || !one_each(plan) || !one_group(plan) {
        return by_state_dict(plan, out);
    }
    beyond(plan, "#", out)?;
    writeln!(out, "from transformers import AutoModel  # or the class that the model is of\n")?;
    if plan.alignment.drops.is_empty() {
        writeln!(out, "# Every key is used.")?;
    } else {
        let keys: usize = plan.alignment.drops.iter().map(|d| d.keys).sum();
        writeln!(out, "# {keys} keys are reported as unexpected and left out:")?;
        for drop in &plan.alignment.drops {
            writeln!(out, "#   {}", python_raw(&drop.pattern))?;
        }
    }
    writeln!(
        out,
        "model = AutoModel.from_pretrained(\n    \"FOLDER\",  # config.json beside the weights\n    key_mapping={{"
    )?;
    for rename in &plan.renames {
        writeln!(
            out,
            "        {}: {},  # {} keys",
            python_raw(&rename.pattern),
            python_raw(&rename.replacement),
            rename.keys
        )?;
    }
    writeln!(out, "    }},\n)\n")?;
    writeln!(out, "# The same for a conversion mapping (Transformers 5):")?;
    writeln!(out, "# from transformers.core_model_loading import WeightRenaming")?;
    for rename in &plan.renames {
        writeln!(out, "# WeightRenaming({}, {})", python_raw(&rename.pattern), python_raw(&rename.replacement))?;
    }
    Ok(())
}

/// Whether no key is renamed twice: of a mapping only the first pattern that fits is used.
fn one_each(plan: &Plan<'_>) -> bool {
    let renames = &plan.renames;
    if renames.len() < 2 {
        return true;
    }
    let rules: Option<Vec<(Regex, String)>> =
        renames.iter().map(|r| Some((Regex::new(&r.pattern).ok()?, rust_replacement(&r.replacement)))).collect();
    let Some(rules) = rules else { return false };
    plan.source.entries.iter().all(|entry| {
        let key = entry.key.as_str();
        let Some((first, (rule, replacement))) = rules.iter().enumerate().find(|(_, (rule, _))| rule.is_match(key))
        else {
            return true;
        };
        let renamed = rule.replace_all(key, replacement.as_str());
        rules.iter().skip(first + 1).all(|(rule, _)| !rule.is_match(&renamed))
    })
}

/// Whether no replacement needs a second group: `WeightRenaming` of Transformers 5, which a mapping becomes, fills in `\1`
/// alone and leaves `\2` as it is written.
fn one_group(plan: &Plan<'_>) -> bool {
    let second =
        |replacement: &str| replacement.split('\\').skip(1).any(|r| r.starts_with(|c| ('2'..='9').contains(&c)));
    !plan.renames.iter().any(|r| second(&r.replacement))
}

fn by_state_dict(plan: &Plan<'_>, out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        "# `key_mapping` renames each key once, with one group, and changes no values: the state_dict is fixed before."
    )?;
    writeln!(out, "import re\n\nimport torch")?;
    if plan.is_safetensors() {
        writeln!(out, "from safetensors.torch import load_file")?;
    }
    if super::resize::needs_interpolation(plan) {
        writeln!(out, "import torch.nn.functional as F")?;
    }
    writeln!(out, "from transformers import AutoConfig, AutoModel  # or the class that the model is of")?;
    python::function(plan, out)?;
    writeln!(out)?;
    python::read(plan, out)?;
    let model = plan.changes_values() || !plan.unfit.is_empty();
    writeln!(out, "config = AutoConfig.from_pretrained(\"FOLDER\")  # config.json of the model")?;
    if model {
        writeln!(out, "state_dict = fixed(state_dict, AutoModel.from_config(config))")?;
    } else {
        writeln!(out, "state_dict = fixed(state_dict)")?;
    }
    writeln!(out, "# The class itself takes a state_dict; AutoModel wants a folder.")?;
    writeln!(
        out,
        "model = type(AutoModel.from_config(config)).from_pretrained(None, config=config, state_dict=state_dict)"
    )
}
