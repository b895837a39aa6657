//! The example on the page of each code that no rule has: what is printed there is what the program prints.
//!
//! `UPDATE=1 cargo test --test hostile pages` writes the answers anew below the commands that the pages give.

use std::fs;
use std::path::{Path, PathBuf};

use ckdiff::codes::PAGES;
use ckdiff::rules::RuleSet;

use crate::harness::Folder;
use crate::safetensors::file;
use crate::torch_files::*;

/// One tensor of bytes, `w`.
const W: &str = r#"{"w":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}"#;
const SHARD: &str = "model-00001-of-00002.safetensors";
const OTHER: &str = "model-00002-of-00002.safetensors";

/// A safetensors file with one F32 tensor of these values.
fn floats(values: &[f32]) -> Vec<u8> {
    let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    let header = format!(r#"{{"w":{{"dtype":"F32","shape":[{}],"data_offsets":[0,{}]}}}}"#, values.len(), bytes.len());
    [file(&header, 0), bytes].concat()
}

/// Two shards of `a` and `b`, and an index with this map of weights.
fn shards(map: &str) -> Folder {
    let one = |key: &str| file(&format!(r#"{{"{key}":{{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}}}"#), 1);
    let index = format!("{{\"weight_map\": {map}}}");
    Folder::new().put("model.safetensors.index.json", index).put(SHARD, one("a")).put(OTHER, one("b"))
}

/// A checkpoint of `torch.save` with a tensor `w`, and `value` beside it.
fn beside(value: Vec<u8>) -> Folder {
    Folder::new().put("model.pth", checkpoint(&dict(&[("w", four("0")), ("extra", value)])))
}

/// A contract that wants `w.json` to hold what `expected.json` lists, and more configuration.
fn contract(more: &str) -> Folder {
    let text = format!("[[contract]]\nname = \"net\"\nsource = \"w.json\"\nexpected = \"expected.json\"\n{more}");
    let keys = r#"{"fc.weight": [10, 4]}"#;
    Folder::new().put("ckdiff.toml", text).put("w.json", keys).put("expected.json", keys)
}

/// The folder in which the command of a page is run.
fn folder(code: &str) -> Folder {
    let log = |text: &str| Folder::new().put("train.log", text);
    let pair = |source: &str, target: &str| Folder::new().put("source.json", source).put("expected.json", target);
    let values = |a: &[f32], b: &[f32]| Folder::new().put("a.safetensors", floats(a)).put("b.safetensors", floats(b));
    let sound = || members(&dict(&[("w", four("0"))]));
    let model = |bytes: Vec<u8>| Folder::new().put("model.pth", bytes);
    match code {
        "CK003" => Folder::new().put("expected.json", "{\n  \"fc.weight\": [10, 512],\n  \"fc.bias\": [10\n}\n"),
        "CK004" => Folder::new().put("expected.json", r#"{"fc.weight": [10, 512], "fc.weight": [10, 256]}"#),
        "CK007" => {
            let header = r#"{"w":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}}"#;
            Folder::new().put("model.safetensors", file(header, 8))
        }
        "CK008" => {
            let header = r#"{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}"#;
            Folder::new().put("model.safetensors", file(header, 4))
        }
        "CK009" => {
            let header = format!("{W}{}", " ".repeat(100_000_001 - W.len()));
            Folder::new().put("model.safetensors", file(&header, 4))
        }
        "CK011" => shards(&format!(r#"{{"a": "{OTHER}", "b": "{OTHER}"}}"#)),
        "CK012" => shards(&format!(r#"{{"a": "{SHARD}", "b": "../{OTHER}"}}"#)),
        "CK013" => Folder::new().put("model.pth", file(W, 4)),
        "CK014" => {
            let rows = (0..10).map(|n| {
                format!(
                    r#""layers.{n}.w":{{"dtype":"F32","shape":[1024],"data_offsets":[{},{}]}}"#,
                    n * 4096,
                    n * 4096 + 4096
                )
            });
            let mut bytes = file(&format!("{{{}}}", rows.collect::<Vec<_>>().join(",")), 40_960);
            let end = bytes.len();
            bytes[end - 16_384..].fill(0);
            Folder::new().put("model.safetensors", bytes)
        }
        "CK015" => shards("{}").without("model.safetensors.index.json"),
        "CK016" => Folder::new().put("model.safetensors", file(W, 4)),
        "CK040" => log("    model.load_state_dict(checkpoint['state_dict'])\nKeyError: 'state_dict'\n"),
        "CK042" => log("Epoch 1 loss 0.31\nEpoch 2 loss 0.27\n"),
        "CK043" => log("Missing key(s) in state_dict: \"fc.weight\", \"fc.bias\", ...\n"),
        "CK060" => {
            let object = dict(&[("w", four("0"))]);
            model(checkpoint(&[&object[..object.len() - 2], b"\xff\xff"].concat()))
        }
        "CK061" => model(zip(&sound(), End { directory_offset: Some(0x7fff_ffff), ..End::default() })),
        "CK062" => model([MAGIC, PROTOCOL, &system_info(), &dict(&[("w", four("0"))]), &keys(&["0"])].concat()),
        "CK064" => {
            let mut value = [four("0"), b"q\x01".to_vec()].concat();
            (0..60).for_each(|_| value.extend(b"0h\x01h\x01\x86q\x01"));
            beside(value)
        }
        "CK065" => {
            let inner = [b"}(".to_vec(), text("b"), four("0"), b"u".to_vec()].concat();
            model(checkpoint(&dict(&[("a", inner), ("a.b", four("0"))])))
        }
        "CK066" => {
            let mut all = sound();
            all[3] = Member::new("archive/version", "99");
            model(zip(&all, End::default()))
        }
        "CK067" => model([legacy(&dict(&[("w", four("0"))])), b"more".to_vec()].concat()),
        "CK068" => {
            let key = [b"X\x04\0\0\0k\xed\xa0\x80".to_vec(), four("0")].concat();
            model(checkpoint(&[b"\x80\x02}(".to_vec(), key, b"u.".to_vec()].concat()))
        }
        "CK109" => pair(r#"{"student.fc.weight": [4, 3], "other.fc.weight": [4, 3]}"#, r#"{"fc.weight": [4, 3]}"#),
        "CK201" => pair(r#"{"decoder.0.weight": [24, 64]}"#, r#"{"decoder.0.weight": [32, 48]}"#),
        "CK213" => pair(r#"{"proj_in.weight": [320, 320]}"#, r#"{"proj_in.weight": [320, 320, 1, 1]}"#),
        "CK501" => beside(system()),
        "CK502" => beside(call("my_project.config", "TrainConfig", &[])),
        "CK503" => {
            let object = dict(&[("w", four("0")), ("extra", call("my_project.config", "TrainConfig", &[]))]);
            model(checkpoint(&[&object[..object.len() - 2], b"\xff\xff"].concat()))
        }
        "CK504" => Folder::new().put("model.safetensors", checkpoint(&dict(&[("w", four("0"))]))),
        "CK505" => {
            let mut all = sound();
            all.push(Member::new("archive/notes.txt", [b"\x80\x04".as_slice(), &system(), b"."].concat()));
            model(zip(&all, End::default()))
        }
        "CK506" => {
            let mut all = sound();
            all.insert(1, Member::new("archive/data.pkl", dict(&[("w", four("0")), ("x", four("0"))])));
            model(zip(&all, End::default()))
        }
        "CK507" => {
            let mut all = sound();
            all.push(Member::new("../../.bashrc", "echo"));
            model(zip(&all, End::default()))
        }
        "CK510" => Folder::new()
            .put("model/config.json", r#"{"auto_map": {"AutoModel": "modeling_net.Net"}}"#)
            .put("model/model.safetensors", file(W, 4)),
        "CK601" => values(&[1.0, 2.0], &[1.0, 2.5]),
        "CK602" => values(&[0.0, 2.0], &[-0.0, 2.0]),
        "CK603" => {
            let values = r#"{"xxh3": "3b3b3b3b3b3b3b3b3b3b3b3b3b3b3b3b", "min": 0.0, "max": 1.0, "mean": 0.5, "rms": 0.5, "nan": 0, "inf": 0}"#;
            Folder::new()
                .put("source.json", r#"{"w": {"dtype": "F32", "shape": [4]}}"#)
                .put("b.json", format!(r#"{{"w": {{"dtype": "F32", "shape": [4], "values": {values}}}}}"#))
        }
        "CK604" => values(&[1.0, f32::NAN], &[1.0, 2.0]),
        "CK605" => {
            // What `ckdiff snapshot --digest` writes of tensors large enough to tell apart.
            let row = |name: &str, digest: &str| {
                let values = format!(
                    r#"{{"xxh3": "{digest}", "min": -1.0, "max": 1.0, "mean": 0.0, "rms": 0.5, "nan": 0, "inf": 0}}"#
                );
                format!(r#""{name}": {{"dtype": "F32", "shape": [32, 8], "values": {values}}}"#)
            };
            let side = |a: &str, b: &str| format!("{{{}, {}}}", row(a, &"3b".repeat(16)), row(b, &"0f".repeat(16)));
            Folder::new().put("a.json", side("wq", "wk")).put("b.json", side("first", "second"))
        }
        "CK901" => pair(r#"{"w": [4]}"#, r#"{"w": [4]}"#).put("mine/shapes/heads.toml", "[match]\nlaw = \"heads\"\n"),
        "CK902" => contract("levle = \"strict\"\n"),
        "CK903" => contract("").without("w.json"),
        "CK904" => contract("\n[[ignore]]\ncode = \"CK104\"\nkey = \"head.*\"\nreason = \"the loader renames it\"\n"),
        "CK905" => {
            let entry = r#"{"contract":"net","source":"w.json","code":"CK101","rule":null,"keys":["fc.bias"],"fingerprint":"0123456789abcdef"}"#;
            contract("").put("known.json", format!("{{\"version\": 1, \"findings\": [\n  {entry}\n]}}\n"))
        }
        "CK906" => {
            let text = "[[contract]]\nname = \"net\"\nsource = \"w/*.json\"\nexpected = \"expected.json\"\n";
            let (one, other) = (r#"{"fc.weight": [10, 4]}"#, r#"{"fc.weight": [10, 8]}"#);
            Folder::new().put("ckdiff.toml", text).put("expected.json", one).put("w/a.json", one).put("w/b.json", other)
        }
        other => panic!("{other} has no example: neither a rule's nor a folder here"),
    }
}

/// The page of a code, as a file of the source.
fn page(code: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("src/codes/{code}.md"))
}

/// What the program says of a code: the line of the finding and what is indented below it.
fn about(code: &str, said: &str) -> Vec<String> {
    let mut out = Vec::new();
    for line in said.lines() {
        let ours = line.contains(code);
        if !out.is_empty() && !ours && !line.starts_with("    ") {
            break;
        }
        if ours || !out.is_empty() {
            out.push(format!("    {}", line.trim_end()));
        }
    }
    out
}

#[test]
fn every_code_shows_what_the_program_says_when_it_is_raised() {
    let rules = RuleSet::embedded();
    let by_rule = |code: &str| rules.about.iter().any(|r| r.code.as_deref() == Some(code) && !r.examples.is_empty());
    let mut wrong = String::new();
    for (code, _) in PAGES.iter().filter(|(code, _)| !by_rule(code)) {
        let text = fs::read_to_string(page(code)).expect("the page is there");
        let Some((_, example)) = text.split_once("## Example\n\n    $ ckdiff ") else {
            wrong += &format!("{code}: its page has no example\n");
            continue;
        };
        let mut lines = example.lines();
        let arguments: Vec<&str> = lines.next().unwrap_or("").split_whitespace().collect();
        let shown: Vec<String> = lines.take_while(|l| l.starts_with("    ")).map(str::to_owned).collect();
        let outcome = folder(code).run(&arguments);
        let said = about(code, &format!("{}{}", outcome.out, outcome.err));
        if said.is_empty() {
            wrong += &format!("{code}: is not raised: {} {}\n", outcome.out, outcome.err);
        } else if std::env::var_os("UPDATE").is_some() {
            let (before, _) = text.split_once("## Example\n\n").expect("it was there");
            let line = format!("    $ ckdiff {}", arguments.join(" "));
            fs::write(page(code), format!("{before}## Example\n\n{line}\n{}\n", said.join("\n")))
                .expect("pages can be written");
        } else if said != shown {
            wrong +=
                &format!("{code}: the page shows\n{}\nand the program says\n{}\n", shown.join("\n"), said.join("\n"));
        }
    }
    assert!(wrong.is_empty(), "UPDATE=1 cargo test --test hostile pages:\n{wrong}");
}
