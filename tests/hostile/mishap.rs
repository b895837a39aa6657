//! What happens to files without ill will: half downloads, pointers, pages, wrong suffixes, pipes. Wanted: what the file really
//! is, and what to do.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use crate::harness::{Folder, Outcome, inspect};
use crate::safetensors::file;

/// A safetensors file with some 4 kB of data.
fn weights() -> Vec<u8> {
    let row = |n: usize| {
        format!(
            r#""layers.{n}.weight":{{"dtype":"F32","shape":[8,16],"data_offsets":[{},{}]}}"#,
            n * 512,
            n * 512 + 512
        )
    };
    file(&format!("{{{}}}", (0..8).map(row).collect::<Vec<_>>().join(",")), 4096)
}

/// Makes a pipe that a writer never comes to.
pub(crate) fn named_pipe(path: &Path) {
    let made = Command::new("mkfifo").arg(path).status().expect("mkfifo runs");
    assert!(made.success());
}

#[test]
fn empty_file() {
    for name in ["model.pth", "model.safetensors", "expected.json"] {
        inspect(name, "").refused("an empty file (0 bytes)");
    }
}

#[test]
fn one_byte() {
    inspect("model.pth", [0x80]).refused("model.pth");
    inspect("model.safetensors", [7]).refused("1 byte");
}

#[test]
fn google_drive_virus_scan_page() {
    inspect("model.pth", "<!DOCTYPE html><html><head><title>Google Drive - Virus scan warning</title>")
        .refused("gdown");
}

#[test]
fn login_page() {
    inspect("model.pth", "\n\n  <html lang=\"en\"><body>Sign in</body></html>").refused("a web page (HTML)");
}

#[test]
fn error_of_a_storage_server() {
    inspect("model.bin", "<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code></Error>")
        .refused("an error message of a storage server");
}

#[test]
fn json_error() {
    inspect("model.safetensors", "{\"error\":\"Access to model x is restricted\"}")
        .refused("an error message of a server");
}

#[test]
fn plain_text_error() {
    inspect("model.safetensors", "Entry not found").refused("a text, not a checkpoint");
}

#[test]
fn git_lfs_pointer_as_safetensors() {
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 13431\n";
    for name in ["model.safetensors", "model.pth", "model.safetensors.index.json"] {
        inspect(name, pointer).refused("stands for a file of 13431 bytes");
    }
}

#[test]
fn git_lfs_pointer_with_a_size_that_is_none() {
    inspect("model.pth", "version https://git-lfs.github.com/spec/v1\nsize \u{1b}[31m\n").refused("git lfs pull");
}

#[test]
fn xet_pointer() {
    inspect("model.safetensors", "# xet version 0\nfilesize = 77\nhash = 'ab'\n").refused("git-xet pointer");
}

#[test]
fn compressed_files() {
    inspect("model.pth.gz", b"\x1f\x8b\x08\0\0\0\0\0").refused("gzip");
    inspect("model.pth", b"\x1f\x8b\x08\0\0\0\0\0").refused("gzip -d");
    inspect("model.pth.xz", b"\xfd7zXZ\0\0\x04").refused("xz -d");
    inspect("model.pth.zst", b"\x28\xb5\x2f\xfd\0\0").refused("zstd -d");
    inspect("model.pth.bz2", b"BZh91AY&SY").refused("bzip2 -d");
    inspect("model.rar", b"Rar!\x1a\x07\x01\0").refused("RAR");
    inspect("model.7z", b"7z\xbc\xaf\x27\x1c\0\x04").refused("7-Zip");
}

#[test]
fn pictures_programs_and_databases() {
    inspect("model.pth", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR").refused("PNG");
    inspect("model.pth", b"\xff\xd8\xff\xe0\0\x10JFIF").refused("JPEG");
    inspect("model.pth", b"%PDF-1.7\n").refused("PDF");
    inspect("model.pth", b"SQLite format 3\0").refused("SQLite");
    inspect("model.pth", b"\x7fELF\x02\x01\x01\0").refused("ELF");
    inspect("train.parquet", b"PAR1\x15\x04").refused("Parquet");
}

#[test]
fn python_source() {
    inspect("model.pth", "import torch\n\n\nclass Net(torch.nn.Module):\n    pass\n").refused("Python source code");
    inspect("modeling.py", "\"\"\"Doc.\"\"\"\nfrom torch import nn\n").refused("Python source code");
}

#[test]
fn log_of_an_error() {
    inspect("log.txt", "Traceback (most recent call last):\n  File \"train.py\", line 3\n").refused("ckdiff explain");
}

#[test]
fn random_bytes() {
    let bytes: Vec<u8> = (0..5000u64)
        .map(|n| (n.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407) >> 40) as u8)
        .collect();
    for name in ["model.pth", "model.safetensors"] {
        let outcome = inspect(name, &bytes);
        assert_eq!(outcome.code, 2, "{outcome:?}");
    }
}

