use std::fs;

use super::*;

fn names(list: &[&str]) -> Vec<String> {
    list.iter().map(|n| n.to_string()).collect()
}

#[test]
fn the_file_is_chosen_that_from_pretrained_would_load() {
    for (there, wanted) in [
        (&["config.json", "model.safetensors", "pytorch_model.bin"][..], Choice::File("model.safetensors")),
        (&["model.safetensors", "model.safetensors.index.json"], Choice::File("model.safetensors")),
        (&["model.safetensors.index.json", "pytorch_model.bin"], Choice::Index("model.safetensors.index.json")),
        (
            &["pytorch_model.bin", "training_args.bin", "optimizer.pt", "rng_state.pth"],
            Choice::File("pytorch_model.bin"),
        ),
        (&["optimizer.pt", "scheduler.pt"], Choice::None),
        (&["unet.fp16.safetensors.index.json"], Choice::Index("unet.fp16.safetensors.index.json")),
        (&["net.pth", "README.md"], Choice::File("net.pth")),
        (&["a.pth", "b.ckpt"], Choice::Several(vec!["a.pth", "b.ckpt"])),
        (&["x.safetensors"], Choice::File("x.safetensors")),
        (
            &["m-00001-of-00002.safetensors", "m-00002-of-00002.safetensors"],
            Choice::Shards(names(&["m-00001-of-00002.safetensors", "m-00002-of-00002.safetensors"])),
        ),
        (&["notes.txt"], Choice::None),
    ] {
        assert_eq!(choose(&names(there)), wanted, "{there:?}");
    }
}

#[test]
fn a_folder_without_weights_is_named_for_what_it_is() {
    for (there, wanted) in [
        (&[][..], "an empty folder"),
        (&[".metadata", "__0_0.distcp"], "torch.distributed.checkpoint (1 .distcp files)"),
        (&[".metadata"], "whose .distcp files are missing"),
        (&["__0_0.distcp"], "whose .metadata is missing"),
        (&["global_step5"], "DeepSpeed ZeRO"),
        (&["saved_model.pb"], "SavedModel"),
        (&["flax_model.msgpack"], "Flax"),
        (&["notes.txt"], "a folder without weights"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        for name in there {
            fs::write(dir.path().join(name), "x").unwrap();
        }
        let error = read(dir.path()).expect_err("was read");
        assert!(error.what.contains(wanted) && error.code == "CK001" && !error.remedy.is_empty(), "{error}");
    }
}

#[test]
fn folders_with_weights_one_level_down_are_named() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("unet")).unwrap();
    fs::create_dir_all(dir.path().join("snapshots/abc")).unwrap();
    fs::write(dir.path().join("unet/model.safetensors"), "").unwrap();
    fs::write(dir.path().join("snapshots/abc/model.safetensors"), "").unwrap();
    let error = read(dir.path()).expect_err("was read");
    assert!(error.remedy.contains("unet") && error.remedy.contains("snapshots/abc"), "{error}");
}

#[test]
fn remote_code_in_the_config_is_remarked_on() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("model.safetensors"), b"\x02\0\0\0\0\0\0\0{}").unwrap();
    fs::write(dir.path().join("config.json"), r#"{"auto_map": {"AutoModel": "modeling_x.X"}}"#).unwrap();
    let read = read(dir.path()).unwrap();
    assert_eq!(read.remarks.iter().map(|r| r.code).collect::<Vec<_>>(), ["CK510"]);
}
