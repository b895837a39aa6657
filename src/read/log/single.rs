//! A lone `KeyError`: the key in however many quotes, and which side lacks it as far as the traceback shows.

use super::lists::{is_bare_key, window};
use super::squeezed::joined;

/// What a `KeyError` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyError {
    /// The key that was looked up.
    pub key: String,
    /// Names of the registries that passed it on, outermost first: `RetinaNet`, `EfficientViT_M4`.
    pub through: Vec<String>,
    /// Where it was looked up, as far as the line of code shows.
    pub looked_up_in: Lookup,
    /// Whether the text shows where; otherwise the name of the key alone suggests it.
    pub shown: bool,
}

/// The dict that a key was looked up in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lookup {
    /// The checkpoint: it lacks the key.
    File,
    /// The model's own keys: the checkpoint has one too many.
    Model,
    /// The text does not show it.
    Unknown,
}

/// The longest message that is looked at, in bytes.
const LONGEST: usize = 2000;

/// Reads what stands behind `KeyError:`. `None` where it is no key (a sentence, a number).
pub(super) fn read(text: &str, marker: usize, behind: usize) -> Option<KeyError> {
    let ahead = window(text, behind, LONGEST);
    let ahead = ahead.trim_start_matches([' ', '\t']);
    // A terminal may have broken the line right behind the colon.
    let ahead = ahead.strip_prefix('\n').map(str::trim_start).filter(|a| a.starts_with(['"', '\''])).unwrap_or(ahead);
    let mut lines = ahead.split('\n');
    let mut message = lines.next().unwrap_or("").trim_end().to_owned();
    let quote = message.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    // A terminal may have broken it: it ends with the quote it began with.
    let mut extra = 0;
    while (message.len() < 2 || !message.trim_end_matches(['.', ',', ';', ')', '`']).ends_with(quote)) && extra < 6 {
        message.push_str(lines.next()?.trim());
        extra += 1;
    }
    let (key, through) = peel(&message);
    let plausible = is_bare_key(&key)
        || key.len() > 1 && key.chars().all(|c| c.is_alphanumeric() || "._-/: ".contains(c)) && key.contains('.');
    if !plausible || key.contains(' ') && through.is_empty() || key.matches(' ').count() > 1 {
        return None;
    }
    let looked_up_in = lookup(text, marker);
    Some(KeyError { key, through, looked_up_in, shown: looked_up_in != Lookup::Unknown })
}

/// Takes off quotes and registry names: `'RetinaNet: "EfficientViT_M4: \'a.b\'"'` is `a.b`.
fn peel(message: &str) -> (String, Vec<String>) {
    let mut rest = message.trim();
    let mut through = Vec::new();
    loop {
        let bare = rest.trim().trim_end_matches(['.', ',', ';', ')', '`']).trim_matches(['"', '\'', '\\', '`']);
        match bare.split_once(": ").or_else(|| bare.split_once(':')) {
            Some((name, inner))
                if inner.trim_start().starts_with(['"', '\'', '\\'])
                    && !name.is_empty()
                    && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '.')) =>
            {
                through.push(name.to_owned());
                rest = inner;
            }
            _ => return (joined(bare), through),
        }
    }
}

/// Finds the line of code that raised, and whose dict it looks into.
fn lookup(text: &str, marker: usize) -> Lookup {
    let mut start = marker.saturating_sub(4000);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    let before = text.get(start..marker).unwrap_or("");
    let code = |line: &&str| {
        let line = line.trim();
        !line.is_empty() && !line.chars().all(|c| matches!(c, '~' | '^' | ' ' | '-'))
    };
    // IPython marks the line with an arrow and shows others after it.
    let arrow = before
        .lines()
        .rev()
        .take(30)
        .find(|l| l.trim_start().starts_with("-->") || l.trim_start().starts_with("---->"));
    // What stands on the line of the error itself, before it, is no code.
    let same_line = before.rsplit('\n').next().is_some_and(|l| !l.trim().is_empty());
    let line = arrow.or_else(|| before.lines().rev().filter(code).nth(usize::from(same_line)));
    line.map_or(Lookup::Unknown, owner)
}

