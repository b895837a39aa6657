//! Zip and tar archives that are no torch files: what they are, what is in them, and whether they are cut off.

use super::{Naming, bytes};
use crate::read::input::Input;

/// The end of an archive is looked for in this many last bytes: the record and the longest comment it may have.
const END: u64 = 65_557;

/// Layers of Keras whose configuration holds byte code or a pickle.
const CARRY_CODE: &[&str] = &["Lambda", "__lambda__", "TorchModuleWrapper"];

/// Names a zip or tar archive.
pub(super) fn name(input: &mut Input) -> Option<Naming> {
    if input.head.starts_with(b"PK\x03\x04") || input.head.starts_with(b"PK\x05\x06") {
        return Some(zip(input));
    }
    if b"PK\x03\x04".starts_with(&input.head) {
        return Some(Naming::Cut(
            format!("the first {} of a zip archive (half a download)", bytes(input.len)),
            "download it again".into(),
        ));
    }
    if input.head.get(257..262) == Some(b"ustar") {
        let holds = "a tar archive, not a checkpoint by itself";
        return Some(Naming::Is(holds.into(), "unpack it first (tar -xf), and hand over what is inside".into()));
    }
    None
}

fn zip(input: &mut Input) -> Naming {
    let Some(members) = members(input) else {
        let end = ends_in_zeros(input);
        let what = match end {
            true => {
                "a zip archive that ends in zero bytes, without its list of members (space was reserved, and the download stopped)"
            }
            false => "a zip archive without its end, where the list of members stands (half a download)",
        };
        return Naming::Cut(
            format!("{what}; {} are there", bytes(input.len)),
            "download it again, and compare the size with what the server says".into(),
        );
    };
    let any = |test: &dyn Fn(&str) -> bool| members.iter().any(|m| test(m));
    let is = |what: &str, remedy: &str| Naming::Is(what.into(), remedy.into());
    if members.is_empty() {
        return is("an empty zip archive", "download it again");
    }
    if members.iter().all(|m| m.ends_with(".npy")) {
        return is("NumPy arrays (.npz)", "ckdiff does not read them; put the arrays into a safetensors file");
    }
    if any(&|m| m == "model.weights.h5") && any(&|m| m == "config.json") {
        return keras(input);
    }
    if any(&|m| m.starts_with("META-INF/")) {
        return is("a Java archive", "hand over the checkpoint");
    }
    if any(&|m| m == "[Content_Types].xml") {
        return is("an Office document", "hand over the checkpoint");
    }
    let weights = members.iter().find(|m| {
        let suffix = m.rsplit_once('.').map_or("", |(_, s)| s);
        ["pth", "pt", "ckpt", "bin", "safetensors", "pkl"].contains(&suffix)
            && !m.ends_with("data.pkl")
            && !m.ends_with("constants.pkl")
    });
    if let Some(inner) = weights {
        let what = format!("a zip archive around {}", crate::checkpoint::quoted(inner));
        return Naming::Is(what, "unzip it first, and hand over what is inside".into());
    }
    let what = format!("a zip archive of {} files without a data.pkl, so not one that torch.save wrote", members.len());
    Naming::Is(what, "unzip it first if the weights are inside; otherwise fetch it again".into())
}

/// Keras 3: whether its config has a layer that carries code.
fn keras(input: &mut Input) -> Naming {
    let count = input.len.min(4 << 20);
    let stored = input.read_range(0, count).unwrap_or_default();
    let inflated = config(&stored).unwrap_or_default();
    if names_lambda(&stored) || names_lambda(&inflated) {
        let what = "a Keras model (.keras) with a Lambda layer, which runs code when Keras loads the model";
        return Naming::Is(
            what.into(),
            "do not load it with safe_mode=False; ask for weights without a model config".into(),
        );
    }
    let what = "a Keras model (.keras)";
    Naming::Is(what.into(), "ckdiff does not read it; save the weights as safetensors".into())
}

/// The text of config.json within the first bytes of an archive, inflated; at most 4 MB of it.
fn config(bytes: &[u8]) -> Option<Vec<u8>> {
    let archive = rawzip::ZipArchive::from_slice(bytes).ok()?;
    for entry in archive.entries() {
        let entry = entry.ok()?;
        if entry.file_path().as_ref() == b"config.json" {
            let data = archive.get_entry(entry.wayfinder()).ok()?;
            return match entry.compression_method() {
                rawzip::CompressionMethod::DEFLATE => {
                    miniz_oxide::inflate::decompress_to_vec_with_limit(data.data(), 4 << 20).ok()
                }
                _ => Some(data.data().to_vec()),
            };
        }
    }
    None
}

/// Whether a Keras config among `bytes` names a Lambda layer, which carries Python byte code.
pub(super) fn names_lambda(bytes: &[u8]) -> bool {
    let key = b"\"class_name\"";
    let mut rest = bytes;
    while let Some(at) = rest.windows(key.len()).position(|w| w == key) {
        rest = rest.get(at + key.len()..).unwrap_or_default();
        let value = rest.trim_ascii_start().strip_prefix(b":").map(<[u8]>::trim_ascii_start);
        let end = value.and_then(|v| v.get(1..64.min(v.len()))).and_then(|v| v.iter().position(|&b| b == b'"'));
        let text = value.zip(end).and_then(|(value, end)| value.get(..end + 2));
        // Escapes count as what they stand for.
        let name = text.and_then(|text| serde_json::from_slice::<String>(text).ok());
        if name.is_some_and(|name| CARRY_CODE.contains(&name.as_str())) {
            return true;
        }
    }
    false
}

/// Whether the last bytes are zero.
fn ends_in_zeros(input: &mut Input) -> bool {
    let start = input.len.saturating_sub(512);
    input.read_range(start, input.len - start).is_ok_and(|bytes| bytes.iter().all(|&b| b == 0))
}

/// The names of the members, by the list at the end; `None` where that list is not there or not whole. At most a thousand.
fn members(input: &mut Input) -> Option<Vec<String>> {
    let mut buffer = vec![0; 1 << 16];
    let file = input.file.try_clone().ok()?;
    let archive = rawzip::ZipLocator::new().max_search_space(END).locate_in_file(file, &mut buffer).ok()?;
    let mut names = Vec::new();
    let mut entries = archive.entries(&mut buffer);
    while names.len() < 1000 {
        match entries.next_entry().ok()? {
            None => break,
            Some(entry) => names.push(String::from_utf8_lossy(entry.file_path().as_ref()).into_owned()),
        }
    }
    Some(names)
}
