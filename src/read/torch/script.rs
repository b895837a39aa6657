//! TorchScript archives: which attributes are parameters and buffers is said by the generated code beside the data.

use std::collections::{HashMap, HashSet};

use crate::checkpoint::Role;

/// What a class declares.
#[derive(Clone, Debug, Default)]
pub(super) struct Declared {
    parameters: HashSet<String>,
    buffers: HashSet<String>,
}

impl Declared {
    /// Whether an attribute is a parameter, a buffer or something else.
    pub(super) fn role(&self, name: &str) -> Role {
        if self.parameters.contains(name) {
            Role::Parameter
        } else if self.buffers.contains(name) {
            Role::Buffer
        } else {
            Role::Unknown
        }
    }
}

/// The module classes of an archive by qualified name (`__torch__.torch.nn.modules.conv.Conv2d`).
pub(super) type Classes = HashMap<String, Declared>;

/// Reads the class declarations of one source file; `member` is its name below the archive's folder.
pub(super) fn classes(member: &str, code: &str, into: &mut Classes) {
    let Some(module) = member.strip_prefix("code/").and_then(|m| m.strip_suffix(".py")) else { return };
    let module = module.replace('/', ".");
    let mut class: Option<String> = None;
    for line in code.lines() {
        if let Some(rest) = line.strip_prefix("class ") {
            class = rest.strip_suffix("(Module):").map(|name| format!("{module}.{name}"));
            if let Some(class) = &class {
                into.entry(class.clone()).or_default();
            }
        } else if let Some(class) = &class
            && let Some(declared) = into.get_mut(class)
        {
            if let Some(list) = line.strip_prefix("  __parameters__ = ") {
                declared.parameters = names(list);
            } else if let Some(list) = line.strip_prefix("  __buffers__ = ") {
                declared.buffers = names(list);
            }
        }
    }
}

/// The names of a list like `["weight", "bias", ]`.
fn names(list: &str) -> HashSet<String> {
    let list = list.trim().trim_start_matches('[').trim_end_matches(']');
    list.split(',')
        .map(|name| name.trim().trim_matches('"'))
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declared_buffers_and_parameters_are_found() {
        let code = "class Net(Module):\n  __parameters__ = [\"w\", ]\n  __buffers__ = [\"pos\", \"tmp\", ]\n  pos : Tensor\n\
                    class Pair(NamedTuple):\n  x : Tensor\n";
        let mut found = Classes::new();
        classes("code/__torch__/a.py", code, &mut found);
        assert_eq!(found.len(), 1);
        let net = &found["__torch__.a.Net"];
        assert_eq!((net.role("w"), net.role("pos"), net.role("x")), (Role::Parameter, Role::Buffer, Role::Unknown));
    }
}
