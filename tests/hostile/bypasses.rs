//! What other readers were fooled by, and where CPython, PyTorch and a list of opcodes part ways. Each was tried against the real ones:
//! what Python would ask for must be named.

use crate::harness::{Folder, Outcome, inspect};
use crate::malicious_pickle::{asked, asks};
use crate::torch_files::*;

asked! {
    imap_of_python_2_is_map: "itertools" "imap";
    intern_of_python_2_is_in_sys: "__builtin__" "intern";
    a_module_of_tkinter_by_its_old_name: "tkFileDialog" "Open";
    a_predicate_is_called: "itertools" "takewhile";
    a_context_runs_a_function: "contextvars" "Context.run";
    copy_reconstructs_by_a_function: "copy" "_reconstruct";
    an_item_is_set_by_a_function: "operator" "setitem";
    attributes_are_set_by_update_wrapper: "functools" "update_wrapper";
    popen_before_subprocess_is_there: "_bootsubprocess" "Popen";
    builtins_under_the_name_of_an_attribute: "__builtins__" "eval";
    the_windows_management_interface: "_wmi" "exec_query";
    time_zones_from_a_file: "zoneinfo" "ZoneInfo.from_file";
    an_array_reads_a_file: "array" "array.fromfile";
    exec_of_six: "six" "exec_";
    execfile_of_past: "past.builtins" "execfile";
    attr_compiles_methods: "attr" "make_class";
    decorator_compiles_a_function: "decorator" "FunctionMaker.create";
    ply_reads_tables: "ply.yacc" "yacc";
    a_class_that_imports_by_text: "pydantic.utils" "import_string";
    an_entry_point_is_loaded: "importlib_metadata" "EntryPoint.load";
    joblib_runs_functions: "joblib.parallel" "Parallel";
    tensorflow_writes_a_file: "tensorflow.raw_ops" "WriteFile";
    opencv_writes_a_picture: "cv2" "imwrite";
    a_database_is_asked: "mysql.connector" "connect";
    timm_fetches_a_model: "timm" "create_model";
    torch_traces_a_module: "torch.fx" "symbolic_trace";
    torch_maps_a_function: "torch" "vmap";
    spacy_runs_a_command: "spacy.util" "run_command";
    an_array_writes_itself: "numpy" "chararray.tofile";
    a_module_that_is_a_file_somewhere: "uploads/model" "Net";
}

impl Outcome {
    /// Asserts that nobody would take the file for harmless, and that the import is named where it was refused.
    fn refused_for(&self, global: &str) {
        assert_eq!(self.code, 2, "was read: {self:?}");
        assert!(self.err.contains("CK501") && self.err.contains(global), "{}", self.err);
    }
}

fn bare(opcodes: &[u8]) -> Outcome {
    inspect("model.pkl", [b"\x80\x04".as_slice(), opcodes, b"."].concat())
}

/// A pickle that is nothing but the payload.
fn evil() -> Vec<u8> {
    [b"\x80\x02".as_slice(), &system(), b"."].concat()
}

// Where Python goes on and a stricter reader stops.

#[test]
fn ints_in_every_spelling_that_python_takes() {
    for int in
        ["I0x10\n", "I0o17\n", "I0b1\n", "I1_000\n", "I 7\n", "I7 \n", "L0x1FL\n", "L1_0\n", "I010\n", "L-0X_fL\n"]
    {
        bare(&[int.as_bytes(), b"0", &system()].concat()).dangerous("posix.system");
    }
    for int in ["I1__0\n", "I0x\n", "I_1\n", "I1_\n", "I--1\n", "L\n"] {
        let found = bare(&[int.as_bytes(), b"0N"].concat());
        assert_eq!(found.code, 2, "{int:?}: {found:?}");
    }
}

#[test]
fn memo_numbers_with_underscores() {
    bare(&[b"Np1_0\n0g10\n0".as_slice(), &system()].concat()).dangerous("posix.system");
}

#[test]
fn batches_without_items_into_what_is_no_container() {
    for batch in [b"N(e".as_slice(), b"N(u", b"N(\x90", b"K\x01(u", b")(e"] {
        bare(&[batch, b"0", &system()].concat()).dangerous("posix.system");
    }
}

