//! Less known ways to run something: functions that few lists name, and forms of files that readers see differently. Wanted: each is
//! named as dangerous, or at least never called clean.

use crate::harness::{Folder, Outcome, inspect};
use crate::malicious_pickle::{asked, asks};
use crate::torch_files::*;

asked! {
    apply_of_python_2: "__builtin__" "apply";
    map_drives_a_function: "builtins" "map";
    builtins_vars: "builtins" "vars";
    subclasses_of_object: "builtins" "object.__subclasses__";
    globals_of_a_function_by_dots: "collections" "OrderedDict.__init__.__globals__";
    a_module_under_its_private_name: "random" "_os.system";
    the_import_system_itself: "_frozen_importlib" "_load";
    a_loader_of_source_files: "_frozen_importlib_external" "SourceFileLoader";
    a_loader_of_libraries: "_imp" "create_dynamic";
    imp_of_python_2: "imp" "load_source";
    zipimport_loads_a_module: "zipimport" "zipimporter.load_module";
    pkgutil_resolves_a_name: "pkgutil" "resolve_name";
    another_interpreter: "_interpreters" "run_string";
    another_interpreter_of_python_3_12: "_xxsubinterpreters" "run_string";
    the_dispatch_table_of_copyreg: "copyreg" "dispatch_table";
    extensions_of_python_2: "copy_reg" "add_extension";
    types_new_class_runs_its_body: "types" "new_class";
    a_forward_reference_is_evaluated: "typing" "ForwardRef._evaluate";
    annotations_are_evaluated: "annotationlib" "ForwardRef.evaluate";
    dataclasses_compile_text: "dataclasses" "_create_fn";
    gettext_compiles_plural_forms: "gettext" "c2py";
    argparse_opens_a_file: "argparse" "FileType";
    frames_of_the_caller: "inspect" "currentframe";
    bdb_runs_text: "bdb" "Bdb.run";
    trace_runs_text: "trace" "Trace.run";
    profile_runs_text: "profile" "Profile.runctx";
    test_support_runs_python: "test.support.script_helper" "assert_python_ok";
    idlelib_evaluates: "idlelib.calltip" "get_entity";
    idlelib_completes: "idlelib.autocomplete" "AutoComplete.fetch_completions";
    osx_support_reads_a_command: "_osx_support" "_read_output";
    aix_support_reads_a_command: "_aix_support" "_read_cmd_output";
    the_pager_of_pyrepl: "_pyrepl.pager" "pipe_pager";
    uuid_asks_a_program: "uuid" "_ifconfig_getnode";
    venv_creates_a_folder: "venv" "create";
    pipes_of_python_2: "pipes" "Template";
    popen2_of_python_2: "popen2" "popen3";
    user_of_python_2: "user" "home";
    new_function_of_python_2: "new" "function";
    rexec_of_python_2: "rexec" "RExec";
    tkinter_runs_tcl: "tkinter" "Tcl";
    mailbox_opens_files: "mailbox" "mbox";
    xml_fetches_entities: "xml.sax" "parse";
    an_http_server: "http.server" "HTTPServer";
    mail_is_sent: "smtplib" "SMTP.sendmail";
    ssl_connects: "ssl" "get_server_certificate";
    asyncio_starts_a_shell: "asyncio.subprocess" "create_subprocess_shell";
    pool_of_processes: "concurrent.futures.process" "ProcessPoolExecutor";
    semaphores_by_name: "_multiprocessing" "SemLock";
    shared_memory_by_name: "_posixshmem" "shm_open";
    a_module_of_the_c_layer: "_ctypes" "dlopen";
    a_terminal_is_changed: "termios" "tcsetattr";
    utf_7_hides_a_name: "_codecs" "utf_7_decode";
    hex_hides_a_layer: "encodings.hex_codec" "hex_decode";
    uu_hides_a_layer: "binascii" "a2b_uu";
    a_codec_by_name: "codecs" "getdecoder";
    numpy_reads_a_file_by_its_c_name: "numpy._core._multiarray_umath" "fromfile";
    numpy_calls_back_when_it_prints: "numpy.core.arrayprint" "set_string_function";
    numpy_compiles_fortran: "numpy.f2py" "compile";
    numpy_opens_a_memory_map: "numpy.lib.format" "open_memmap";
    torch_maps_a_file: "torch.storage" "UntypedStorage.from_file";
    torch_loads_a_library: "torch._ops" "_Ops.load_library";
    torch_imports_an_archive: "torch._C" "import_ir_module_from_buffer";
    torch_imports_by_text: "torch._dynamo.utils" "import_submodule";
    torch_evaluates_shapes: "torch.fx.experimental.symbolic_shapes" "ShapeEnv.evaluate_guards_expression";
    torch_evaluates_annotations: "torch.jit.annotations" "parse_type_line";
    torch_unpickles_a_tensor: "torch.distributed.distributed_c10d" "_tensor_to_object";
    torch_generates_inputs: "torch.utils.bundled_inputs" "augment_model_with_bundled_inputs";
    torch_times_statements: "torch.utils.benchmark" "Timer";
    torch_compiles_a_kernel: "torch.cuda._utils" "_nvrtc_compile";
    torch_runs_a_launcher: "torch.backends.xeon.run_cpu" "main";
    torch_hooks_every_module: "torch.nn.modules.module" "register_module_forward_hook";
    torch_registers_a_restorer: "torch.serialization" "register_package";
    torch_applies_a_function: "torch" "Tensor.apply_";
    transformers_imports_remote_code: "transformers.dynamic_module_utils" "get_class_from_dynamic_module";
    any_class_from_pretrained: "some.model" "Model.from_pretrained";
    hydra_instantiates: "hydra.utils" "instantiate";
    mmengine_runs_a_config: "mmengine.config" "Config.fromfile";
    detectron2_runs_a_config: "detectron2.config.lazy" "LazyConfig.load";
    yacs_runs_a_config: "yacs.config" "load_cfg";
    keras_lambda: "keras.src.layers.core.lambda_layer" "Lambda";
    keras_loads_a_function: "keras.utils.generic_utils" "func_load";
    sympy_compiles_text: "sympy.utilities.lambdify" "lambdify";
    pandas_evaluates: "pandas.core.frame" "DataFrame.eval";
    pandas_unpickles: "pandas.io.pickle" "read_pickle";
    joblib_loads: "joblib" "load";
    cloudpickle_within_joblib: "joblib.externals.cloudpickle.cloudpickle" "subimport";
    numba_unpickles: "numba.core.serialize" "_unpickle__CustomPickled";
    pillow_evaluates: "PIL.ImageMath" "unsafe_eval";
    twisted_imports_by_name: "twisted.python.reflect" "namedAny";
    gevent_starts_a_program: "gevent.subprocess" "Popen";
    git_runs_a_program: "git.cmd" "Git";
    a_debugger_listens: "debugpy" "listen";
}