#[test]
fn zero_bytes() {
    inspect("model.safetensors", vec![0; 100_000]).refused("zero bytes only");
    inspect("model.pth", vec![0; 100_000]).refused("zero bytes only");
}

#[test]
fn safetensors_cut_at_every_tenth() {
    let whole = weights();
    for part in 0..10 {
        let outcome = inspect("model.safetensors", &whole[..whole.len() * part / 10]);
        let named = ["half a download", "an empty file"].iter().any(|words| outcome.said().contains(words));
        assert!(named && outcome.code > 0, "{part}: {}", outcome.said());
    }
}

#[test]
fn safetensors_cut_by_one_byte() {
    let whole = weights();
    let outcome = inspect("model.safetensors", &whole[..whole.len() - 1]);
    assert!(outcome.said().contains("ends 1 bytes early"), "{}", outcome.said());
    assert_eq!((outcome.code, outcome.tensors().len()), (1, 8));
}

#[test]
fn safetensors_of_full_length_whose_end_is_zeros() {
    let row = |n: usize| {
        format!(
            r#""layers.{n}.weight":{{"dtype":"F32","shape":[1024],"data_offsets":[{},{}]}}"#,
            n * 4096,
            n * 4096 + 4096
        )
    };
    let mut bytes = file(&format!("{{{}}}", (0..10).map(row).collect::<Vec<_>>().join(",")), 40_960);
    let end = bytes.len();
    bytes[end - 16_384..].fill(0);
    let outcome = inspect("model.safetensors", bytes);
    assert!(outcome.said().contains("CK014 the last 39 % of the data are zero bytes"), "{}", outcome.said());
    assert_eq!(outcome.tensors().len(), 10);
}

#[test]
fn one_shard_by_itself() {
    let outcome = inspect("model-00002-of-00006.safetensors", weights());
    assert!(outcome.said().contains("CK015 shard 2 of 6"), "{}", outcome.said());
    assert_eq!(outcome.code, 0);
}

#[test]
fn safetensors_under_another_suffix() {
    for name in ["model.pth", "model.bin", "model", "model.ckpt.json"] {
        let outcome = inspect(name, weights());
        assert_eq!(outcome.tensors().len(), 8, "{name}");
        let torch = name.ends_with(".pth") || name.ends_with(".bin");
        assert_eq!(outcome.said().contains("CK013"), torch, "{name}: {}", outcome.said());
    }
}

#[test]
fn expected_json_under_another_suffix() {
    inspect("expected.txt", "{\"a\": [1]}").sound(&["a"]);
}

#[test]
fn binary_mangled_by_crlf_translation() {
    let mut mangled = Vec::new();
    for byte in (0..4000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 11) as u8) {
        if byte == b'\n' {
            mangled.push(b'\r');
        }
        mangled.push(byte);
    }
    inspect("model.pth", mangled).refused("as if it were text");
}

#[test]
fn binary_read_and_written_as_text() {
    let bytes: Vec<u8> = (0..4000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 11) as u8).collect();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let outcome = inspect("model.pth", text);
    outcome.refused("read and written as text");
}

#[test]
fn no_such_file() {
    Folder::new().inspect("gone.pth").refused("no such file");
}

#[test]
fn empty_folder() {
    Folder::new().run(&["inspect", "."]).refused("an empty folder");
}

#[test]
fn folder_without_weights() {
    Folder::new().put("README.md", "x").run(&["inspect", "."]).refused("a folder without weights");
}

#[test]
fn folder_with_weights_one_level_down() {
    let folder = Folder::new().put("unet/model.safetensors", weights()).put("vae/model.safetensors", weights());
    folder.run(&["inspect", "."]).refused("unet, vae");
}

#[test]
fn folder_with_several_checkpoints() {
    let folder = Folder::new().put("a.safetensors", weights()).put("b.safetensors", weights());
    folder.run(&["inspect", "."]).refused("several checkpoints: `a.safetensors`, `b.safetensors`");
}

#[test]
fn folder_named_like_a_file() {
    Folder::new()
        .put("model.safetensors/x", "")
        .run(&["inspect", "model.safetensors"])
        .refused("a folder without weights");
    Folder::new().put("model.safetensors/x", "").run(&["inspect", "."]).refused("`model.safetensors` is a folder");
}

