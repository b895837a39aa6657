//! Pickles that would run code. Wanted: the dangerous import is named, the harmless tensors are still listed, nothing runs.

use crate::harness::{Folder, Outcome, inspect};
use crate::torch_files::*;

/// A checkpoint with a sound tensor `w` and `value` beside it, in each container; `global` must be named in all of them.
pub(crate) fn asks(value: &[u8], wanted: &str) {
    let object = dict(&[("w", four("0")), ("x", value.to_vec())]);
    for (name, bytes) in [("model.pth", checkpoint(&object)), ("legacy.pth", legacy(&object))] {
        let found = inspect(name, bytes);
        found.dangerous(wanted);
        assert_eq!(found.tensors(), ["w"], "{name}");
    }
    inspect("model.pkl", dict(&[("x", value.to_vec())])).dangerous(wanted);
}

impl Outcome {
    /// Asserts that the import is listed as dangerous and that a CK501 says so.
    pub(crate) fn dangerous(&self, global: &str) {
        assert_eq!(self.code, 1, "{self:?}");
        assert!(self.said().contains("CK501"), "{}", self.said());
        let imports = self.json["imports"].as_array().expect("a list of imports");
        let found = imports.iter().any(|i| i["global"] == global && i["verdict"] == "dangerous");
        assert!(found, "{global} is not among {imports:?}");
    }

    /// Asserts that no import is called dangerous.
    pub(crate) fn harmless(&self) {
        let imports = self.json["imports"].as_array().expect("a list of imports");
        assert!(imports.iter().all(|i| i["verdict"] != "dangerous"), "{imports:?}");
        assert!(!self.said().contains("CK501"), "{}", self.said());
    }
}

macro_rules! asked {
    ($($test:ident: $module:literal $name:literal;)*) => { $(
        #[test]
        fn $test() {
            asks(&call($module, $name, &[text(MARK)]), concat!($module, ".", $name));
        }
    )* };
}
pub(crate) use asked;

