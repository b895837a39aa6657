//! The named laws of shapes: what it means when a tensor of one shape meets a parameter of another.
//!
//! A closed list, in Rust and not in the rule files, so that each law has its tests.

use serde::Deserialize;
use serde_json::{Value, json};

mod numbers;
mod tables;
mod words;

/// What it takes to make the tensor fit, as far as the law knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mend {
    /// Leave it to the model, or rearrange the values: nothing is lost.
    Edit,
    /// Interpolate, cut or extend.
    Resize,
    /// Nothing but leaving it out.
    Lost,
}

/// What a law reads in a pair of shapes.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// `window 7 → 12`: the same for every tensor with the same cause.
    pub words: String,
    /// The facts in `words`, for machines.
    pub facts: Vec<(&'static str, Value)>,
    /// What it takes.
    pub mend: Mend,
}

impl Reading {
    /// A reading that goes from one number to another.
    fn from_to(words: String, from: impl Into<Value>, to: impl Into<Value>, mend: Mend) -> Self {
        Reading { words, facts: vec![("from", from.into()), ("to", to.into())], mend }
    }
}

/// How the shape of a tensor follows from what the model was built with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Law {
    /// `((2Wh−1)(2Ww−1) [+3], heads)`: Swin, BEiT.
    WindowBias,
    /// `(heads, S²)`: LeViT, EfficientViT, TinyViT.
    SquareBias,
    /// `(2S−1, dim)`: MViT, SAM.
    RelPos,
    /// `(buckets, heads)`: T5.
    Buckets,
    /// `(1, 2Wh−1, 2Ww−1, 2)`: SwinV2's coordinates.
    CoordsTable,
    /// `(W², W²)`: index tables.
    SquareIndex,
    /// `(1, prefix + H·W, dim)`, `(tokens, dim)`, `(1, dim, H, W)`, `(1, H, W, dim)`.
    TokenGrid,
    /// `(positions, dim)`: one row a position.
    ContextLength,
    /// `(classes, …)`.
    Classes,
    /// `(anchors · classes, …)` with nine anchors: RetinaNet.
    AnchorClasses,
    /// `(3 · (classes + 5), …)`: YOLO.
    YoloClasses,
    /// `(tokens, …)`.
    Vocabulary,
    /// `(out, channels, …)` of a convolution over an image.
    InChannels,
    /// One dimension of 1, 3 or 4: the colours of what is drawn.
    ImageChannels,
    /// The same sizes in another order.
    Transpose,
    /// `(out, in, k…)`: another kernel.
    Kernel,
    /// `(out, in, k…)` over another number of axes: 2-D and 3-D convolutions.
    Axes,
    /// `(queries, dim)`: DETR.
    Queries,
    /// `(rank, in)` and `(out, rank)`: LoRA.
    Rank,
    /// `(kv_heads · head_dim, dim)`.
    KvHeads,
    /// `(heads · head_dim, dim)` and its counterpart at the way out.
    HeadSize,
    /// Two 4-bit values a byte, as one long column.
    Packed,
}

impl Law {
    /// Every law.
    pub const ALL: &'static [Law] = &[
        Law::WindowBias,
        Law::SquareBias,
        Law::RelPos,
        Law::Buckets,
        Law::CoordsTable,
        Law::SquareIndex,
        Law::TokenGrid,
        Law::ContextLength,
        Law::Classes,
        Law::AnchorClasses,
        Law::YoloClasses,
        Law::Vocabulary,
        Law::InChannels,
        Law::ImageChannels,
        Law::Transpose,
        Law::Kernel,
        Law::Axes,
        Law::Queries,
        Law::Rank,
        Law::KvHeads,
        Law::HeadSize,
        Law::Packed,
    ];

    /// What a tensor of shape `from` means where the model has one of shape `to`; `None` where the law does not apply.
    pub fn read(self, from: &[u64], to: &[u64]) -> Option<Reading> {
        if from == to {
            return None;
        }
        match self {
            Law::WindowBias => tables::window_bias(from, to),
            Law::SquareBias => tables::square_bias(from, to),
            Law::RelPos => tables::rel_pos(from, to),
            Law::Buckets => tables::buckets(from, to),
            Law::CoordsTable => tables::coords_table(from, to),
            Law::SquareIndex => tables::square_index(from, to),
            Law::TokenGrid => words::token_grid(from, to),
            Law::ContextLength => words::context_length(from, to),
            Law::Vocabulary => words::vocabulary(from, to),
            Law::Classes => numbers::classes(from, to),
            Law::AnchorClasses => numbers::anchor_classes(from, to),
            Law::YoloClasses => numbers::yolo_classes(from, to),
            Law::InChannels => numbers::in_channels(from, to),
            Law::ImageChannels => numbers::image_channels(from, to),
            Law::Transpose => numbers::transpose(from, to),
            Law::Kernel => numbers::kernel(from, to),
            Law::Axes => numbers::axes(from, to),
            Law::Queries => numbers::queries(from, to),
            Law::Rank => numbers::rank(from, to),
            Law::KvHeads => numbers::kv_heads(from, to),
            Law::HeadSize => numbers::head_size(from, to),
            Law::Packed => numbers::packed(from, to),
        }
    }
}

/// The integer root of a perfect square.
fn root(n: u64) -> Option<u64> {
    let r = n.isqrt();
    (r.checked_mul(r) == Some(n)).then_some(r)
}

/// The first sizes of two shapes that agree in everything else.
fn only_first(from: &[u64], to: &[u64]) -> Option<(u64, u64)> {
    match (from, to) {
        ([a, rest @ ..], [b, same @ ..]) if rest == same && a != b => Some((*a, *b)),
        _ => None,
    }
}

/// The place where two shapes of the same rank differ, when it is only one.
fn only_one(from: &[u64], to: &[u64]) -> Option<(usize, u64, u64)> {
    if from.len() != to.len() {
        return None;
    }
    let mut differ = from.iter().zip(to).enumerate().filter(|(_, (a, b))| a != b);
    match (differ.next(), differ.next()) {
        (Some((at, (&a, &b))), None) => Some((at, a, b)),
        _ => None,
    }
}

/// `7×7`.
fn times(sizes: &[u64]) -> String {
    sizes.iter().map(u64::to_string).collect::<Vec<_>>().join("×")
}

/// A size list as JSON.
fn list(sizes: &[u64]) -> Value {
    json!(sizes)
}