/// Whose dict the last subscript of a line of Python looks into.
fn owner(line: &str) -> Lookup {
    // Words in names of variables; the model's come first, since `model_state_dict` and `self.state_dict()` hold both.
    const MODEL: [&str; 7] = [
        "self.state_dict()",
        "model.state_dict()",
        "model_state",
        "model_dict",
        "params_dict",
        "param_dict",
        "own_state",
    ];
    const FILE: [&str; 9] =
        ["checkpoint", "ckpt", "pretrain", "torch.load", "load_file", "saved", "weights", "loaded", "state_dict"];
    let line = line.to_ascii_lowercase();
    // What a lookup gives to a parameter was looked up among the model's, whatever the dict is called.
    if ["param =", "parameter ="].iter().any(|w| {
        line.trim_start_matches(['-', '>', ' '])
            .trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ')
            .starts_with(w)
    }) {
        return Lookup::Model;
    }
    // What is assigned to was not looked up.
    let right = match line.split_once(" = ") {
        Some((_, right)) if right.contains('[') => right,
        _ => &line,
    };
    let Some(open) = right.find('[') else { return Lookup::Unknown };
    let name = right.get(..open).unwrap_or("");
    let name = name.rsplit([' ', ',', '=']).next().unwrap_or(name);
    if MODEL.iter().any(|w| name.contains(w)) {
        Lookup::Model
    } else if FILE.iter().any(|w| name.contains(w)) || line.contains("torch.load(") {
        Lookup::File
    } else {
        Lookup::Unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Option<KeyError> {
        let at = text.find("KeyError:")?;
        read(text, at, at + "KeyError:".len())
    }

    #[test]
    fn a_key_is_dug_out_of_the_quotes_of_every_registry() {
        let key = "backbone.blocks1.0.mixer.m.attn.attention_biases";
        for text in [
            format!("KeyError: '{key}'"),
            format!("KeyError: \"EfficientViT_M4: '{key}'\""),
            format!("KeyError: 'RetinaNet: \"EfficientViT_M4: \\'{key}\\'\"'"),
        ] {
            assert_eq!(of(&text).unwrap().key, key, "{text}");
        }
        let all = of(&format!("KeyError: 'RetinaNet: \"EfficientViT_M4: \\'{key}\\'\"'")).unwrap();
        assert_eq!(all.through, ["RetinaNet", "EfficientViT_M4"]);
    }

    #[test]
    fn the_line_of_code_tells_whose_dict_lacks_the_key() {
        let of = |code: &str| {
            of(&format!("  File \"x.py\", line 3, in f\n    {code}\nKeyError: 'a.b'\n")).unwrap().looked_up_in
        };
        assert_eq!(of("table_current = self.state_dict()[table_key]"), Lookup::Model);
        assert_eq!(of("param = params_dict[name]"), Lookup::Model);
        assert_eq!(of("net.load_state_dict(torch.load(args.ckpt)['model'])"), Lookup::File);
        assert_eq!(of("model_dict[k] = pretrained_dict[k[k.find(\".\") + 1:]]"), Lookup::File);
        assert_eq!(of("--> 441     param = state_dict[name]"), Lookup::Model);
        assert_eq!(of("x = batch[name]"), Lookup::Unknown);
        let indented = "      File \"x.py\", line 3, in f\n        param = params_dict[name]\n    KeyError: 'a.b'\n";
        assert_eq!(super::tests::of(indented).unwrap().looked_up_in, Lookup::Model);
        assert_eq!(super::tests::of("KeyError:\n'layers.0.w'\n").unwrap().key, "layers.0.w");
    }

    #[test]
    fn a_sentence_is_no_key() {
        assert_eq!(of("KeyError: 'Mask2Former is not in the model registry'"), None);
        assert_eq!(of("KeyError: 0"), None);
    }
}
