//! What `ckdiff convert` writes, read by the official safetensors library; and what it leaves when it cannot go on.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

/// A folder of its own for one test.
struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Bench {
        Bench { folder: tempfile::tempdir().expect("a folder can be made") }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn convert(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ckdiff"));
        command.arg("convert").args(arguments).current_dir(self.folder.path()).output().expect("ckdiff starts")
    }

    /// A safetensors file of singles that count upwards from 1.
    fn tensors(&self, name: &str, shapes: &[(&str, &[usize])]) -> HashMap<String, Vec<f32>> {
        let mut next = 0f32;
        let mut all = HashMap::new();
        let mut bytes: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::new();
        for (key, shape) in shapes {
            let values: Vec<f32> = (0..shape.iter().product()).map(|_| (next += 1.0, next).1).collect();
            bytes.push(((*key).into(), shape.to_vec(), values.iter().flat_map(|v| v.to_le_bytes()).collect()));
            all.insert((*key).to_owned(), values);
        }
        let views = bytes.iter().map(|(k, s, b)| (k, TensorView::new(Dtype::F32, s.clone(), b).expect("a view")));
        fs::write(self.path(name), safetensors::serialize(views, None).expect("it serialises")).expect("it is written");
        all
    }

    fn expected(&self, name: &str, shapes: &[(&str, &[usize])]) {
        let keys: serde_json::Map<String, serde_json::Value> =
            shapes.iter().map(|(k, s)| ((*k).to_owned(), serde_json::json!({"dtype": "F32", "shape": s}))).collect();
        fs::write(self.path(name), serde_json::Value::from(keys).to_string()).expect("it is written");
    }

    /// What a file holds, by the official library.
    fn read(&self, name: &str) -> HashMap<String, Vec<f32>> {
        let bytes = fs::read(self.path(name)).expect("it was written");
        let file = SafeTensors::deserialize(&bytes).expect("the official library reads it");
        let values = |data: &[u8]| data.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
        file.tensors().into_iter().map(|(k, t)| (k, values(t.data()))).collect()
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).expect("the folder is there");
        let mut names: Vec<String> =
            entries.map(|e| e.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

fn says(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

const WRAPPED: &[(&str, &[usize])] =
    &[("module.conv.weight", &[4, 3]), ("module.fc.bias", &[7]), ("module.fc.weight", &[7, 4]), ("extra", &[2])];
const PLAIN: &[(&str, &[usize])] = &[("fc.weight", &[7, 4]), ("fc.bias", &[7]), ("conv.weight", &[4, 3])];

#[test]
fn keys_are_renamed_and_dropped_and_stand_in_the_order_of_the_target() {
    let bench = Bench::new();
    let given = bench.tensors("a.safetensors", WRAPPED);
    bench.expected("b.json", PLAIN);
    let done = bench.convert(&["a.safetensors", "-o", "c.safetensors", "--to", "b.json"]);
    assert_eq!(done.status.code(), Some(0), "{}", says(&done));
    assert!(says(&done).contains("loads as it is"), "{}", says(&done));
    let made = bench.read("c.safetensors");
    assert_eq!(made.len(), 3);
    for (key, values) in made {
        assert_eq!(values, given[&format!("module.{key}")], "{key}");
    }
}

/// What Flax calls a layer of attention, with square matrices: nothing in the shapes says that they are stored input first.
#[test]
fn the_heads_of_flax_are_joined_and_turned_also_where_they_are_square() {
    let bench = Bench::new();
    let at = "Transformer/encoderblock_0/MultiHeadDotProductAttention_1";
    let (q, k, v) = (format!("{at}/query"), format!("{at}/key"), format!("{at}/value"));
    let (qk, kk, vk, out) =
        (format!("{q}/kernel"), format!("{k}/kernel"), format!("{v}/kernel"), format!("{at}/out/kernel"));
    let (qb, kb, vb, outb) = (format!("{q}/bias"), format!("{k}/bias"), format!("{v}/bias"), format!("{at}/out/bias"));
    let shapes: [(&str, &[usize]); 8] = [
        (&kb, &[2, 3]),
        (&kk, &[6, 2, 3]),
        (&outb, &[6]),
        (&out, &[2, 3, 6]),
        (&qb, &[2, 3]),
        (&qk, &[6, 2, 3]),
        (&vb, &[2, 3]),
        (&vk, &[6, 2, 3]),
    ];
    let given = bench.tensors("flax.safetensors", &shapes);
    let turned = |key: &str| -> Vec<f32> { (0..36).map(|i| given[key][i % 6 * 6 + i / 6]).collect() };
    bench.expected(
        "fused.json",
        &[
            ("blocks.0.attn.qkv.weight", &[18, 6]),
            ("blocks.0.attn.qkv.bias", &[18]),
            ("blocks.0.attn.proj.weight", &[6, 6]),
            ("blocks.0.attn.proj.bias", &[6]),
        ],
    );
    let output = bench.convert(&["flax.safetensors", "--to", "fused.json", "-o", "fused.safetensors"]);
    assert!(output.status.success(), "{}", says(&output));
    let fused = bench.read("fused.safetensors");
    assert_eq!(fused["blocks.0.attn.proj.weight"], turned(&out));
    assert_eq!(fused["blocks.0.attn.qkv.weight"], [turned(&qk), turned(&kk), turned(&vk)].concat());
    assert_eq!(fused["blocks.0.attn.qkv.bias"], [&given[&qb][..], &given[&kb], &given[&vb]].concat());
    bench.expected(
        "apart.json",
        &[
            ("layers.0.self_attn.q_proj.weight", &[6, 6]),
            ("layers.0.self_attn.q_proj.bias", &[6]),
            ("layers.0.self_attn.k_proj.weight", &[6, 6]),
            ("layers.0.self_attn.k_proj.bias", &[6]),
            ("layers.0.self_attn.v_proj.weight", &[6, 6]),
            ("layers.0.self_attn.v_proj.bias", &[6]),
            ("layers.0.self_attn.out_proj.weight", &[6, 6]),
            ("layers.0.self_attn.out_proj.bias", &[6]),
        ],
    );
    let output = bench.convert(&["flax.safetensors", "--to", "apart.json", "-o", "apart.safetensors"]);
    assert!(output.status.success(), "{}", says(&output));
    let apart = bench.read("apart.safetensors");
    for (ours, theirs) in [("q_proj", &qk), ("k_proj", &kk), ("v_proj", &vk), ("out_proj", &out)] {
        assert_eq!(apart[&format!("layers.0.self_attn.{ours}.weight")], turned(theirs), "{ours}");
    }
}

#[test]
fn a_dry_run_writes_nothing() {
    let bench = Bench::new();
    bench.tensors("a.safetensors", WRAPPED);
    bench.expected("b.json", PLAIN);
    let before = bench.names();
    let done = bench.convert(&["a.safetensors", "--to", "b.json", "--dry-run"]);
    assert_eq!(done.status.code(), Some(0));
    assert!(says(&done).contains("would write"), "{}", says(&done));
    assert_eq!(bench.names(), before);
}

#[test]
fn what_does_not_load_is_not_written_and_the_reason_is_told() {
    let bench = Bench::new();
    bench.tensors("a.safetensors", WRAPPED);
    bench.expected("b.json", &[("fc.weight", &[7, 4]), ("fc.bias", &[7]), ("conv.weight", &[4, 3]), ("more", &[9])]);
    let done = bench.convert(&["a.safetensors", "-o", "c.safetensors", "--to", "b.json"]);
    assert_eq!(done.status.code(), Some(1));
    assert!(says(&done).contains("`more`") && says(&done).contains("nothing was written"), "{}", says(&done));
    assert!(!bench.path("c.safetensors").exists());
    let done = bench.convert(&["a.safetensors", "-o", "c.safetensors", "--to", "b.json", "--partial"]);
    assert_eq!((done.status.code(), bench.read("c.safetensors").len()), (Some(0), 3), "{}", says(&done));
}

#[test]
fn files_that_are_there_are_spared() {
    let bench = Bench::new();
    bench.tensors("a.safetensors", WRAPPED);
    let before = fs::read(bench.path("a.safetensors")).expect("it is there");
    for (arguments, word) in [
        (&["a.safetensors", "-o", "a.safetensors"][..], "one of the inputs"),
        (&["a.safetensors", "-o", "./a.safetensors", "--force"], "one of the inputs"),
        (&["a.safetensors", "-o", "nowhere/c.safetensors"], "its folder is not there"),
        (&["a.safetensors", "-o", "."], "no "),
        (&["a.safetensors", "-o", "c.safetensors", "--dtype", "i8"], "--dtype"),
        (&["a.safetensors", "-o", "c.safetensors", "--shard-size", "5XB"], "unit"),
    ] {
        let done = bench.convert(arguments);
        assert_eq!(done.status.code(), Some(2), "{}", says(&done));
        assert!(says(&done).contains(word), "{word}: {}", says(&done));
    }
    fs::write(bench.path("c.safetensors"), b"mine").expect("it is written");
    let done = bench.convert(&["a.safetensors", "-o", "c.safetensors"]);
    assert!(says(&done).contains("--force"), "{}", says(&done));
    assert_eq!(fs::read(bench.path("c.safetensors")).expect("it is there"), b"mine");
    assert_eq!(fs::read(bench.path("a.safetensors")).expect("it is there"), before);
    assert_eq!(bench.names(), ["a.safetensors", "c.safetensors"]);
    assert_eq!(bench.convert(&["a.safetensors", "-o", "c.safetensors", "--force"]).status.code(), Some(0));
    assert_eq!(bench.read("c.safetensors").len(), WRAPPED.len());
}

#[test]
fn shards_come_with_an_index_and_are_read_back_as_one() {
    let bench = Bench::new();
    let given = bench.tensors("a.safetensors", WRAPPED);
    let done = bench.convert(&["a.safetensors", "-o", "out.safetensors", "--shard-size", "60"]);
    assert_eq!(done.status.code(), Some(0), "{}", says(&done));
    let shards: Vec<String> = bench.names().into_iter().filter(|n| n.contains("-of-")).collect();
    assert_eq!(shards.len(), 3, "{shards:?}");
    assert!(shards.iter().all(|s| s.ends_with("-of-00003.safetensors")));
    let done = bench.convert(&["out.safetensors.index.json", "-o", "one.safetensors"]);
    assert_eq!(done.status.code(), Some(0), "{}", says(&done));
    assert_eq!(bench.read("one.safetensors"), given);
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let bench = Bench::new();
    bench.tensors("a.safetensors", WRAPPED);
    for name in ["x.safetensors", "y.safetensors"] {
        assert_eq!(bench.convert(&["a.safetensors", "-o", name]).status.code(), Some(0));
    }
    assert_eq!(fs::read(bench.path("x.safetensors")).unwrap(), fs::read(bench.path("y.safetensors")).unwrap());
}

/// A safetensors file with one tensor of so many bytes, which is a hole.
fn hole(path: &Path, bytes: u64) {
    let header = format!("{{\"w\":{{\"dtype\":\"F32\",\"shape\":[{}],\"data_offsets\":[0,{bytes}]}}}}", bytes / 4);
    let header = format!("{header:width$}", width = header.len().next_multiple_of(8));
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend_from_slice(header.as_bytes());
    fs::write(path, &file).expect("it is written");
    let file_len = file.len() as u64 + bytes;
    fs::File::options().write(true).open(path).and_then(|f| f.set_len(file_len)).expect("it grows");
}

#[cfg(unix)]
#[test]
fn a_run_that_is_killed_leaves_the_file_as_it_was() {
    let bench = Bench::new();
    hole(&bench.path("large.safetensors"), 1 << 30);
    fs::write(bench.path("out.safetensors"), b"before").expect("it is written");
    // Another dtype: the values go through memory, which takes long enough to be interrupted.
    let mut run = Command::new(env!("CARGO_BIN_EXE_ckdiff"))
        .args(["convert", "-q", "large.safetensors", "-o", "out.safetensors", "--force", "--dtype", "f64"])
        .current_dir(bench.folder.path())
        .spawn()
        .expect("ckdiff starts");
    let part = bench.path(&format!("out.safetensors.{}.part", run.id()));
    let begun = std::time::Instant::now();
    while !fs::metadata(&part).is_ok_and(|m| m.len() > 4096) && begun.elapsed().as_secs() < 60 {
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    run.kill().expect("it runs");
    run.wait().expect("it ends");
    assert!(part.exists(), "it was killed while it wrote");
    assert_eq!(fs::read(bench.path("out.safetensors")).expect("it is there"), b"before");
    // The next run says what is left, and is not kept by it.
    bench.tensors("small.safetensors", WRAPPED);
    let done = bench.convert(&["small.safetensors", "-o", "out.safetensors", "--force"]);
    assert!(done.status.success() && says(&done).contains(".part"), "{}", says(&done));
}

#[cfg(unix)]
#[test]
fn a_disk_without_room_is_told_and_nothing_is_lost() {
    let bench = Bench::new();
    hole(&bench.path("large.safetensors"), 8 << 20);
    fs::write(bench.path("out.safetensors"), b"before").expect("it is written");
    for dtype in [None, Some("f16")] {
        // No file may grow beyond 512 blocks: the nearest to a full disk that needs no privileges.
        let more = dtype.map_or(String::new(), |d| format!("--dtype {d}"));
        let line = format!(
            "trap '' XFSZ; ulimit -f 512; exec \"$0\" convert large.safetensors -o out.safetensors --force {more}"
        );
        let done = Command::new("sh")
            .args(["-c", &line, env!("CARGO_BIN_EXE_ckdiff")])
            .current_dir(bench.folder.path())
            .output()
            .expect("a shell starts");
        assert_eq!(done.status.code(), Some(2), "{}", says(&done));
        assert!(says(&done).contains("larger than the system allows"), "{}", says(&done));
        assert_eq!(fs::read(bench.path("out.safetensors")).expect("it is there"), b"before");
        assert_eq!(bench.names(), ["large.safetensors", "out.safetensors"], "nothing is left behind");
    }
}