impl Outcome {
    /// Asserts that nobody who reads this would take the file for harmless.
    fn never_clean(&self) {
        let complete = self.json["complete"] != false;
        assert!(self.code != 0, "called clean{}: {self:?}", if complete { "" } else { " though it is not complete" });
    }
}

#[test]
fn a_function_of_hundreds_of_parts_costs_no_more_than_its_length() {
    let name = "a.".repeat(480) + "system";
    let many: Vec<u8> = (0..2000).flat_map(|i| [global(&format!("m{i}"), &name), b"0".to_vec()].concat()).collect();
    inspect("dots.pkl", [b"\x80\x02".as_slice(), &many, &system(), b"."].concat()).dangerous("posix.system");
}

#[test]
fn getattr_of_a_private_module() {
    let os = call("builtins", "getattr", &[global("torch", "storage"), text("_os")]);
    asks(&call("builtins", "getattr", &[os, text("system")]), "torch.storage._os.system");
}

#[test]
fn getattr_of_the_dunders_of_a_class() {
    let init = call("builtins", "getattr", &[global("torch", "Tensor"), text("__init__")]);
    let globals = call("builtins", "getattr", &[init, text("__globals__")]);
    let item = [call("operator", "itemgetter", &[text("os")]), tuple(&[globals]), b"R".to_vec()].concat();
    asks(&item, "builtins.getattr");
}

#[test]
fn reduce_over_getattr() {
    let getattr = global("builtins", "getattr");
    let steps = [b"](".to_vec(), global("torch", "serialization"), text("os"), text("system"), b"e".to_vec()].concat();
    asks(&call("functools", "reduce", &[getattr, steps]), "functools.reduce");
}