asked! {
    posix_system: "posix" "system";
    nt_system_the_windows_name: "nt" "system";
    os_popen: "os" "popen";
    os_in_capitals: "OS" "System";
    exec: "builtins" "exec";
    eval_under_its_python_2_name: "__builtin__" "eval";
    execfile_of_python_2: "__builtin__" "execfile";
    compile: "builtins" "compile";
    open: "builtins" "open";
    io_open: "io" "open";
    breakpoint: "builtins" "breakpoint";
    subprocess_popen: "subprocess" "Popen";
    subprocess_check_output: "subprocess" "check_output";
    commands_of_python_2: "commands" "getoutput";
    pip_main: "pip" "main";
    pip_in_a_submodule: "pip._internal.cli.main" "main";
    torchs_own_exec: "torch.jit.unsupported_tensor_ops" "execWrapper";
    torch_hub_load: "torch.hub" "load";
    torch_load_of_another_file: "torch" "load";
    torch_save_writes_a_file: "torch" "save";
    torch_save_by_its_module: "torch.serialization" "save";
    torch_compiles_an_extension: "torch.utils.cpp_extension" "load_inline";
    torch_fx_runs_its_generated_code: "torch.fx.graph_module" "reduce_graph_module";
    torch_inductor_compiles_a_file: "torch._inductor.codecache" "compile_file";
    dotted_through_a_module_of_torch: "torch.serialization" "os.system";
    dotted_through_a_known_class: "torch.nn.modules.module" "functools.sys.modules";
    dotted_method_of_a_path: "pathlib" "Path.write_text";
    timeit: "timeit" "timeit";
    pdb_run: "pdb" "run";
    pydoc_pipepager: "pydoc" "pipepager";
    numpy_runstring: "numpy.testing._private.utils" "runstring";
    numpy_f2py: "numpy.f2py.crackfortran" "myeval";
    numpy_load: "numpy" "load";
    marshal_loads: "marshal" "loads";
    code_object: "types" "CodeType";
    function_object: "types" "FunctionType";
    asyncio_in_a_submodule: "asyncio.unix_events" "_UnixSubprocessTransport._start";
    urlopen: "urllib.request" "urlopen";
    urllib2_of_python_2: "urllib2" "urlopen";
    requests_get: "requests.api" "get";
    socket_connection: "socket" "create_connection";
    webbrowser_open: "webbrowser" "open";
    sqlite_creates_a_file: "sqlite3" "connect";
    shutil_rmtree: "shutil" "rmtree";
    sys_exit: "sys" "exit";
    runpy_run_path: "runpy" "run_path";
    ctypes_loads_a_library: "ctypes" "CDLL";
    importlib: "importlib" "import_module";
    cloudpickle_makes_a_function: "cloudpickle.cloudpickle" "_make_function";
    dill_makes_a_function: "dill._dill" "_create_function";
    attrgetter: "operator" "attrgetter";
    methodcaller: "operator" "methodcaller";
    reduce_over_functions: "functools" "reduce";
    idlelib: "idlelib.pyshell" "ModifiedInterpreter.runcommand";
    lib2to3: "lib2to3.pgen2.grammar" "Grammar.loadgrammar";
    profile_run: "cProfile" "run";
    doctest_debug: "doctest" "debug_script";
    code_interactive: "code" "InteractiveInterpreter.runcode";
    uuid_runs_a_command: "uuid" "_get_command_stdout";
    logging_config_listens: "logging.config" "listen";
    multiprocessing_spawns: "multiprocessing.util" "spawnv_passfds";
    pty_spawn: "pty" "spawn";
    base64_hides_a_layer: "base64" "b64decode";
    zlib_hides_a_layer: "zlib" "decompress";
    ensurepip: "ensurepip" "_run_pip";
    collect_env_runs_a_command: "torch.utils.collect_env" "run";
    distutils_writes_a_file: "distutils.file_util" "write_file";
    setattr_of_python_2: "__builtin__" "setattr";
}

#[test]
fn getattr_of_an_imported_module() {
    let os = call("builtins", "__import__", &[text("os")]);
    let method = call("builtins", "getattr", &[os, text("system")]);
    let value = [method, tuple(&[text(MARK)]), b"R".to_vec()].concat();
    asks(&value, "os.system");
    asks(&value, "builtins.__import__");
}

#[test]
fn getattr_through_a_module_of_torch() {
    let os = call("builtins", "getattr", &[global("torch", "serialization"), text("os")]);
    let method = call("builtins", "getattr", &[os, text("system")]);
    asks(&[method, tuple(&[text(MARK)]), b"R".to_vec()].concat(), "torch.serialization.os.system");
}

#[test]
fn getattr_of_a_dunder_of_an_object() {
    let path = call("pathlib", "PosixPath", &[text("x")]);
    let init = call("builtins", "getattr", &[path, text("__init__")]);
    asks(&call("builtins", "getattr", &[init, text("__globals__")]), "builtins.getattr");
}

#[test]
fn a_method_of_a_harmless_object_is_called() {
    let path = call("pathlib", "PosixPath", &[text("CKDIFF_PWNED")]);
    let touch = call("builtins", "getattr", &[path, text("touch")]);
    asks(&[touch, b")R".to_vec()].concat(), "builtins.getattr");
}

#[test]
fn partial_of_os_system() {
    let partial = call("functools", "partial", &[global("os", "system"), text(MARK)]);
    asks(&[partial, b")R".to_vec()].concat(), "os.system");
}

#[test]
fn pickle_loads_of_nested_bytes() {
    let inner = [b"\x80\x02".as_slice(), &system(), b"."].concat();
    let bytes = [b"C".as_slice(), &[inner.len() as u8], &inner].concat();
    asks(&call("pickle", "loads", std::slice::from_ref(&bytes)), "posix.system");
    asks(&call("_pickle", "loads", &[bytes]), "posix.system");
}

