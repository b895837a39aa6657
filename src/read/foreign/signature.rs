//! Formats told by the bytes they begin with.

use super::{Named, Naming};
use crate::read::input::Input;

const UNPACK: &str = "unpack it first, and hand over what is inside";
const CONVERT: &str = "ckdiff does not read this format; convert it to safetensors first";

/// First bytes, what they mean, and what to do. None of them can begin a checkpoint that ckdiff reads.
const SIGNATURES: &[(&[u8], &str, &str)] = &[
    (b"\x1f\x8b", "compressed with gzip", "unpack it first: gzip -d, or tar -xzf for a .tar.gz"),
    (b"\xfd7zXZ\0", "compressed with xz", "unpack it first: xz -d, or tar -xJf for a .tar.xz"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd", "unpack it first: zstd -d"),
    (b"BZh", "compressed with bzip2", "unpack it first: bzip2 -d"),
    (b"\x04\x22\x4d\x18", "compressed with lz4", "unpack it first: lz4 -d"),
    (b"Rar!\x1a\x07", "a RAR archive", UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", UNPACK),
    (
        b"tjgg",
        "a GGML file of an old kind (ggjt), which llama.cpp no longer reads either",
        "hand over the checkpoint it was converted from",
    ),
    (b"lmgg", "a GGML file of an old kind (ggml)", "hand over the checkpoint it was converted from"),
    (b"fmgg", "a GGML file of an old kind (ggmf)", "hand over the checkpoint it was converted from"),
    (b"algg", "a GGML adapter of an old kind (ggla)", "hand over the checkpoint it was converted from"),
    (b"\x89PNG\r\n\x1a\n", "a PNG image", "hand over the checkpoint"),
    (b"\xff\xd8\xff", "a JPEG image", "hand over the checkpoint"),
    (b"GIF8", "a GIF image", "hand over the checkpoint"),
    (b"%PDF-", "a PDF document", "hand over the checkpoint"),
    (b"SQLite format 3\0", "an SQLite database", "hand over the checkpoint"),
    (b"\x7fELF", "a program or library (ELF)", "hand over the checkpoint"),
    (b"MZ\x90\0", "a Windows program", "hand over the checkpoint"),
    (b"PAR1", "a Parquet file: a data set, not a model", "hand over the checkpoint"),
    (b"ARROW1", "an Arrow file: a data set, not a model", "hand over the checkpoint"),
];

/// What a Flax checkpoint is called, and what to do with it.
const MSGPACK: (&str, &str) = ("Flax weights (msgpack)", "load them with from_flax=True and save them as safetensors");

/// Names a file whose first bytes leave no doubt.
pub(super) fn certain(input: &mut Input) -> Option<Named> {
    let head = &input.head;
    if head.starts_with(b"GGUF") {
        return Some(gguf(head));
    }
    if head.starts_with(b"\x93NUMPY") {
        return Some((
            "a NumPy array (.npy)".into(),
            "ckdiff does not read it; put the arrays into a safetensors file".into(),
        ));
    }
    if head.starts_with(b"\x89HDF\r\n\x1a\n") {
        return Some(hdf5(input));
    }
    if head.get(4..8) == Some(b"TFL3") {
        return Some(("a TensorFlow Lite model".into(), CONVERT.into()));
    }
    // Its first byte is an opcode of pickles as well, but no pickle that anybody writes begins with an extension registry's number.
    if is_msgpack(head) {
        return Some((MSGPACK.0.into(), MSGPACK.1.into()));
    }
    let (_, what, remedy) = SIGNATURES.iter().find(|(mark, ..)| head.starts_with(mark))?;
    Some(((*what).into(), (*remedy).into()))
}

/// Names a file by weaker marks: its last bytes, its suffix, or a first byte that others share.
pub(super) fn likely(input: &mut Input) -> Option<Naming> {
    let is = |what: &str, remedy: &str| Some(Naming::Is(what.into(), remedy.into()));
    let suffix = input.suffix();
    let name = input.path.file_name().map(|n| n.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    if suffix == "distcp" {
        return is(
            "one part of a torch.distributed.checkpoint",
            "make one file of the whole: python -m torch.distributed.checkpoint.format_utils dcp_to_torch FOLDER model.pth",
        );
    }
    let table = input.len.checked_sub(8).and_then(|at| input.read_range(at, 8).ok());
    if table.is_some_and(|end| end == 0xdb47_7524_8b80_fb57_u64.to_le_bytes()) {
        return is("the index of a TensorFlow checkpoint", "convert the checkpoint to PyTorch first");
    }
    if name.contains(".data-0") {
        return is("the data of a TensorFlow checkpoint", "convert the checkpoint to PyTorch first");
    }
    if suffix == "onnx" || is_onnx(&input.head) {
        return is("an ONNX model", "ckdiff does not read it; compare the PyTorch checkpoint it was exported from");
    }
    if suffix == "msgpack" {
        return is(MSGPACK.0, MSGPACK.1);
    }
    match &*suffix {
        "pb" => is("a TensorFlow graph (protobuf)", CONVERT),
        "mlmodel" => is("a Core ML model", CONVERT),
        "caffemodel" => is("a Caffe model", CONVERT),
        "weights" => is("Darknet weights, which are numbers without names", CONVERT),
        "params" => is("MXNet parameters", CONVERT),
        "tflite" => is("a TensorFlow Lite model", CONVERT),
        "engine" | "plan" | "trt" => is("a TensorRT engine", "compare the checkpoint it was built from"),
        _ => None,
    }
}

/// GGUF, with its version where it makes sense.
fn gguf(head: &[u8]) -> Named {
    let version = head.get(4..8).and_then(|b| b.try_into().ok()).map(u32::from_le_bytes);
    let what = match version {
        Some(v @ 1..=9) => format!("a GGUF file (version {v}): weights for llama.cpp, mostly quantised"),
        Some(v) if (1..=9).contains(&v.swap_bytes()) => {
            format!("a GGUF file (version {}, big-endian): weights for llama.cpp", v.swap_bytes())
        }
        Some(v) => format!("a GGUF file of an unknown version ({v}), or a damaged one"),
        None => "the first bytes of a GGUF file (half a download)".into(),
    };
    (what, "ckdiff does not read GGUF; hand over the checkpoint it was converted from".into())
}

/// HDF5: Keras weights, cut or whole, with a word about code in them.
fn hdf5(input: &mut Input) -> Named {
    // The superblock says where the file should end: after three or four addresses of 8 bytes, by version.
    let end = match input.head.get(8) {
        Some(0) => input.head.get(40..48),
        Some(1) => input.head.get(44..52),
        Some(2 | 3) => input.head.get(28..36),
        _ => None,
    };
    let end = end.and_then(|b| b.try_into().ok()).map(u64::from_le_bytes);
    let mut what = String::from("an HDF5 file (Keras or TensorFlow weights)");
    let mut remedy = String::from("ckdiff does not read HDF5; save the weights as safetensors");
    if let Some(end) = end.filter(|&end| end > input.len && end != u64::MAX) {
        what = format!(
            "{what} that ends {} bytes early (half a download): {} of {end} bytes are there",
            end - input.len,
            input.len
        );
        remedy = "download it again".into();
    }
    if lambda(input) {
        what.push_str("; its model_config has a Lambda layer, which runs code when Keras loads the model");
        remedy = "do not load it with safe_mode=False; ask for weights without a model config".into();
    }
    (what, remedy)
}

/// Whether the first 4 MB name a Lambda layer, which carries Python byte code.
fn lambda(input: &mut Input) -> bool {
    let count = input.len.min(4 << 20);
    let bytes = input.read_range(0, count).unwrap_or_default();
    super::archive::names_lambda(&bytes)
}

/// Whether the bytes begin as the protobuf of an ONNX model: ir_version, then the producer's name.
fn is_onnx(head: &[u8]) -> bool {
    let producer = match head {
        [0x08, 1..=20, 0x12, length, rest @ ..] => rest.get(..usize::from(*length)),
        _ => None,
    };
    producer.is_some_and(|name| !name.is_empty() && name.iter().all(|b| b.is_ascii_graphic() || *b == b' '))
}

/// Whether the bytes begin as a msgpack map whose first key is a short text.
fn is_msgpack(head: &[u8]) -> bool {
    let rest = match head {
        [0x81..=0x8f, rest @ ..] | [0xde, _, _, rest @ ..] | [0xdf, _, _, _, _, rest @ ..] => rest,
        _ => return false,
    };
    let text = match rest {
        [first @ 0xa1..=0xbf, text @ ..] => text.get(..usize::from(*first & 0x1f)),
        [0xd9, length, text @ ..] => text.get(..usize::from(*length)),
        _ => None,
    };
    text.is_some_and(|t| !t.is_empty() && t.iter().all(|b| b.is_ascii_graphic()))
}