#[test]
fn a_list_drives_map_over_exec() {
    let lines = [b"](".to_vec(), text("open('CKDIFF_PWNED', 'w')"), b"e".to_vec()].concat();
    let mapped = call("builtins", "map", &[global("builtins", "exec"), lines]);
    asks(&call("builtins", "list", &[mapped]), "builtins.exec");
}

#[test]
fn setitem_into_the_loaded_modules() {
    let modules = global("sys", "modules");
    let value = [modules, text("torch"), call("types", "ModuleType", &[text("x")]), b"s".to_vec()].concat();
    asks(&value, "sys.modules");
}

#[test]
fn setitem_into_the_dispatch_table() {
    let value = [global("copyreg", "dispatch_table"), global("builtins", "int"), global("os", "system"), b"s".to_vec()]
        .concat();
    asks(&value, "os.system");
}

#[test]
fn build_with_slots_on_a_class() {
    let slots = [b"}".to_vec(), text("__setstate__"), global("os", "system"), b"s".to_vec()].concat();
    let state = [b"N".to_vec(), slots, b"\x86".to_vec()].concat();
    asks(&[global("argparse", "Namespace"), state, b"b".to_vec()].concat(), "os.system");
}

#[test]
fn build_makes_a_harmless_class_obey() {
    // `Namespace.__setstate__ = exec`, then a BUILD with text.
    let state = [b"}".to_vec(), text("__setstate__"), global("builtins", "exec"), b"s".to_vec()].concat();
    let class = [global("argparse", "Namespace"), state, b"b0".to_vec()].concat();
    let use_it = [global("argparse", "Namespace"), b")\x81".to_vec(), text(MARK), b"b".to_vec()].concat();
    asks(&[class, use_it].concat(), "builtins.exec");
}

#[test]
fn extension_codes_of_two_and_four_bytes() {
    for (code, opcode) in [(700, b"\x83\xbc\x02".as_slice()), (70_000, b"\x84\x70\x11\x01\x00")] {
        let register = call("copyreg", "add_extension", &[text("posix"), text("system"), int(code)]);
        asks(&[register, b"0".to_vec(), opcode.to_vec(), tuple(&[text(MARK)]), b"R".to_vec()].concat(), "posix.system");
    }
}

#[test]
fn obj_whose_class_comes_from_the_memo() {
    let value = [global("posix", "system"), b"q\x070(h\x07".to_vec(), text(MARK), b"o".to_vec()].concat();
    asks(&value, "posix.system");
}

#[test]
fn a_global_that_is_kept_and_called_much_later() {
    let filler: Vec<u8> = (0..5000).flat_map(|_| b"K\x010".to_vec()).collect();
    let value = [
        global("posix", "system"),
        b"q\x07".to_vec(),
        b"0".to_vec(),
        filler,
        b"h\x07".to_vec(),
        tuple(&[text(MARK)]),
        b"R".to_vec(),
    ];
    asks(&value.concat(), "posix.system");
}

#[test]
fn memo_numbers_in_decimal_with_zeros_before_them() {
    let value = b"Vposix\np007\n0Vsystem\np8\n0g7\ng008\n\x93".to_vec();
    asks(&[value, tuple(&[text(MARK)]), b"R".to_vec()].concat(), "posix.system");
}

#[test]
fn dup_of_a_function() {
    asks(
        &[
            global("posix", "system"),
            b"2".to_vec(),
            tuple(&[text(MARK)]),
            b"R0".to_vec(),
            tuple(&[text(MARK)]),
            b"R".to_vec(),
        ]
        .concat(),
        "posix.system",
    );
}

#[test]
fn pop_mark_throws_the_result_away() {
    asks(&[b"(".to_vec(), system(), b"1N".to_vec()].concat(), "posix.system");
}

#[test]
fn a_payload_among_the_keys_of_a_dict() {
    asks(&[b"}".to_vec(), system(), b"Ns".to_vec()].concat(), "posix.system");
}

#[test]
fn a_payload_in_a_frozenset() {
    asks(&[b"(".to_vec(), system(), b"\x91".to_vec()].concat(), "posix.system");
}

#[test]
fn a_payload_behind_an_out_of_band_buffer() {
    let pickle = [b"\x80\x05\x970".as_slice(), &system(), b"."].concat();
    inspect("buffer.pkl", pickle).never_clean();
    let before = [b"\x80\x05".as_slice(), &system(), b"0\x97."].concat();
    inspect("buffer.pkl", before).dangerous("posix.system");
}