#[test]
fn load_from_bytes_of_a_nested_legacy_stream() {
    let inner = legacy(&dict(&[("x", system())]));
    let bytes = [b"B".as_slice(), &(inner.len() as u32).to_le_bytes(), &inner].concat();
    asks(&call("torch.storage", "_load_from_bytes", &[bytes]), "posix.system");
}

#[test]
fn load_from_bytes_of_a_nested_zip() {
    let inner = checkpoint(&dict(&[("x", system())]));
    let bytes = [b"B".as_slice(), &(inner.len() as u32).to_le_bytes(), &inner].concat();
    asks(&call("torch.storage", "_load_from_bytes", &[bytes]), "posix.system");
}

#[test]
fn nested_bytes_that_are_encoded_as_text() {
    let inner = [b"\x80\x02".as_slice(), &system(), b"."].concat();
    let latin1: String = inner.iter().map(|&b| char::from(b)).collect();
    let bytes = call("_codecs", "encode", &[text(&latin1), text("latin1")]);
    asks(&call("torch.storage", "_load_from_bytes", &[bytes]), "posix.system");
}

#[test]
fn nested_pickles_ten_deep_are_never_called_clean() {
    let mut inner = [b"\x80\x02".as_slice(), &system(), b"."].concat();
    for _ in 0..10 {
        let bytes = [b"B".as_slice(), &(inner.len() as u32).to_le_bytes(), &inner].concat();
        inner = [b"\x80\x02".as_slice(), &call("torch.storage", "_load_from_bytes", &[bytes]), b"."].concat();
    }
    let found = inspect("deep.pkl", inner);
    assert_eq!(found.code, 1);
    assert!(found.said().contains("CK503"), "{}", found.said());
}

#[test]
fn stack_global_whose_names_come_from_the_memo() {
    let value = [
        b"\x8c\x05posix\x94\x8c\x06system\x940".as_slice(), // memoized, one popped again
        b"0h\x00h\x01\x93",
        &tuple(&[text(MARK)]),
        b"R",
    ]
    .concat();
    let pickle = [b"\x80\x04".as_slice(), &value, b"."].concat();
    inspect("memo.pkl", pickle).dangerous("posix.system");
}

#[test]
fn a_memo_slot_that_is_overwritten() {
    let value = [
        text("collections"),
        b"q\x05".to_vec(),
        b"0".to_vec(),
        text("posix"),
        b"q\x05".to_vec(),
        b"0h\x05".to_vec(),
        text("system"),
        b"\x93".to_vec(),
        tuple(&[text(MARK)]),
        b"R".to_vec(),
    ];
    asks(&value.concat(), "posix.system");
}

#[test]
fn memoize_after_far_memo_numbers_counts_as_python_does() {
    // Two entries, one of them far away: MEMOIZE takes number 2.
    let value = [
        text("x"),
        b"r\xff\xff\xff\x00".to_vec(),
        b"0".to_vec(),
        text("posix"),
        b"q\x01".to_vec(),
        b"0".to_vec(),
        text("posix"),
        b"\x940".to_vec(),
        b"h\x02".to_vec(),
        text("system"),
        b"\x93".to_vec(),
        tuple(&[text(MARK)]),
        b"R".to_vec(),
    ];
    inspect("memo.pkl", [b"\x80\x04".to_vec(), value.concat(), b".".to_vec()].concat()).dangerous("posix.system");
}

#[test]
fn stack_global_fed_by_unicode_opcodes_with_escapes() {
    let value = [b"Vp\\u006fsix\nVsyst\\u0065m\n\x93".as_slice(), &tuple(&[text(MARK)]), b"R"].concat();
    asks(&value, "posix.system");
}