#[test]
fn items_put_by_their_place() {
    for items in [b"](K\x01K\x02eK\x00N".as_slice(), b"](K\x01K\x02e\x88N", b"\x96\x01\0\0\0\0\0\0\0aK\x00K\x01"] {
        bare(&[items, b"s0", &system()].concat()).dangerous("posix.system");
    }
    bare(&[b"](K\x01e(K\x00Nu0".as_slice(), &system()].concat()).dangerous("posix.system");
}

#[test]
fn bytes_appended_to_a_bytearray() {
    bare(&[b"\x96\x01\0\0\0\0\0\0\0aK\x62a0".as_slice(), &system()].concat()).dangerous("posix.system");
}

#[test]
fn a_state_that_is_none_fits_everything() {
    for value in [b"K\x01Nb".as_slice(), b"NNb", b")Nb", b"NNN\x86b", b"X\x01\0\0\0aN}\x86b"] {
        bare(&[value, b"0", &system()].concat()).dangerous("posix.system");
    }
}

#[test]
fn a_named_tuple_as_the_arguments() {
    let arguments = [global("time", "struct_time"), b"(NNNNNNNNNt\x85R".to_vec()].concat();
    let first = [global("some.module", "f"), arguments, b"R0".to_vec()].concat();
    bare(&[first, system()].concat()).dangerous("posix.system");
}

#[test]
fn a_name_longer_than_a_page() {
    let dotted = format!("serialization.{}os.system", "os.path.".repeat(300));
    let found = bare(&[global("torch", &dotted), tuple(&[text(MARK)]), b"R".to_vec()].concat());
    assert!(found.said().contains("CK501"), "{}", found.said());
    let found = bare(&[global("torch", &"a".repeat(5000)), b"0".to_vec(), system()].concat());
    found.dangerous("posix.system");
}

// Frames: from where one ends inside an opcode, Python's readers disagree.

#[test]
fn a_frame_that_ends_inside_an_opcode() {
    let body = [b"B\x07\x01\0\0".as_slice(), &[0; 0x107], b"."].concat();
    let torn = [b"\x80\x05\x95".as_slice(), &2u64.to_le_bytes(), &body].concat();
    let found = inspect("torn.pkl", torn);
    assert_eq!((found.code, &found.json["complete"]), (1, &serde_json::json!(false)));
    assert!(found.said().contains("CK503"), "{}", found.said());
}

#[test]
fn a_frame_within_a_frame() {
    let inner = [b"N0\x95".as_slice(), &2u64.to_le_bytes(), b"N."].concat();
    let pickle = [b"\x80\x05\x95".as_slice(), &30u64.to_le_bytes(), &inner, &[b'N'; 30]].concat();
    let found = inspect("torn.pkl", pickle);
    assert!(found.code == 1 && found.said().contains("CK503"), "{found:?}");
}

#[test]
fn frames_as_python_writes_them_are_whole() {
    // Two frames, and bytes that are too long for one between them.
    let long = [b"B".as_slice(), &100_000u32.to_le_bytes(), &vec![7; 100_000], b"\x94"].concat();
    let frame = |body: &[u8]| [b"\x95".as_slice(), &(body.len() as u64).to_le_bytes(), body].concat();
    let pickle = [b"\x80\x05".to_vec(), frame(b"(K\x01"), long, frame(b"K\x02t.")].concat();
    inspect("whole.pkl", pickle).sound(&[]);
}

// Methods of harmless objects, called by harmless functions.

/// `PosixPath('CKDIFF_PWNED').touch`, not called.
fn touch() -> Vec<u8> {
    call("builtins", "getattr", &[call("pathlib", "PosixPath", &[text("CKDIFF_PWNED")]), text("touch")])
}

#[test]
fn a_method_as_the_factory_of_a_defaultdict() {
    let getter = call("operator", "itemgetter", &[text("k")]);
    let value = [getter, tuple(&[call("collections", "defaultdict", &[touch()])]), b"R".to_vec()].concat();
    asks(&value, "collections.defaultdict");
}

#[test]
fn a_method_that_numpy_calls() {
    asks(
        &call("numpy.random._pickle", "__generator_ctor", &[text("x"), touch()]),
        "numpy.random._pickle.__generator_ctor",
    );
}

#[test]
fn a_method_in_place_of_a_rebuild_function() {
    let value =
        call("torch._tensor", "_rebuild_from_type_v2", &[touch(), global("torch", "Tensor"), tuple(&[]), b"N".into()]);
    bare(&value).dangerous("torch._tensor._rebuild_from_type_v2");
}

