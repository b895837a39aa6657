//! The cases a rule carries: tiny checkpoints written one key a line.

use serde::Deserialize;

use crate::checkpoint::{Checkpoint, Dtype, Format, Role, Shape, TensorInfo};

/// A source and a target, and what the rule must say about them.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Example {
    /// What the checkpoint holds.
    #[serde(default)]
    pub source: Vec<Line>,
    /// What the model expects.
    #[serde(default)]
    pub target: Vec<Line>,
    /// An error text, for rules that read logs.
    #[serde(default)]
    pub log: String,
    /// A part of the message that the rule's finding must have.
    #[serde(default)]
    pub says: String,
    /// What the case shows; may be empty.
    #[serde(default)]
    pub note: String,
}

/// One line of an example: `KEY [DTYPE] [SHAPE]`, such as `layers.{0-5}.attn.qkv.weight F16 [288, 96]`.
///
/// A key may hold ranges (`{0-5}`) and lists (`{weight,bias}`): the line then stands for all of them. dtype and shape may be
/// left out: not known.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Line {
    /// The line as written.
    pub text: String,
    keys: Vec<String>,
    dtype: Option<Dtype>,
    shape: Option<Shape>,
}

/// The most keys that one line may stand for.
const MOST: usize = 10_000;

impl TryFrom<String> for Line {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let (key, rest) = text.split_once(' ').unwrap_or((&text, ""));
        let (dtype, shape) = match rest.find('[') {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        let dtype = match dtype.trim() {
            "" => None,
            name => Some(Dtype::parse(name).ok_or_else(|| format!("`{name}` is no dtype"))?),
        };
        let shape = match shape.trim() {
            "" => None,
            list => Some(dims(list)?),
        };
        let mut keys = vec![String::new()];
        expand(key, &mut keys)?;
        Ok(Line { keys, dtype, shape, text })
    }
}

/// Parses `[64, 3, 7, 7]`.
fn dims(text: &str) -> Result<Shape, String> {
    let inner =
        text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).ok_or_else(|| format!("`{text}` is no shape"))?;
    let sizes = inner.split(',').map(str::trim).filter(|s| !s.is_empty());
    let sizes: Result<Vec<u64>, _> = sizes.map(|s| s.parse().map_err(|_| format!("`{s}` is no size"))).collect();
    Ok(Shape::from(sizes?))
}

/// Appends every reading of `pattern` to every one of `out`.
fn expand(mut pattern: &str, out: &mut Vec<String>) -> Result<(), String> {
    while let Some((plain, rest)) = pattern.split_once('{') {
        let (choice, after) = rest.split_once('}').ok_or("a `{` without its `}`")?;
        let mut words = Vec::new();
        for word in choice.split(',') {
            match word.split_once('-').map(|(a, b)| (a.parse::<u32>(), b.parse::<u32>())) {
                Some((Ok(first), Ok(last))) if first <= last && ((last - first) as usize) < MOST => {
                    words.extend((first..=last).map(|n| n.to_string()));
                }
                _ => words.push(word.to_owned()),
            }
        }
        if out.len().saturating_mul(words.len()) > MOST {
            return Err(format!("`{pattern}` stands for more than {MOST} keys"));
        }
        *out = out.iter().flat_map(|stem| words.iter().map(move |w| format!("{stem}{plain}{w}"))).collect();
        pattern = after;
    }
    out.iter_mut().for_each(|key| key.push_str(pattern));
    Ok(())
}

impl Example {
    /// The two sides as checkpoints.
    pub fn checkpoints(&self) -> (Checkpoint, Checkpoint) {
        (checkpoint("source", &self.source), checkpoint("target", &self.target))
    }
}

fn checkpoint(name: &str, lines: &[Line]) -> Checkpoint {
    let mut out = Checkpoint::new(name, Format::Json);
    for line in lines {
        out.tensors.extend(line.keys.iter().map(|key| TensorInfo {
            path: key.as_str().into(),
            container: 0,
            dtype: line.dtype,
            shape: line.shape.clone(),
            role: Role::Unknown,
            placement: None,
        }));
    }
    if let Some(top) = out.containers.first_mut() {
        top.tensors = out.tensors.len();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_with_ranges_stands_for_every_key() {
        let line = Line::try_from("layers.{0-2,5}.{weight,bias} F16 [4, 8]".to_owned()).unwrap();
        assert_eq!(line.keys.len(), 8);
        assert_eq!(line.keys.first().map(String::as_str), Some("layers.0.weight"));
        assert_eq!(line.keys.last().map(String::as_str), Some("layers.5.bias"));
        assert_eq!((line.dtype, line.shape), (Some(Dtype::F16), Some(Shape::from([4, 8]))));
    }

    #[test]
    fn a_line_may_be_a_name_alone_or_a_scalar() {
        let name = Line::try_from("conv1.weight".to_owned()).unwrap();
        assert_eq!((name.dtype, name.shape), (None, None));
        let scalar = Line::try_from("bn.num_batches_tracked I64 []".to_owned()).unwrap();
        assert_eq!(scalar.shape, Some(Shape::from([])));
        assert!(Line::try_from("x F33 [1]".to_owned()).unwrap_err().contains("F33"));
        assert!(Line::try_from("x.{0-9999}.{0-9999} [1]".to_owned()).unwrap_err().contains("more than"));
    }
}
