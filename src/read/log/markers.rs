//! The words by which error texts are known, and the search for all of them at once.

use std::collections::HashMap;

use regex::bytes::Regex;

use crate::rules::Saying;

/// Which side lacks a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Side {
    /// The model wants it and the checkpoint lacks it.
    Missing,
    /// The checkpoint has it and the model does not know it.
    Unexpected,
}

/// Which of the two shapes a text names first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// The checkpoint's, then the model's.
    FileFirst,
    /// The model's, then the checkpoint's.
    ModelFirst,
}

/// Where the key of a message stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Where {
    /// Right behind the words, up to a colon, comma or blank; possibly in quotes.
    Behind,
    /// Right before them.
    Before,
    /// Behind these words, which follow.
    After(&'static str),
    /// Between these words, which come before, and the marker.
    Since(&'static str),
}

/// What a marker announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Marker {
    /// `Error(s) in loading state_dict for CLASS:`.
    Class,
    /// `CLASS LOAD REPORT from:`.
    ClassBefore,
    /// `Some weights of CLASS were not …`.
    SomeWeightsOf,
    /// The word "key" with its side; what it announces follows within some words.
    Keys(Side),
    /// Words right before a list.
    List(Side),
    /// As `List`, with the class of the model before the colon.
    ListOfClass(Side),
    /// One key.
    Key(Side, Where),
    /// Two shapes and a key.
    Shapes(Order, Where),
    /// A table of keys with two shapes a row, the model's first.
    ShapeTable,
    /// A row of a table whose second column is a status.
    Row(Option<Side>),
    /// `KeyError: …`.
    KeyError,
    /// `There is no module or parameter named …`.
    NoModule,
    /// Words of a rule: index of the rule, index of its text.
    Saying(u32, u32),
}

use Marker::{Class, Key, Keys, List, ListOfClass, Row, ShapeTable, Shapes, SomeWeightsOf};
use Order::{FileFirst, ModelFirst};
use Side::{Missing, Unexpected};
use Where::{After, Before, Behind, Since};

/// Words without white space and in lower case, the marker, and the form of error text they belong to (`kind` in JSON).
const MARKERS: &[(&str, Marker, &str)] = &[
    // PyTorch
    ("error(s)inloadingstate_dictfor", Class, "load-state-dict"),
    ("missingkey", Keys(Missing), "key-lists"),
    ("missing_key", Keys(Missing), "key-lists"),
    ("unexpectedkey", Keys(Unexpected), "key-lists"),
    ("unexpected_key", Keys(Unexpected), "key-lists"),
    ("unusedkey", Keys(Unexpected), "key-lists"),
    ("unused_key", Keys(Unexpected), "key-lists"),
    ("sizemismatchfor", Shapes(FileFirst, Behind), "load-state-dict"),
    ("whilecopyingtheparameternamed", Shapes(ModelFirst, Behind), "load-state-dict"),
    // Distributed checkpoints of PyTorch and Megatron
    ("sizemismatchbetweensaved", Shapes(FileFirst, After("for")), "distributed-checkpoint"),
    ("globalshapemismatchforloaded", Shapes(FileFirst, After("forkey")), "distributed-checkpoint"),
    // Transformers, diffusers, PEFT
    ("someweightsof", SomeWeightsOf, "transformers"),
    ("werenotusedwheninitializing", ListOfClass(Unexpected), "transformers"),
    ("weightsfrompretrainedmodelnotusedin", ListOfClass(Unexpected), "transformers"),
    ("andarenewlyinitialized:", List(Missing), "transformers"),
    ("notinitializedfrompretrainedmodel:", List(Missing), "transformers"),
    ("foundshape", Shapes(FileFirst, Before), "transformers"),
    ("tryingtosetatensorofshape", Shapes(FileFirst, After("in")), "transformers"),
    ("loadreportfrom:", Marker::ClassBefore, "load-report"),
    ("|unexpected", Row(Some(Unexpected)), "load-report"),
    ("|missing", Row(Some(Missing)), "load-report"),
    ("|mismatch", Row(None), "load-report"),
    ("thefollowingkeysaremissing:", List(Missing), "diffusers"),
    ("expectedshape", Shapes(ModelFirst, Before), "diffusers"),
    ("missingadapterkey", Keys(Missing), "peft"),
    ("unexpectedadapterkey", Keys(Unexpected), "peft"),
    // Lightning
    ("keysthatareinthemodelstatedictbutnotinthecheckpoint:", List(Missing), "lightning"),
    ("keysthatarenotinthemodelstatedictbutinthecheckpoint:", List(Unexpected), "lightning"),
    // MMEngine, fvcore, Detectron2
    ("havemismatchedshape", ShapeTable, "mmengine"),
    ("keysthatarenotusedbythemodel:", List(Unexpected), "fvcore"),
    ("containsparametersnotusedbythemodel:", List(Unexpected), "fvcore"),
    ("notfoundinthecheckpoint:", List(Missing), "fvcore"),
    ("arenotinthecheckpoint:", List(Missing), "fvcore"),
    ("skiploadingparameter", Shapes(FileFirst, Behind), "fvcore"),
    ("hasshape", Shapes(FileFirst, Before), "fvcore"),
    ("incheckpointis", Shapes(FileFirst, Since("shapeof")), "detectron2"),
    // ComfyUI
    ("lorakeynotloaded", Key(Unexpected, Behind), "comfyui"),
    ("unetmissing:", List(Missing), "comfyui"),
    ("clipmissing:", List(Missing), "comfyui"),
    ("unetunexpected:", List(Unexpected), "comfyui"),
    ("clipunexpected:", List(Unexpected), "comfyui"),
    ("missingvaekey", Keys(Missing), "comfyui"),
    ("leftovervaekey", Keys(Unexpected), "comfyui"),
    ("missingcontrolnetkey", Keys(Missing), "comfyui"),
    ("leftoverkey", Keys(Unexpected), "comfyui"),
    // Servers
    ("followingweightswerenotinitializedfromcheckpoint:", List(Missing), "vllm"),
    ("weightsarenotinitializedfromcheckpoints:", List(Missing), "sglang"),
    ("thereisnomoduleorparameternamed", Marker::NoModule, "vllm"),
    ("notfoundinparams_dict", Key(Unexpected, Before), "sglang"),
    // Others
    ("receivesashape", Shapes(FileFirst, Before), "paddle"),
    ("needtensorwithshape", Shapes(ModelFirst, Since("variable[")), "paddle"),
    ("unabletoload'", Shapes(FileFirst, Behind), "fvcore"),
    ("isnotfoundintheprovideddict", Key(Missing, Before), "paddle"),
    ("weightexpectsshape", Shapes(ModelFirst, Since("forweight")), "keras"),
    ("cannotassignvaluetovariable", Shapes(ModelFirst, Behind), "keras"),
    (">hasshape", Shapes(ModelFirst, Since("<tf.variable")), "keras"),
    ("notfoundincheckpoint", Key(Missing, Since("key")), "tensorflow"),
    ("shapemismatchfor", Shapes(ModelFirst, Behind), "candle"),
    ("initializerexpectedtogenerateshape", Shapes(ModelFirst, After("\" in")), "flax"),
    ("couldnotfindparameternamed", Key(Missing, After("in scope")), "flax"),
    ("filedoesnotcontaintensor", Key(Missing, Behind), "safetensors"),
    ("cannotfindtensor", Key(Missing, Behind), "candle"),
    ("missingtensor", Key(Missing, Behind), "llama.cpp"),
    ("cannotmaptensor", Key(Unexpected, Behind), "llama.cpp"),
    ("unexpectedtensorname:", Key(Unexpected, Behind), "llama.cpp"),
    ("doesnotexist", Key(Missing, Since("runtimeerror:weight")), "text-generation-inference"),
    ("keyerror:", Marker::KeyError, "key-error"),
];

