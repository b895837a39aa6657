//! For PyTorch alone: read, leave out, rename, change values where it takes that, load.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{self, Write};

use super::literal::{python, python_path, python_raw};
use super::{Change, Plan, resize};

pub(super) fn write(plan: &Plan<'_>, out: &mut dyn Write) -> io::Result<()> {
    if plan.whole {
        writeln!(out, "# Fills {} of the {} keys that the model expects.", plan.filled(), plan.target.entries.len())?;
    } else {
        writeln!(
            out,
            "# Written from an error text: check it against the file, which may hold more keys than the text names."
        )?;
    }
    if !plan.undecided.is_empty() {
        writeln!(
            out,
            "# {} tensors of the checkpoint are left out: how their rows come apart or together, neither names nor shapes tell.",
            plan.undecided.len()
        )?;
        writeln!(out, "# ckdiff convert --groups takes it.")?;
    }
    writeln!(out, "import re\n")?;
    writeln!(out, "import torch")?;
    if plan.is_safetensors() {
        writeln!(out, "from safetensors.torch import load_file")?;
    }
    if resize::needs_interpolation(plan) {
        writeln!(out, "import torch.nn.functional as F")?;
    }
    function(plan, out)?;
    writeln!(out)?;
    read(plan, out)?;
    load(plan, out)
}

/// The function that makes the model's keys out of the checkpoint's.
pub(super) fn function(plan: &Plan<'_>, out: &mut dyn Write) -> io::Result<()> {
    let splits = splits(plan);
    let joins: Vec<(&str, &Vec<&str>)> =
        plan.changes.iter().filter_map(|(t, c)| if let Change::Join(s) = c { Some((*t, s)) } else { None }).collect();
    resize::functions(plan, out)?;
    let needs_model = plan.changes_values() || !plan.unfit.is_empty();
    let parameters = if needs_model { "state_dict, model" } else { "state_dict" };
    writeln!(out, "\n\ndef fixed({parameters}):")?;
    let (drops, renames) = (&plan.alignment.drops, &plan.renames);
    if !drops.is_empty() {
        writeln!(out, "    drops = [")?;
        for drop in drops {
            writeln!(out, "        {},  # {} keys", python_raw(&drop.pattern), drop.keys)?;
        }
        writeln!(out, "    ]")?;
    }
    if !renames.is_empty() {
        writeln!(out, "    renames = [")?;
        for rename in renames {
            let (pattern, replacement) = (python_raw(&rename.pattern), python_raw(&rename.replacement));
            writeln!(out, "        ({pattern}, {replacement}),  # {} keys", rename.keys)?;
        }
        writeln!(out, "    ]")?;
    }
    if !joins.is_empty() {
        writeln!(out, "    joins = {{  # new key: the keys it is made of, in order")?;
        for (target, sources) in &joins {
            let list: Vec<String> = sources.iter().map(|s| python(s)).collect();
            writeln!(out, "        {}: [{}],", python(target), list.join(", "))?;
        }
        writeln!(out, "    }}\n    joined = {{key for keys in joins.values() for key in keys}}")?;
    }
    if !splits.is_empty() {
        writeln!(out, "    splits = {{  # key: what its rows are, in order")?;
        for (source, targets) in &splits {
            let list: Vec<String> = targets.iter().map(|t| python(t)).collect();
            writeln!(out, "        {}: [{}],", python(source), list.join(", "))?;
        }
        writeln!(out, "    }}")?;
    }
    let turned: Vec<(&str, &Vec<usize>)> =
        plan.changes.iter().filter_map(|(t, c)| if let Change::Turn(o) = c { Some((*t, o)) } else { None }).collect();
    if !turned.is_empty() {
        writeln!(out, "    orders = {{  # key: its dimensions, in their new order")?;
        for (target, order) in &turned {
            let order: Vec<String> = order.iter().map(usize::to_string).collect();
            writeln!(out, "        {}: ({}),", python(target), order.join(", "))?;
        }
        writeln!(out, "    }}")?;
    }
    let made: Vec<(&str, &str)> = plan
        .changes
        .iter()
        .filter_map(|(t, c)| if let Change::Made(e, _) = c { Some((*t, e.as_str())) } else { None })
        .collect();
    if !made.is_empty() {
        writeln!(out, "    made = {{  # key: how it is made of the tensors of the checkpoint")?;
        for (target, expression) in &made {
            writeln!(out, "        {}: lambda t: {expression},", python(target))?;
        }
        writeln!(out, "    }}")?;
    }
    let used = used(plan);
    if !used.is_empty() {
        let list: Vec<String> = used.iter().map(|key| python(key)).collect();
        writeln!(out, "    used = {{\n        {},\n    }}", list.join(",\n        "))?;
    }
    for (name, wanted) in [("turned", 0), ("reshaped", 1)] {
        let keys: Vec<String> = plan
            .changes
            .iter()
            .filter(|(_, c)| matches!((c, wanted), (Change::Transpose, 0) | (Change::Reshape, 1)))
            .map(|(t, _)| python(t))
            .collect();
        if !keys.is_empty() {
            writeln!(out, "    {name} = {{\n        {},\n    }}", keys.join(",\n        "))?;
        }
    }
    resize::table(plan, out)?;
    if needs_model {
        writeln!(out, "    shapes = {{key: value.shape for key, value in model.state_dict().items()}}")?;
    }
    if made.is_empty() {
        writeln!(out, "    out = {{}}")?;
    } else {
        writeln!(out, "    out = {{key: make(state_dict).contiguous() for key, make in made.items()}}")?;
    }
    if !joins.is_empty() {
        writeln!(out, "    for key, parts in joins.items():")?;
        writeln!(out, "        parts = [state_dict[part] for part in parts]")?;
        writeln!(out, "        stack = len(shapes[key]) == parts[0].dim() + 1")?;
        writeln!(out, "        out[key] = torch.stack(parts) if stack else torch.cat(parts)")?;
    }
    writeln!(out, "    for key, value in state_dict.items():")?;
    let dropped = if drops.is_empty() { "" } else { " or any(re.search(drop, key) for drop in drops)" };
    writeln!(out, "        if not torch.is_tensor(value){dropped}:")?;
    writeln!(out, "            continue")?;
    if !joins.is_empty() {
        writeln!(out, "        if key in joined:\n            continue")?;
    }
    if !used.is_empty() {
        writeln!(out, "        if key in used:\n            continue")?;
    }
    if !splits.is_empty() {
        writeln!(out, "        if key in splits:")?;
        writeln!(out, "            names = splits[key]")?;
        writeln!(out, "            rows = [shapes[name][0] for name in names]")?;
        writeln!(out, "            out.update(zip(names, value.split(rows)))")?;
        writeln!(out, "            continue")?;
    }
    if !renames.is_empty() {
        writeln!(out, "        for pattern, replacement in renames:")?;
        writeln!(out, "            key = re.sub(pattern, replacement, key)")?;
    }
    if !turned.is_empty() {
        writeln!(out, "        if key in orders:\n            value = value.permute(orders[key]).contiguous()")?;
    }
    if plan.changes.iter().any(|(_, c)| matches!(c, Change::Transpose)) {
        writeln!(out, "        if key in turned:")?;
        writeln!(
            out,
            "            ways = [o for o in ((1, 0), (2, 1, 0), (3, 2, 0, 1), (4, 3, 0, 1, 2)) if len(o) == value.dim()]"
        )?;
        writeln!(
            out,
            "            value = next(value.permute(o) for o in ways if value.permute(o).shape == shapes[key]).contiguous()"
        )?;
    }
    if plan.changes.iter().any(|(_, c)| matches!(c, Change::Reshape)) {
        writeln!(out, "        if key in reshaped:\n            value = value.reshape(shapes[key])")?;
    }
    if plan.changes.iter().any(|(_, c)| matches!(c, Change::Resize(..))) {
        writeln!(out, "        for pattern, resize in resized:")?;
        writeln!(out, "            if re.search(pattern, key) and value.shape != shapes[key]:")?;
        writeln!(out, "                value = resize(value, shapes[key])")?;
    }
    if !plan.unfit.is_empty() {
        writeln!(out, "        if key in shapes and value.shape != shapes[key]:")?;
        writeln!(out, "            continue  # of another size than the model wants: {} keys", plan.unfit.len())?;
    }
    writeln!(out, "        if key in out:\n            raise KeyError(f\"two keys become {{key!r}}\")")?;
    writeln!(out, "        out[key] = value\n    return out")?;
    writeln!(out)
}