#[test]
fn a_partial_of_a_method_that_is_called() {
    asks(&[call("functools", "partial", &[touch()]), b")R".to_vec()].concat(), "builtins.getattr");
    let twice = call("functools", "partial", &[call("functools", "partial", &[touch()])]);
    asks(&[twice, b")R".to_vec()].concat(), "builtins.getattr");
}

#[test]
fn a_partial_whose_function_is_swapped_by_its_state() {
    let partial = call("functools", "partial", &[global("builtins", "print")]);
    let state = [tuple(&[touch(), b")".to_vec(), b"N".to_vec(), b"N".to_vec()]), b"b)R".to_vec()].concat();
    asks(&[partial, state].concat(), "builtins.getattr");
}

#[test]
fn a_partial_of_a_method_that_nobody_calls_is_harmless() {
    let layer = [global("torch.nn.modules.linear", "Linear"), b")\x81}b".to_vec()].concat();
    let method = call("builtins", "getattr", &[layer, text("forward")]);
    let value = call("functools", "partial", &[method]);
    inspect("model.pth", checkpoint(&dict(&[("w", four("0")), ("x", value)]))).harmless();
}

// Pickles where nobody looks.

#[test]
fn a_payload_behind_noise() {
    for noise in
        [b"\xff\xfe\xfd".as_slice(), b"hello world\n", b"\n", &[0; 5000], &[b' '; 5000], b"\x80\x02\xff\x80\x04\x01"]
    {
        let found = inspect("model.pkl", [b"\x80\x02}.", noise, &evil()].concat());
        found.dangerous("posix.system");
        assert!(found.said().contains("CK505"), "{}", found.said());
    }
    let text = format!("\x07\x07cposix\nsystem\n(S'{MARK}'\ntR.");
    inspect("model.pkl", [b"\x80\x02}.", text.as_bytes()].concat()).dangerous("posix.system");
}

#[test]
fn a_payload_behind_a_thousand_pickles() {
    inspect("model.pkl", [b"\x80\x02}.".repeat(1100), evil()].concat()).dangerous("posix.system");
}

#[test]
fn a_million_beginnings_of_pickles_behind_a_pickle_cost_no_more_than_their_length() {
    let found = inspect("model.pkl", [b"\x80\x02}.\xff".to_vec(), b"\x80\x02".repeat(500_000)].concat());
    assert_eq!(found.json["complete"], false, "{}", found.said());
}

#[test]
fn words_behind_a_pickle_are_no_payload() {
    let found = inspect("model.pkl", b"\x80\x02}.checkpoint\nof\nmonday\nclass Net(Module):\n    pass\n");
    assert_eq!((found.code, found.json["imports"].as_array().map(Vec::len)), (1, Some(0)), "{found:?}");
    assert!(found.said().contains("CK067"), "{}", found.said());
    inspect("model.pkl", [b"\x80\x02}.".as_slice(), &[0; 9000], b"\r\n"].concat()).sound(&[]);
}

fn beside(name: &str, content: impl Into<Vec<u8>>) -> Outcome {
    let mut all = members(&dict(&[("w", four("0"))]));
    all.push(Member::new(name, content));
    inspect("model.pth", zip(&all, End::default()))
}

#[test]
fn a_checkpoint_within_a_checkpoint() {
    let inner = checkpoint(&dict(&[("x", system())]));
    let found = beside("archive/extra/adapter.pth", inner.clone());
    found.dangerous("posix.system");
    assert_eq!(found.tensors(), ["w"]);
    let twice = zip(&[Member::new("a.zip", zip(&[Member::new("b.pth", inner)], End::default()))], End::default());
    beside("archive/notes", twice).dangerous("posix.system");
}

#[test]
fn a_legacy_stream_within_a_checkpoint() {
    beside("archive/extra/old.bin", legacy(&dict(&[("x", system())]))).dangerous("posix.system");
}

#[test]
fn a_second_pickle_within_a_hidden_one() {
    beside("archive/extra/state", [b"\x80\x02}.".to_vec(), evil()].concat()).dangerous("posix.system");
}

