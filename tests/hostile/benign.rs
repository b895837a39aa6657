//! What ordinary checkpoints hold beside their weights, written byte by byte. Wanted: nothing is called dangerous, what is well known is
//! called so, and classes of others are shown as unknown, which is what they are. Some two hundred files that the real libraries write are
//! looked at in `tests/interop/benign.py`.

use crate::harness::inspect;
use crate::torch_files::*;

/// A checkpoint with a sound tensor and `value` beside it, in both containers: read without an error, and every import as given.
fn holds(value: &[u8], imports: &[(&str, &str)]) {
    let object = dict(&[("w", four("0")), ("x", value.to_vec())]);
    for (name, bytes) in [("model.pth", checkpoint(&object)), ("legacy.pth", legacy(&object))] {
        let found = inspect(name, bytes);
        found.harmless();
        found.sound(&["w"]);
        assert_eq!(found.json["complete"], true, "{}", found.said());
        for (global, verdict) in imports {
            let all = found.json["imports"].as_array().expect("a list of imports");
            let is = all.iter().find(|i| i["global"] == *global).map(|i| i["verdict"].as_str().unwrap_or_default());
            assert_eq!(is, Some(*verdict), "{global} in {name}");
        }
    }
}

/// An instance as protocol 2 builds it, with these attributes.
fn object(module: &str, class: &str, attributes: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let items: Vec<u8> = attributes.iter().flat_map(|(key, value)| [text(key), value.clone()].concat()).collect();
    [global(module, class), b")\x81}(".to_vec(), items, b"ub".to_vec()].concat()
}

macro_rules! known {
    ($($test:ident: $module:literal $name:literal $($argument:expr),*;)*) => { $(
        #[test]
        fn $test() {
            holds(&call($module, $name, &[$($argument),*]), &[(concat!($module, ".", $name), "known")]);
        }
    )* };
}

macro_rules! unknown {
    ($($test:ident: $module:literal $class:literal;)*) => { $(
        #[test]
        fn $test() {
            holds(&object($module, $class, &[("a", int(1))]), &[(concat!($module, ".", $class), "unknown")]);
        }
    )* };
}

known! {
    an_ordered_dict: "collections" "OrderedDict" ;
    a_counter: "collections" "Counter" b"}".to_vec();
    a_deque: "collections" "deque" b"]".to_vec(), int(20);
    a_defaultdict_of_lists: "collections" "defaultdict" global("builtins", "list");
    a_set_of_python_2: "__builtin__" "set" b"]".to_vec();
    a_complex_number: "builtins" "complex" int(1), int(2);
    a_slice: "builtins" "slice" int(1), int(2), b"N".to_vec();
    a_range_of_python_2: "__builtin__" "xrange" int(1), int(2), int(1);
    a_path: "pathlib" "PosixPath" text("runs"), text("1");
    a_path_of_python_3_13: "pathlib._local" "PosixPath" text("runs");
    a_date: "datetime" "date" b"C\x04\x07\xe8\x01\x02".to_vec();
    a_duration: "datetime" "timedelta" int(1), int(0), int(0);
    a_decimal: "decimal" "Decimal" text("1.5");
    a_device: "torch" "device" text("cuda"), int(1);
    a_size: "torch" "Size" tuple(&[int(1), int(2)]);
    a_dtype_of_numpy: "numpy" "dtype" text("f8"), b"\x89".to_vec(), b"\x88".to_vec();
    a_random_state_of_numpy: "numpy.random._pickle" "__randomstate_ctor" text("MT19937");
    bytes_as_protocol_2_writes_them: "_codecs" "encode" text("x"), text("latin1");
    a_logger: "logging" "getLogger" text("train");
}

unknown! {
    a_whole_yolo: "ultralytics.nn.tasks" "DetectionModel";
    a_whole_yolo_5: "models.yolo" "Model";
    arguments_of_the_trainer: "transformers.training_args" "TrainingArguments";
    a_dict_of_omegaconf: "omegaconf.dictconfig" "DictConfig";
    a_dict_of_lightning: "pytorch_lightning.utilities.parsing" "AttributeDict";
    a_node_of_yacs: "yacs.config" "CfgNode";
    a_history_of_mmengine: "mmengine.logging.history_buffer" "HistoryBuffer";
    a_dictionary_of_fairseq: "fairseq.data.dictionary" "Dictionary";
    a_fragment_of_deepspeed: "deepspeed.utils.tensor_fragment" "fragment_address";
    a_learner_of_fastai: "fastai.learner" "Learner";
    a_forest_of_sklearn: "sklearn.ensemble._forest" "RandomForestClassifier";
    a_module_of_the_author: "__main__" "Net";
    a_frame_of_pandas: "pandas.core.frame" "DataFrame";
    a_module_of_timm: "timm.models.vision_transformer" "VisionTransformer";
}

#[test]
fn an_enum_by_its_value_and_by_its_name() {
    holds(&call("train", "Mode", &[text("eval")]), &[("train.Mode", "unknown")]);
    let by_name = call("builtins", "getattr", &[global("train", "Mode"), text("EVAL")]);
    holds(&by_name, &[("builtins.getattr", "unknown"), ("train.Mode.EVAL", "unknown")]);
}

#[test]
fn a_namespace_of_arguments() {
    holds(&object("argparse", "Namespace", &[("lr", int(1)), ("out", text("x"))]), &[("argparse.Namespace", "known")]);
}

#[test]
fn a_layer_of_torch() {
    let layer = object("torch.nn.modules.conv", "Conv2d", &[("training", b"\x88".to_vec())]);
    holds(&layer, &[("torch.nn.modules.conv.Conv2d", "known")]);
}

#[test]
fn an_activation_by_its_function() {
    holds(&global("torch.nn.functional", "gelu"), &[("torch.nn.functional.gelu", "known")]);
}

#[test]
fn a_partial_as_the_factory_of_a_defaultdict() {
    let partial = call("functools", "partial", &[global("collections", "deque")]);
    let state = [tuple(&[global("collections", "deque"), b")".to_vec(), b"}".to_vec(), b"N".to_vec()]), b"b".to_vec()];
    let value = call("collections", "defaultdict", &[[partial, state.concat()].concat()]);
    holds(&value, &[("collections.defaultdict", "known"), ("functools.partial", "unknown")]);
}

#[test]
fn a_memory_format_as_torch_writes_it() {
    holds(&global("torch._utils", "torch.channels_last"), &[("torch._utils.torch.channels_last", "known")]);
}

#[test]
fn text_that_reads_like_a_payload() {
    holds(&text("cos\nsystem\n(S'x'\ntR. __import__('os').system('x')"), &[]);
}