/// Keys of the checkpoint that are taken up elsewhere, or left out since it is not known how they come apart.
fn used<'a>(plan: &Plan<'a>) -> BTreeSet<&'a str> {
    let made =
        plan.changes.iter().flat_map(|(_, c)| if let Change::Made(_, sources) = c { sources.as_slice() } else { &[] });
    made.chain(&plan.undecided).copied().collect()
}

/// Targets of each split source, in order.
fn splits<'a>(plan: &Plan<'a>) -> BTreeMap<&'a str, Vec<&'a str>> {
    let mut out: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (target, change) in &plan.changes {
        if let Change::Split(source) = change {
            out.entry(source).or_default().push(target);
        }
    }
    // The order of the model's keys is not that of the rows: many register k, v and q in that order.
    let target_key = |t: u32| plan.target.entries.get(t as usize).map(|e| e.key.as_str());
    let place: HashMap<&str, (Option<(u8, u8)>, Option<(u32, u32)>)> = (plan.alignment.pieces.iter())
        .filter_map(|p| Some((target_key(p.target)?, (p.source_part, p.source_slice))))
        .collect();
    for targets in out.values_mut() {
        targets.sort_by_key(|t| place.get(t).copied().unwrap_or_default());
    }
    out
}

/// Reads the checkpoint and picks the dict with the weights.
pub(super) fn read(plan: &Plan<'_>, out: &mut dyn Write) -> io::Result<()> {
    let file = plan.path().map_or_else(|| "\"checkpoint.pth\"".to_owned(), python_path);
    if plan.is_safetensors() {
        return writeln!(out, "state_dict = load_file({file})");
    }
    writeln!(out, "checkpoint = torch.load({file}, map_location=\"cpu\", weights_only=True)")?;
    let inner: String = plan.containers().iter().map(|name| format!("[{}]", python(name))).collect();
    writeln!(out, "state_dict = checkpoint{inner}")
}

/// Loads, and says what is left as it was initialised.
fn load(plan: &Plan<'_>, out: &mut dyn Write) -> io::Result<()> {
    let arguments = if plan.changes_values() || !plan.unfit.is_empty() { "state_dict, model" } else { "state_dict" };
    if plan.complete() {
        return writeln!(out, "model.load_state_dict(fixed({arguments}), strict=True)");
    }
    let left = plan.missing.len() + plan.unfit.len();
    writeln!(out, "result = model.load_state_dict(fixed({arguments}), strict=False)")?;
    if plan.whole {
        writeln!(out, "assert not result.unexpected_keys and len(result.missing_keys) == {left}, result")?;
    } else {
        writeln!(out, "print(result)")?;
    }
    Ok(())
}