#[test]
fn a_pickle_named_as_code_or_as_a_constant() {
    for name in ["archive/code/__torch__/net.py", "archive/constants/0"] {
        beside(name, evil()).dangerous("posix.system");
    }
    let source = "class Net(Module):\n  __parameters__ = []\n  def forward(self):\n    return self\n";
    beside("archive/code/__torch__/net.py", source).sound(&["w"]);
}

#[test]
fn a_folder_with_content() {
    beside("archive/data.pkl/", evil()).dangerous("posix.system");
}

/// What gzip writes around deflated bytes: a header of ten bytes, and a checksum that nobody looks at.
fn gzip(bytes: &[u8]) -> Vec<u8> {
    [b"\x1f\x8b\x08\0\0\0\0\0\0\xff".to_vec(), miniz_oxide::deflate::compress_to_vec(bytes, 6), vec![0; 8]].concat()
}

#[test]
fn a_pickle_that_is_compressed_once_more() {
    beside("archive/extra/state.gz", gzip(&evil())).dangerous("posix.system");
    beside("archive/extra/state.z", miniz_oxide::deflate::compress_to_vec_zlib(&evil(), 6)).dangerous("posix.system");
    inspect("model.pkl.gz", gzip(&evil())).refused_for("posix.system");
    inspect("model.joblib", miniz_oxide::deflate::compress_to_vec_zlib(&evil(), 6)).refused_for("posix.system");
    inspect("model.pth.gz", gzip(&checkpoint(&dict(&[("x", system())])))).refused_for("posix.system");
}

#[test]
fn gigabytes_of_zeros_within_gzip_are_not_all_unpacked() {
    let zeros = miniz_oxide::deflate::compress_to_vec(&vec![0; 64 << 20], 9);
    let found = inspect("model.pkl.gz", [b"\x1f\x8b\x08\0\0\0\0\0\0\xff".to_vec(), zeros].concat());
    found.refused("gzip");
}

/// A `.npy` of objects.
fn objects(descr: &str) -> Vec<u8> {
    let header = format!("{{'descr': {descr}, 'fortran_order': False, 'shape': (1,), }}\n");
    [b"\x93NUMPY\x01\x00".as_slice(), &(header.len() as u16).to_le_bytes(), header.as_bytes(), &evil()].concat()
}

#[test]
fn arrays_of_objects_are_looked_into() {
    for descr in ["'|O'", "'O'", "[('a', '<f4'), ('b', '|O')]"] {
        inspect("x.npy", objects(descr)).refused_for("posix.system");
        inspect("x.npz", zip(&[Member::new("a.npy", objects(descr)).deflated()], End::default()))
            .refused_for("posix.system");
        beside("archive/extra/x.npy", objects(descr)).dangerous("posix.system");
    }
}

#[test]
fn pickles_in_archives_of_other_programs() {
    let members = [Member::new("model/config.json", "{}"), Member::new("model/weights.xyz", evil())];
    inspect("model.zip", zip(&members, End::default())).refused_for("posix.system");
    let mut tar = vec![0; 512];
    tar[..18].copy_from_slice(b"model_weights.ckpt");
    tar[124..135].copy_from_slice(format!("{:011o}", evil().len()).as_bytes());
    tar[257..262].copy_from_slice(b"ustar");
    tar.extend(evil());
    tar.resize(2048, 0);
    inspect("model.nemo", tar).refused_for("posix.system");
}

#[test]
fn archives_that_multiply_within_each_other() {
    let mut inner = evil();
    for _ in 0..12 {
        let first = Member::new("0", inner);
        let others =
            (1..200).map(|i| Member { shares: Some(0), ..Member { name: i.to_string().into(), ..first.clone() } });
        inner = zip(&[vec![first.clone()], others.collect()].concat(), End::default());
    }
    let found = beside("archive/extra/many.zip", inner);
    assert!(found.code != 0, "{found:?}");
}

// Zip: the end record.

#[test]
fn a_comment_that_is_shorter_than_it_says() {
    let mut bytes = checkpoint(&dict(&[("w", four("0")), ("x", system())]));
    let at = bytes.len() - 2;
    bytes[at..].copy_from_slice(&100u16.to_le_bytes());
    let found = inspect("model.pth", bytes);
    found.dangerous("posix.system");
    assert!(found.said().contains("a comment of 100 bytes"), "{}", found.said());
}