#[test]
fn key_names_of_a_tensor_are_escaped_in_every_output() {
    let folder = Folder::new()
        .put("m.json", r#"{"\u001b[31m": [1], "b": [2]}"#)
        .put("t.json", r#"{"\u001b[32m": [1], "b": [3]}"#);
    folder.run(&["m.json", "t.json"]);
    folder.run(&["m.json", "t.json", "--all"]);
    folder.run(&["m.json", "t.json", "--format", "json"]);
    folder.run(&["snapshot", "m.json"]);
    folder.run(&["inspect", "m.json", "--all"]);
}

#[test]
fn sparse_file_that_begins_as_a_zip() {
    let folder = Folder::new().put("model.pth", b"PK\x03\x04");
    let file = File::options().write(true).open(folder.path("model.pth")).unwrap();
    file.set_len(50 << 30).unwrap();
    folder.inspect("model.pth").refused("zero bytes");
}

#[test]
fn sparse_safetensors_of_50_gigabytes_is_read_at_once() {
    let bytes = 50u64 << 30;
    let folder = Folder::new().put(
        "model.safetensors",
        file(&format!(r#"{{"a":{{"dtype":"U8","shape":[{bytes}],"data_offsets":[0,{bytes}]}}}}"#), 0),
    );
    let path = folder.path("model.safetensors");
    let header = fs::metadata(&path).unwrap().len();
    File::options().write(true).open(&path).unwrap().set_len(header + bytes).unwrap();
    folder.inspect("model.safetensors").sound(&["a"]);
}

#[cfg(unix)]
mod unix {
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn named_pipe_is_never_opened() {
        let folder = Folder::new();
        named_pipe(&folder.path("model.pth"));
        folder.inspect("model.pth").refused("a named pipe");
    }

    #[test]
    fn named_pipe_in_a_folder_as_its_only_checkpoint() {
        let folder = Folder::new();
        named_pipe(&folder.path("model.safetensors"));
        folder.run(&["inspect", "."]).refused("a named pipe");
    }

    #[test]
    fn named_pipe_as_the_config_of_a_folder() {
        let folder = Folder::new().put("model.safetensors", weights());
        named_pipe(&folder.path("config.json"));
        assert_eq!(folder.run(&["inspect", ".", "--format", "json"]).tensors().len(), 8);
    }

    #[test]
    fn devices() {
        let folder = Folder::new();
        for device in ["/dev/null", "/dev/zero", "/dev/full", "/dev/tty"] {
            folder.inspect(device).refused("a device");
        }
    }

    #[test]
    fn link_to_a_device() {
        let folder = Folder::new();
        symlink("/dev/null", folder.path("model.pth")).unwrap();
        folder.inspect("model.pth").refused("a device");
    }

    #[test]
    fn link_to_nowhere() {
        let folder = Folder::new();
        symlink("nowhere.pth", folder.path("model.pth")).unwrap();
        folder.inspect("model.pth").refused("a symbolic link to nowhere.pth, which does not exist");
    }

    #[test]
    fn link_to_nowhere_with_terminal_escapes() {
        let folder = Folder::new();
        symlink("\u{1b}[31mred", folder.path("model.pth")).unwrap();
        folder.inspect("model.pth").refused("a symbolic link to");
    }

    #[test]
    fn links_in_a_circle() {
        let folder = Folder::new();
        symlink("b.pth", folder.path("a.pth")).unwrap();
        symlink("a.pth", folder.path("b.pth")).unwrap();
        folder.inspect("a.pth").refused("leads back to itself");
    }

    #[test]
    fn link_to_its_own_folder() {
        let folder = Folder::new();
        symlink(".", folder.path("model")).unwrap();
        folder.run(&["inspect", "model"]).refused("model");
    }

    #[test]
    fn unreadable_file() {
        let folder = Folder::new().put("model.pth", weights());
        fs::set_permissions(folder.path("model.pth"), fs::Permissions::from_mode(0o0)).unwrap();
        // The superuser reads it all the same.
        let outcome = folder.inspect("model.pth");
        assert!(outcome.code == 0 || outcome.err.contains("permission denied"), "{outcome:?}");
    }

    #[test]
    fn file_name_that_is_not_utf8_and_has_a_newline() {
        let folder = Folder::new();
        let name = std::ffi::OsStr::from_bytes(b"mo\xffdel\n\x1b[31m.safetensors");
        fs::write(folder.path("").join(name), weights()).unwrap();
        assert_eq!(by_name(&folder, name, "json").tensors().len(), 8);
        by_name(&folder, name, "text");
        fs::write(folder.path("").join(name), "x").unwrap();
        by_name(&folder, name, "text").refused("mo\u{fffd}del\\n\\x1b[31m.safetensors");
    }

    /// Inspects a file whose name is no text.
    fn by_name(folder: &Folder, name: &std::ffi::OsStr, format: &str) -> Outcome {
        folder.run_os(&["inspect".as_ref(), name, "--format".as_ref(), format.as_ref()])
    }
}