/// One place where a marker stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    /// First byte in the squeezed text.
    pub(super) start: usize,
    /// Behind its last byte.
    pub(super) end: usize,
    pub(super) marker: Marker,
    /// The form of error text, empty for sayings.
    pub(super) form: &'static str,
}

/// All markers, ready to be searched for.
pub(super) struct Markers {
    regex: Regex,
    by_head: HashMap<[u8; 4], Vec<(String, Marker, &'static str)>>,
}

impl Markers {
    /// The markers of the program and the first words of every saying.
    pub(super) fn new(sayings: &[Saying]) -> Self {
        let mut all: Vec<(String, Marker, &str)> = MARKERS.iter().map(|&(w, m, f)| (w.to_owned(), m, f)).collect();
        for (rule, saying) in sayings.iter().enumerate() {
            for (text, pieces) in saying.texts.iter().enumerate() {
                let marker = Marker::Saying(rule as u32, text as u32);
                all.extend(pieces.first().map(|words| (words.clone(), marker, "")));
            }
        }
        let mut by_head: HashMap<[u8; 4], Vec<_>> = HashMap::new();
        for entry in all {
            if let Some(&head) = entry.0.as_bytes().first_chunk::<4>() {
                by_head.entry(head).or_default().push(entry);
            }
        }
        // Only the first bytes are searched for: every marker that begins there is looked at afterwards.
        let heads: Vec<String> = by_head
            .values()
            .map(|same| {
                let shortest = same.iter().map(|(words, ..)| words.as_str()).min_by_key(|w| w.len()).unwrap_or("");
                let common = same.iter().fold(shortest.len(), |n, (words, ..)| {
                    n.min(words.bytes().zip(shortest.bytes()).take_while(|(a, b)| a == b).count())
                });
                let mut common = common;
                while !shortest.is_char_boundary(common) {
                    common -= 1;
                }
                regex::escape(shortest.get(..common).unwrap_or(""))
            })
            .collect();
        let regex =
            Regex::new(&heads.join("|")).unwrap_or_else(|_| Regex::new("[^\\s\\S]").expect("a constant expression"));
        Markers { regex, by_head }
    }

    /// Calls `visit` with every marker in order of place.
    pub(super) fn each(&self, low: &[u8], mut visit: impl FnMut(Found)) {
        let mut from = 0;
        while let Some(found) = self.regex.find_at(low, from) {
            let start = found.start();
            let here = low.get(start..).unwrap_or(b"");
            let same = here.first_chunk::<4>().and_then(|head| self.by_head.get(head));
            for (words, marker, form) in same.into_iter().flatten() {
                if here.starts_with(words.as_bytes()) {
                    visit(Found { start, end: start + words.len(), marker: *marker, form });
                }
            }
            // A marker may begin inside of another.
            from = start + 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_marker_has_white_space_or_capitals_and_every_one_is_found() {
        let markers = Markers::new(&[]);
        for (words, ..) in MARKERS {
            assert_eq!(words.to_ascii_lowercase().replace(' ', ""), *words);
            let mut seen = false;
            markers.each(format!("xx{words}yy").as_bytes(), |f| seen |= f.start == 2 && f.end == 2 + words.len());
            assert!(seen, "{words}");
        }
    }
}
