//! What a file holds: tensors with names, dtypes and shapes, in stored order, and never their bytes.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;

mod dtype;
mod escape;
mod state_dict;
mod text_file;

pub use dtype::{Dtype, DtypeChange, DtypeKind};
pub use escape::{escaped, is_hidden, quoted};
pub use state_dict::{Candidate, Entry, StateDict};
pub use text_file::{bounded_text, bytes_of, text_of};

/// What parts the segments of a name: dots in PyTorch, slashes in TensorFlow, Flax and T5X.
pub const SEPARATORS: [char; 2] = ['.', '/'];

/// A parameter name in segments, such as `backbone.layer1.0.conv1.weight` or `bert/encoder/layer_0/output/dense/kernel`.
///
/// A thin wrapper, so that a name is never confused with any other string. Names are always cut at [`SEPARATORS`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key<'a>(pub &'a str);

impl<'a> Key<'a> {
    /// The name as it is stored.
    pub fn as_str(self) -> &'a str {
        self.0
    }

    /// The parts between separators, first to last. An empty name has one empty segment.
    pub fn segments(self) -> std::str::Split<'a, [char; 2]> {
        self.0.split(SEPARATORS)
    }

    /// The part behind the last separator: `weight` of `fc.weight`.
    pub fn leaf(self) -> &'a str {
        self.0.rsplit(SEPARATORS).next().unwrap_or(self.0)
    }

    /// What stands before the last separator: the module that holds the tensor; empty at top level.
    pub fn module(self) -> &'a str {
        self.0.rsplit_once(SEPARATORS).map_or("", |(module, _)| module)
    }
}

impl fmt::Display for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl fmt::Debug for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.0, f)
    }
}

/// The sizes of a tensor's dimensions, outermost first; empty for a scalar.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Shape(pub Box<[u64]>);

impl Shape {
    /// Whether the longer of two shapes becomes the shorter when neighbouring dimensions are multiplied.
    pub fn joins(a: &[u64], b: &[u64]) -> bool {
        let (short, long) = if a.len() < b.len() { (a, b) } else { (b, a) };
        let mut rest = long.iter();
        let joined = short.iter().all(|&want| {
            let mut have = 1u64;
            while have < want {
                let Some(&d) = rest.next() else { return false };
                have = have.saturating_mul(d);
            }
            have == want
        });
        joined && rest.next().is_none() && short.len() < long.len()
    }

    /// The sizes as a slice.
    pub fn dims(&self) -> &[u64] {
        &self.0
    }

    /// How many dimensions.
    pub fn rank(&self) -> usize {
        self.0.len()
    }

    /// How many elements; `None` where the product does not fit 64 bits (a lie in the file, not a tensor).
    pub fn numel(&self) -> Option<u64> {
        // A zero anywhere makes the tensor empty whatever the other sizes say, so it is looked for before multiplying.
        if self.0.contains(&0) {
            return Some(0);
        }
        self.0.iter().try_fold(1u64, |n, &d| n.checked_mul(d))
    }
}

impl<const N: usize> From<[u64; N]> for Shape {
    fn from(dims: [u64; N]) -> Self {
        Shape(Box::new(dims))
    }
}

impl From<Vec<u64>> for Shape {
    fn from(dims: Vec<u64>) -> Self {
        Shape(dims.into())
    }
}

impl fmt::Display for Shape {
    /// As PyTorch prints it inside `torch.Size(...)`: `[64, 3, 7, 7]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (i, d) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str(", ")?;
            }
            write!(f, "{d}")?;
        }
        f.write_str("]")
    }
}

/// What a tensor is to its module. A `state_dict` does not say; whole-module pickles and `Parameter` objects do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// Trained by the optimizer.
    Parameter,
    /// Kept beside the parameters (running statistics, index tables).
    Buffer,
    /// The file does not say.
    #[default]
    Unknown,
}

/// Where a tensor lives within its storage. Two tensors with equal `Placement` and shape are tied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Index into [`Checkpoint::storages`].
    pub storage: u32,
    /// First element, counted in elements of the tensor's dtype from the start of the storage.
    pub offset: u64,
    /// Steps between neighbours in each dimension, in elements; `None` when contiguous (row-major).
    pub strides: Option<Box<[i64]>>,
}