#[test]
fn stack_global_fed_by_strings_of_python_2() {
    let value = [b"S'po\\x73ix'\nU\x06system\x93".as_slice(), &tuple(&[text(MARK)]), b"R"].concat();
    asks(&value, "posix.system");
}

#[test]
fn inst_of_protocol_0() {
    asks(format!("(S'{MARK}'\niposix\nsystem\n").as_bytes(), "posix.system");
}

#[test]
fn obj_of_protocol_1() {
    asks(&[b"(".to_vec(), global("posix", "system"), text(MARK), b"o".to_vec()].concat(), "posix.system");
}

#[test]
fn newobj_of_a_class_that_starts_programs() {
    asks(&[global("subprocess", "Popen"), tuple(&[text(MARK)]), b"\x81".to_vec()].concat(), "subprocess.Popen");
}

#[test]
fn newobj_ex_with_keywords() {
    let value = [global("subprocess", "Popen"), b")}".to_vec(), text("args"), text(MARK), b"s\x92".to_vec()].concat();
    asks(&value, "subprocess.Popen");
}

#[test]
fn reconstructor_of_popen() {
    let base = global("builtins", "object");
    asks(
        &call("copy_reg", "_reconstructor", &[global("subprocess", "Popen"), base, b"N".to_vec()]),
        "subprocess.Popen",
    );
}

#[test]
fn an_extension_code_that_the_pickle_registers_itself() {
    let register = call("copyreg", "add_extension", &[text("posix"), text("system"), int(77)]);
    let value = [register, b"0\x82\x4d".to_vec(), tuple(&[text(MARK)]), b"R".to_vec()].concat();
    asks(&value, "posix.system");
    asks(&value, "copyreg.add_extension");
}

#[test]
fn an_extension_code_of_somebody_else_is_not_known() {
    let found = inspect("ext.pkl", b"\x80\x02\x82\x4d)R.");
    assert!(found.said().contains("CK502"), "{}", found.said());
    assert_eq!(found.json["imports"][0]["verdict"], "unknown");
}

#[test]
fn a_call_while_the_persistent_id_is_built() {
    let items = [system(), global("torch", "FloatStorage"), text("0"), text("cpu"), long(4)];
    let storage = [tuple(&items), b"Q".to_vec()].concat();
    let object = dict(&[("w", tensor(&storage, int(0), tuple(&[int(4)]), tuple(&[int(1)])))]);
    inspect("model.pth", checkpoint(&object)).dangerous("posix.system");
}

#[test]
fn a_rebuild_function_that_is_os_system() {
    let value = call(
        "torch._tensor",
        "_rebuild_from_type_v2",
        &[global("os", "system"), global("torch", "Tensor"), tuple(&[text(MARK)]), b"N".to_vec()],
    );
    asks(&value, "os.system");
}

#[test]
fn build_swaps_a_function_of_a_module() {
    let state = [b"}".to_vec(), text("load"), global("os", "system"), b"s".to_vec()].concat();
    asks(&[global("torch", "serialization"), state, b"b".to_vec()].concat(), "os.system");
}

#[test]
fn dangerous_words_within_text_are_harmless() {
    let object = dict(&[("w", four("0")), ("note", text("cos\nsystem\n(S'x'\ntR. builtins.eval subprocess"))]);
    let found = inspect("model.pth", checkpoint(&object));
    found.harmless();
    found.sound(&["w"]);
}

#[test]
fn classes_with_dangerous_words_in_their_names_are_harmless() {
    for (module, name) in
        [("osmnx.graph", "Graph"), ("codecarbon", "Tracker"), ("mypkg.pickle_utils", "Eval"), ("systems", "Os")]
    {
        let value = [global(module, name), b")\x81".to_vec()].concat();
        inspect("model.pth", checkpoint(&dict(&[("w", four("0")), ("x", value)]))).harmless();
    }
}