#[test]
fn frames_that_lie_about_their_length() {
    for length in [0u64, 1, 4, 1 << 40, u64::MAX] {
        let pickle = [b"\x80\x04\x95".as_slice(), &length.to_le_bytes(), &system(), b"."].concat();
        inspect("frame.pkl", pickle).never_clean();
    }
}

#[test]
fn a_payload_behind_a_protocol_that_does_not_exist() {
    for protocol in [6u8, 0x7f, 0xff] {
        inspect("p.pkl", [b"\x80".as_slice(), &[protocol], &system(), b"."].concat()).never_clean();
    }
}

#[test]
fn a_payload_behind_a_protocol_that_is_declared_twice() {
    let pickle = [b"\x80\x02\x80\x04".as_slice(), &system(), b"."].concat();
    inspect("p.pkl", pickle).dangerous("posix.system");
}

#[test]
fn carriage_returns_in_the_names_of_protocol_0() {
    let found = inspect("crlf.pkl", format!("cposix\r\nsystem\r\n(S'{MARK}'\r\ntR."));
    assert!(found.code != 0 || found.said().contains("CK502"), "{found:?}");
}

#[test]
fn nested_three_containers_deep() {
    let bare = [b"\x80\x02".as_slice(), &system(), b"."].concat();
    let wrapped = |inner: &[u8]| {
        let bytes = [b"B".as_slice(), &(inner.len() as u32).to_le_bytes(), inner].concat();
        dict(&[("x", call("torch.storage", "_load_from_bytes", &[bytes]))])
    };
    let deep = checkpoint(&wrapped(&legacy(&wrapped(&checkpoint(&wrapped(&bare))))));
    inspect("deep.pth", deep).dangerous("posix.system");
}

#[test]
fn load_from_bytes_of_a_bytearray() {
    let inner = legacy(&dict(&[("x", system())]));
    let bytes = [b"\x96".as_slice(), &(inner.len() as u64).to_le_bytes(), &inner].concat();
    let value = call("torch.storage", "_load_from_bytes", &[bytes]);
    inspect("b.pkl", [b"\x80\x05".to_vec(), value, b".".to_vec()].concat()).dangerous("posix.system");
}

#[test]
fn load_from_bytes_of_what_cannot_be_seen() {
    let hidden = call("builtins", "bytes.fromhex", &[text("80022e")]);
    asks(&call("torch.storage", "_load_from_bytes", &[hidden]), "builtins.bytes.fromhex");
    let unseen = call("some.module", "secret", &[]);
    inspect(
        "b.pkl",
        [b"\x80\x02".to_vec(), call("torch.storage", "_load_from_bytes", &[unseen]), b".".to_vec()].concat(),
    )
    .never_clean();
}

/// A `.npy` of objects: a header, and a pickle in place of the data.
fn array_of_objects() -> Vec<u8> {
    let mut header = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }".to_vec();
    header.resize(117, b' ');
    header.push(b'\n');
    let pickle = [b"\x80\x02".as_slice(), &system(), b"."].concat();
    [b"\x93NUMPY\x01\x00".as_slice(), &(header.len() as u16).to_le_bytes(), &header, &pickle].concat()
}

#[test]
fn an_array_of_objects_in_a_npy() {
    inspect("x.npy", array_of_objects()).never_clean();
}

#[test]
fn an_array_of_objects_in_a_npz() {
    let members = [Member::new("arr_0.npy", array_of_objects())];
    inspect("x.npz", zip(&members, End::default())).never_clean();
    inspect("x.pth", zip(&members, End::default())).never_clean();
}

#[test]
fn a_pickle_compressed_by_joblib() {
    let pickle = [b"\x80\x02".as_slice(), &system(), b"."].concat();
    let packed = miniz_oxide::deflate::compress_to_vec_zlib(&pickle, 3);
    inspect("model.joblib", &packed).never_clean();
    inspect("model.pkl", packed).never_clean();
}