/// Two archives in one: the end record of 32 bits leads to the first directory, the one of 64 bits to the second.
fn two_ends(narrow: &[u8], wide: &[u8], gap: usize) -> Vec<u8> {
    let (first, second) = (checkpoint(narrow), checkpoint(wide));
    // Bodies and directories without their end records; offsets of the second archive count from its own start.
    let body = |bytes: &[u8]| bytes[..bytes.len() - 22].to_vec();
    let start_of =
        |bytes: &[u8]| u32::from_le_bytes(bytes[bytes.len() - 6..bytes.len() - 2].try_into().unwrap()) as usize;
    let (one, two) = (body(&first), body(&second));
    let mut out = one.clone();
    out.extend(&two[..start_of(&second)]);
    let directory = out.len();
    let mut entries = two[start_of(&second)..].to_vec();
    let mut at = 0;
    while at < entries.len() {
        let header = u32::from_le_bytes(entries[at + 42..at + 46].try_into().unwrap()) + one.len() as u32;
        entries[at + 42..at + 46].copy_from_slice(&header.to_le_bytes());
        at += 46 + usize::from(u16::from_le_bytes(entries[at + 28..at + 30].try_into().unwrap()));
    }
    out.extend(&entries);
    let record = out.len() as u64;
    out.extend(b"PK\x06\x06");
    out.extend(44u64.to_le_bytes());
    out.extend([45, 0, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    for number in [4, 4, entries.len() as u64, directory as u64] {
        out.extend(number.to_le_bytes());
    }
    out.extend(vec![0; gap]);
    out.extend(b"PK\x06\x07\0\0\0\0");
    out.extend(record.to_le_bytes());
    out.extend(1u32.to_le_bytes());
    out.extend(&first[first.len() - 22..]);
    out
}

#[test]
fn two_end_records_that_lead_to_different_directories() {
    let calm = dict(&[("w", four("0"))]);
    let evil = dict(&[("w", four("0")), ("x", system())]);
    for gap in [0, 10] {
        let found = inspect("model.pth", two_ends(&calm, &evil, gap));
        assert!(found.said().contains("two end records"), "{}", found.said());
        assert_eq!(found.code, 1);
        if gap == 0 {
            found.dangerous("posix.system");
        }
        assert_eq!(inspect("model.pth", two_ends(&evil, &calm, gap)).code, 1);
    }
}

// What is shown.

#[test]
fn characters_without_a_shape_are_written_out_in_every_form() {
    let hidden =
        ['\u{ad}', '\u{61c}', '\u{115f}', '\u{3164}', '\u{fe0f}', '\u{180e}', '\u{202e}', '\u{200b}', '\u{e0041}'];
    let key: String = hidden.iter().map(|c| format!("layer.{c}x")).collect();
    let folder = Folder::new()
        .put("a.pth", checkpoint(&dict(&[(&key, four("0")), ("x", call(&format!("m{key}"), "f", &[]))])))
        .put("b.json", r#"{"other": [4]}"#);
    for form in ["text", "json", "sarif", "github", "html"] {
        for arguments in [vec!["inspect", "a.pth", "--format", form], vec!["a.pth", "b.json", "--format", form]] {
            let found = folder.run(&arguments);
            let seen = hidden.iter().find(|&&c| found.out.contains(c) || found.err.contains(c));
            assert_eq!(seen, None, "{arguments:?}");
        }
    }
}

// What the program is told by.

#[test]
#[cfg(unix)]
fn pipes_and_devices_as_a_configuration() {
    let folder = Folder::new().put("a.json", r#"{"a": [1]}"#).put("rules/wrappers/ok.txt", "");
    let pipe = |name: &str| std::process::Command::new("mkfifo").arg(folder.path(name)).status().expect("mkfifo runs");
    assert!(pipe("ckdiff.toml").success() && pipe("rules/wrappers/a.toml").success());
    for arguments in
        [vec!["check"], vec!["check", "--config", "/dev/zero"], vec!["--rules", "rules", "a.json", "a.json"]]
    {
        let found = folder.run(&arguments);
        assert_eq!(found.code, 2, "{arguments:?}: {found:?}");
        let named = found.err.contains("not a regular file") || found.err.contains("no ckdiff.toml here");
        assert!(named, "{arguments:?}: {}", found.err);
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_log_without_an_end() {
    let found = Folder::new().run(&["explain", "/dev/zero"]);
    assert_eq!(found.code, 2, "{found:?}");
}