#[test]
fn a_bound_method_as_pytorch_pickles_it_is_harmless() {
    let layer = [global("torch.nn.modules.linear", "Linear"), b")\x81}b".to_vec()].concat();
    let value = call("__builtin__", "getattr", &[layer, text("forward")]);
    inspect("model.pth", checkpoint(&dict(&[("w", four("0")), ("x", value)]))).harmless();
}

#[test]
fn partial_of_a_layer_is_harmless() {
    let value = call("functools", "partial", &[global("torch.nn.modules.normalization", "LayerNorm")]);
    inspect("model.pth", checkpoint(&dict(&[("w", four("0")), ("x", value)]))).harmless();
}

#[test]
fn legacy_with_the_payload_in_its_third_pickle() {
    let third = dict(&[("little_endian", b"\x88".to_vec()), ("x", system())]);
    let object = dict(&[("w", four("0"))]);
    let bytes = [MAGIC, PROTOCOL, &third, &object, &keys(&["0"]), &data(4, 16)].concat();
    let found = inspect("legacy.pth", bytes);
    found.dangerous("posix.system");
    assert_eq!(found.tensors(), ["w"]);
}

#[test]
fn legacy_with_the_payload_in_its_magic_number() {
    let first = [b"\x80\x02".as_slice(), &system(), b"0", &MAGIC[2..]].concat();
    let object = dict(&[("w", four("0"))]);
    let bytes = [&first, PROTOCOL, &system_info(), &object, &keys(&["0"]), &data(4, 16)].concat();
    let found = inspect("legacy.pth", bytes);
    found.dangerous("posix.system");
    assert_eq!(found.tensors(), ["w"]);
}

#[test]
fn legacy_with_the_payload_in_its_list_of_storages() {
    let object = dict(&[("w", four("0"))]);
    let fifth = [b"\x80\x02".as_slice(), &system(), b"0", &keys(&["0"])[2..]].concat();
    inspect("legacy.pth", [MAGIC, PROTOCOL, &system_info(), &object, &fifth, &data(4, 16)].concat())
        .dangerous("posix.system");
}

#[test]
fn a_pickle_named_safetensors() {
    let found = inspect("model.safetensors", [b"\x80\x02".as_slice(), &system(), b"."].concat());
    found.dangerous("posix.system");
    assert!(found.said().contains("CK504"), "{}", found.said());
}

#[test]
fn a_torch_zip_named_safetensors() {
    let object = dict(&[("w", four("0")), ("x", system())]);
    let found = inspect("model.safetensors", checkpoint(&object));
    found.dangerous("posix.system");
    assert!(found.said().contains("CK504"), "{}", found.said());
}

#[test]
fn a_second_pickle_behind_stop() {
    let second = [b"\x80\x02".as_slice(), &system(), b"."].concat();
    let found = inspect("two.pkl", [b"\x80\x02}.".as_slice(), &second].concat());
    found.dangerous("posix.system");
    assert!(found.said().contains("CK505"), "{}", found.said());
}

#[test]
fn a_second_pickle_behind_padding() {
    let second = [b"\x80\x02".as_slice(), &system(), b"."].concat();
    let found = inspect("two.pkl", [b"\x80\x02}.".as_slice(), &[0; 64], &second].concat());
    found.dangerous("posix.system");
}

#[test]
fn a_second_pickle_behind_data_pkl() {
    let pickle = [dict(&[("w", four("0"))]), b"\x80\x02".to_vec(), system(), b".".to_vec()].concat();
    let found = inspect("model.pth", checkpoint(&pickle));
    found.dangerous("posix.system");
    assert_eq!(found.tensors(), ["w"]);
}

#[test]
fn the_stream_breaks_after_the_payload() {
    let object = dict(&[("w", four("0")), ("x", system())]);
    let broken = [&object[..object.len() - 2], b"\xff\xff\xff"].concat();
    for (name, bytes) in [("model.pth", checkpoint(&broken)), ("model.pkl", broken.clone())] {
        let found = inspect(name, bytes);
        found.dangerous("posix.system");
        assert!(found.said().contains("CK503"), "{}", found.said());
        assert_eq!(found.json["complete"], false);
    }
}