#[test]
fn payloads_in_every_member_of_the_tar_container() {
    let bare = [b"\x80\x02".as_slice(), &system(), b"."].concat();
    let calm = b"\x80\x02}.".to_vec();
    for evil in ["sys_info", "pickle", "storages", "tensors"] {
        let mut tar = Vec::new();
        for name in ["sys_info", "pickle", "storages", "tensors"] {
            let content = if name == evil { &bare } else { &calm };
            let mut header = vec![0; 512];
            header[..name.len()].copy_from_slice(name.as_bytes());
            header[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
            header[156] = b'0';
            header[257..262].copy_from_slice(b"ustar");
            tar.extend(header);
            tar.extend(content);
            tar.resize(tar.len().next_multiple_of(512), 0);
        }
        tar.resize(tar.len() + 1024, 0);
        let found = inspect("model.pt", tar);
        found.never_clean();
        if evil != "tensors" {
            found.dangerous("posix.system");
        }
    }
}

#[test]
fn payloads_in_the_other_pickles_of_torchscript() {
    let bare = [b"\x80\x02".as_slice(), &system(), b"."].concat();
    for name in [
        "constants.pkl",
        "bytecode.pkl",
        "traced_inputs.pkl",
        "mobile_debug_handles.pkl",
        "code/__torch__/net.py.debug_pkl",
        "extra/info.json",
        ".data/version",
    ] {
        let mut all = members(&dict(&[("w", four("0"))]));
        if name != "constants.pkl" {
            all.push(Member::new("archive/constants.pkl", b"\x80\x02).".as_slice()));
        }
        all.push(Member::new(&format!("archive/{name}"), bare.clone()));
        inspect("script.pt", zip(&all, End::default())).dangerous("posix.system");
    }
}

#[test]
fn an_archive_within_the_comment_of_another() {
    // Whoever looks for the first end record reads the one archive, whoever looks for the last reads the other.
    let calm = checkpoint(&dict(&[("w", four("0"))]));
    let evil = checkpoint(&dict(&[("w", four("0")), ("x", system())]));
    for (first, second) in [(&calm, &evil), (&evil, &calm)] {
        let mut both = first.clone();
        let at = both.len() - 2;
        both[at..].copy_from_slice(&(second.len() as u16).to_le_bytes());
        both.extend(second);
        inspect("model.pth", both).never_clean();
    }
}

#[test]
fn a_directory_that_leads_to_the_other_pickle() {
    let mut all = members(&dict(&[("w", four("0"))]));
    let evil = dict(&[("w", four("0")), ("x", system())]);
    // The directory calls it a note; its local header says data.pkl.
    let mut hidden = Member::new("archive/data.pkl", evil);
    hidden.name = b"archive/note.txt".to_vec();
    all.push(hidden);
    inspect("model.pth", zip(&all, End::default())).dangerous("posix.system");
}

#[test]
fn a_member_that_no_directory_lists() {
    let hidden = Member::new("archive/data.pkl", dict(&[("x", system())]));
    let alone = zip(&[hidden], End::default());
    let local = &alone[..alone.len() - 22 - 46 - b"archive/data.pkl".len()];
    let calm = checkpoint(&dict(&[("w", four("0"))]));
    // In front of all members: the directory's offsets still count from where its own first one stands.
    inspect("model.pth", [local, &calm].concat()).never_clean();
}

#[test]
fn flags_that_say_the_names_are_masked() {
    for flags in [1u16, 0x40, 0x2000, 0x2041] {
        let mut all = members(&dict(&[("w", four("0")), ("x", system())]));
        all[0].flags = flags;
        inspect("model.pth", zip(&all, End::default())).never_clean();
    }
}

#[test]
fn sharded_files_hide_the_payload_in_the_last_shard() {
    let index = r#"{"weight_map": {"a": "model-00001-of-00002.bin", "b": "model-00002-of-00002.bin"}}"#;
    let found = Folder::new()
        .put("m/pytorch_model.bin.index.json", index)
        .put("m/model-00001-of-00002.bin", checkpoint(&dict(&[("a", four("0"))])))
        .put("m/model-00002-of-00002.bin", checkpoint(&dict(&[("b", four("0")), ("x", system())])))
        .inspect("m");
    found.dangerous("posix.system");
}

#[test]
fn the_same_import_in_two_places_keeps_the_worse_verdict() {
    let harmless = call("builtins", "getattr", &[call("torch.nn.modules.linear", "Linear", &[]), text("forward")]);
    let harmful = call("builtins", "getattr", &[global("torch", "serialization"), text("os")]);
    asks(&[harmless, b"0".to_vec(), harmful].concat(), "torch.serialization.os");
}