/// One block of memory that one or several tensors look into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Storage {
    /// Index into [`Checkpoint::files`].
    pub file: u32,
    /// The name the file gives it (`0`, `data/0`, an id of a legacy stream); empty where it has none.
    pub name: Box<str>,
    /// First byte in the file, when the place is known. What stands there is said by `coding`.
    pub start: Option<u64>,
    /// Size in bytes, when unpacked.
    pub bytes: u64,
    /// How the bytes stand in the file.
    pub coding: Coding,
}

/// How the bytes of a storage stand in their file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Coding {
    /// As they are in memory, little-endian.
    #[default]
    Plain,
    /// Big-endian: the bytes of every number are reversed.
    Swapped,
    /// As the deflated member of a zip archive.
    Deflated {
        /// Bytes in the file.
        packed: u64,
        /// Whether they are big-endian when unpacked.
        swapped: bool,
    },
}

/// One tensor of a checkpoint: everything about it but its bytes.
#[derive(Clone, Debug)]
pub struct TensorInfo {
    /// The nested names joined by `.`: `state_dict.conv1.weight`; list positions and int keys as digits.
    pub path: Box<str>,
    /// Index into [`Checkpoint::containers`]: the innermost named dict (or module) that holds it.
    pub container: u32,
    /// `None` when the source does not say (a bare list of keys, an error text).
    pub dtype: Option<Dtype>,
    /// `None` when the source does not say.
    pub shape: Option<Shape>,
    /// Parameter, buffer or not said.
    pub role: Role,
    /// Where its bytes are; `None` for meta tensors and for lists of keys.
    pub placement: Option<Placement>,
}

/// A dict or module that holds tensors, directly or below: a candidate state_dict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// Path of the dict (`state_dict`, `model.ema`); empty for the top level.
    pub name: Box<str>,
    /// Index of the container that this one lies in; `None` for the top level.
    pub parent: Option<u32>,
    /// Tensors held by it directly, those of nested containers not counted.
    pub tensors: usize,
    /// The highest version of a module that `Module.state_dict` wrote beside the tensors (`_metadata`); `None` where the
    /// file has none, as that of a dict which a script put together.
    pub version: Option<u32>,
}

/// What is known of the values of a tensor without reading them: what `ckdiff snapshot --digest` wrote.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Content {
    /// Identifies dtype, shape and values together; see `values::digest` for what it is over.
    pub digest: u128,
    /// Whether every element is the same, so that the digest says nothing about which tensor it is.
    pub constant: bool,
    /// The numbers in short, where they are numbers.
    pub summary: Option<Summary>,
}

/// The numbers of a tensor in short. NaN and infinities are counted and left out of the rest.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Summary {
    /// The smallest; `None` where there is no finite number.
    pub min: Option<f64>,
    /// The largest.
    pub max: Option<f64>,
    /// Their mean.
    pub mean: Option<f64>,
    /// Root of the mean of their squares.
    pub rms: Option<f64>,
    /// How many are NaN.
    pub nan: u64,
    /// How many are infinite.
    pub inf: u64,
}

/// Something in the file that could not be read; the rest of the file was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// The tensor, shard or member.
    pub path: String,
    /// What is wrong with it, in lower case, with offsets where known.
    pub why: String,
}

/// How far a global that a pickle asks for can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trust {
    /// Rebuilds tensors or plain containers.
    Known,
    /// Not on any list; named so that a person can look.
    Unknown,
    /// Runs code, opens files or the network when the pickle is loaded.
    Dangerous,
}

/// A global (`module.name`) that a pickle of the file asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// `torch._utils._rebuild_tensor_v2`, `os.system`, …
    pub global: String,
    /// The classification by `rules/safety`.
    pub trust: Trust,
    /// Whether the pickle calls it (REDUCE, INST, OBJ, NEWOBJ) or only names it.
    pub called: bool,
    /// The id of the rule that classified it, when one did.
    pub rule: Option<String>,
    /// The member or pickle it was found in (`archive/data.pkl`, `pickle 3`), and the byte offset there.
    pub place: String,
}

/// Remarks of a reader about a file that was read: each becomes a finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// Its code in `codes/` (`CK0xx` reading, `CK5xx` safety).
    pub code: &'static str,
    /// Whether it makes the file unfit (`true`) or is only worth knowing.
    pub error: bool,
    /// One sentence, lower case, without the path of the file.
    pub message: String,
    /// What to do about it; may be empty.
    pub help: String,
    /// The keys or members concerned, at most a handful.
    pub examples: Vec<String>,
}