#[test]
fn no_stop_after_the_payload() {
    let pickle = [b"\x80\x02".as_slice(), &system()].concat();
    let found = inspect("model.pkl", pickle);
    found.dangerous("posix.system");
    assert!(found.said().contains("CK503"), "{}", found.said());
}

#[test]
fn a_payload_of_protocol_0_without_a_header() {
    inspect("model.pkl", format!("cposix\nsystem\n(S'{MARK}'\ntR.")).dangerous("posix.system");
    inspect("model.bin", format!("(S'{MARK}'\niposix\nsystem\n.")).dangerous("posix.system");
}

#[test]
fn a_hidden_pickle_with_an_odd_suffix_in_the_zip() {
    let hidden = [b"\x80\x04".as_slice(), &system(), b"."].concat();
    for name in ["archive/config.p", "archive/data/notes.txt", "weights.dat", "archive/data/7"] {
        let mut all = members(&dict(&[("w", four("0"))]));
        all.push(Member::new(name, hidden.clone()));
        let found = inspect("model.pth", zip(&all, End::default()));
        found.dangerous("posix.system");
        assert!(found.said().contains("CK505"), "{name}: {}", found.said());
        assert_eq!(found.tensors(), ["w"]);
    }
}

#[test]
fn a_hidden_pickle_of_protocol_0_in_the_zip() {
    let mut all = members(&dict(&[("w", four("0"))]));
    all.push(Member::new("archive/readme", format!("cposix\nsystem\n(S'{MARK}'\ntR.")).deflated());
    inspect("model.pth", zip(&all, End::default())).dangerous("posix.system");
}

#[test]
fn two_members_called_data_pkl() {
    for order in [[0usize, 1], [1, 0]] {
        let clean = Member::new("archive/data.pkl", dict(&[("w", four("0"))]));
        let evil = Member::new("archive/data.pkl", dict(&[("w", four("0")), ("x", system())]));
        let pair = [clean, evil];
        let mut all = vec![pair[order[0]].clone(), pair[order[1]].clone()];
        all.extend(members(&[]).into_iter().skip(1));
        let found = inspect("model.pth", zip(&all, End::default()));
        found.dangerous("posix.system");
        assert!(found.said().contains("CK506"), "{}", found.said());
    }
}

#[test]
fn data_pkl_in_capitals_beside_a_clean_one() {
    let mut all = members(&dict(&[("w", four("0"))]));
    all.push(Member::new("archive/DATA.PKL", dict(&[("x", system())])));
    let found = inspect("model.pth", zip(&all, End::default()));
    found.dangerous("posix.system");
}

#[test]
fn a_dangerous_import_that_comes_after_many_others() {
    let many: Vec<u8> = (0..20_000).flat_map(|i| [global("m", &format!("f{i}")), b"0".to_vec()].concat()).collect();
    let pickle = [b"\x80\x02".as_slice(), &many, &system(), b"."].concat();
    inspect("many.pkl", pickle).dangerous("posix.system");
}

#[test]
fn nothing_of_the_payload_is_printed_back() {
    let folder = Folder::new().put("model.pkl", [b"\x80\x02".as_slice(), &system(), b"."].concat());
    let found = folder.run(&["inspect", "model.pkl"]);
    assert!(!found.out.contains(MARK) && !found.err.contains(MARK), "{found:?}");
}

#[test]
fn terminal_escapes_in_the_name_of_a_global_are_shown_escaped() {
    let pickle = [b"\x80\x02".as_slice(), b"c\x1b[2Jos\nsys\x07tem\n)R."].concat();
    let found = inspect("esc.pkl", pickle);
    assert!(found.said().contains("CK502"), "{}", found.said());
}