/// The container format of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// `torch.save` since 1.6.
    TorchZip,
    /// `torch.save` before 1.6: a run of pickles, then raw storages.
    TorchLegacy,
    /// `torch.save` before 0.1.10: a tar archive.
    TorchTar,
    /// `torch.jit.save`.
    TorchScript,
    /// A plain pickle (Detectron2, Caffe2).
    Pickle,
    /// A single safetensors file.
    Safetensors,
    /// Several safetensors files under an index.
    SafetensorsSharded,
    /// Several torch files under an index.
    TorchSharded,
    /// A folder of `torch.distributed.checkpoint`: `.metadata` and `.distcp` files.
    TorchDistributed,
    /// expected.json and its kin: keys without data.
    Json,
    /// Keys parsed from an error text.
    Text,
}

impl Format {
    /// The name in JSON output: `torch-zip`.
    pub fn id(self) -> &'static str {
        match self {
            Format::TorchZip => "torch-zip",
            Format::TorchLegacy => "torch-legacy",
            Format::TorchTar => "torch-tar",
            Format::TorchScript => "torchscript",
            Format::Pickle => "pickle",
            Format::Safetensors => "safetensors",
            Format::SafetensorsSharded => "safetensors-sharded",
            Format::TorchSharded => "torch-sharded",
            Format::TorchDistributed => "torch-dcp",
            Format::Json => "json",
            Format::Text => "text",
        }
    }

    /// Whether the order of tensors is the order in which a model registered them.
    ///
    /// safetensors files are sorted by dtype and name, so their order says nothing (safetensors/src/tensor.rs, `prepare`).
    pub fn keeps_order(self) -> bool {
        !matches!(self, Format::Safetensors | Format::SafetensorsSharded)
    }
}

/// All that is known of one side: what one path holds.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// The path as the user gave it.
    pub path: PathBuf,
    /// What kind of file it is.
    pub format: Format,
    /// The files that hold the bytes: the path itself, or the shards.
    pub files: Vec<PathBuf>,
    /// Free-form pairs of the file (`__metadata__` of safetensors, the version of a torch zip), in stored order.
    pub metadata: Vec<(String, String)>,
    /// Every tensor, in stored order.
    pub tensors: Vec<TensorInfo>,
    /// The blocks of memory the tensors look into.
    pub storages: Vec<Storage>,
    /// The dicts and modules that hold tensors; index 0 is the top level.
    pub containers: Vec<Container>,
    /// Paths of what was neither tensor nor container, with a word for what it was (`epoch` → `int`), bounded in number.
    pub others: Vec<(String, &'static str)>,
    /// What could not be read while the rest was.
    pub unreadable: Vec<Unreadable>,
    /// Every global a pickle asked for.
    pub imports: Vec<Import>,
    /// What the reader noticed.
    pub remarks: Vec<Remark>,
    /// What a snapshot says about values, by the path of the tensor; empty for files that hold the values themselves.
    pub contents: HashMap<Box<str>, Content>,
    /// Whether the file was read to its end. `false` makes every safety verdict inconclusive.
    pub complete: bool,
}

impl Checkpoint {
    /// An empty checkpoint of one file, for readers to fill; it holds the top-level container.
    pub fn new(path: impl Into<PathBuf>, format: Format) -> Self {
        let path = path.into();
        Checkpoint {
            files: vec![path.clone()],
            path,
            format,
            metadata: Vec::new(),
            tensors: Vec::new(),
            storages: Vec::new(),
            containers: vec![Container { name: "".into(), parent: None, tensors: 0, version: None }],
            others: Vec::new(),
            unreadable: Vec::new(),
            imports: Vec::new(),
            remarks: Vec::new(),
            contents: HashMap::new(),
            complete: true,
        }
    }

    /// The name of a tensor within its container.
    pub fn key<'a>(&'a self, tensor: &'a TensorInfo) -> Key<'a> {
        Key(below(&tensor.path, &self.containers[tensor.container as usize].name))
    }
}

/// What is left of a path below a container's name.
fn below<'a>(path: &'a str, container: &str) -> &'a str {
    if container.is_empty() { path } else { path.get(container.len() + 1..).unwrap_or("") }
}
