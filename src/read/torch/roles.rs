//! Which globals this reader understands, by number, so that a call costs no look at names.

use crate::checkpoint::Dtype;

macro_rules! roles {
    ($($role:ident $($name:literal)+;)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u16)]
        /// A function whose result this reader makes.
        pub(super) enum Call { Unknown = 0, $($role,)* }

        /// The call that a global by this name is.
        pub(super) fn call_of(name: &str) -> Call {
            match name { $($($name)|+ => Call::$role,)* _ => Call::Unknown }
        }

        /// The call behind a role.
        pub(super) fn from(number: u16) -> Call {
            $(if number == Call::$role as u16 { return Call::$role; })*
            Call::Unknown
        }
    };
}

roles! {
    TensorV2 "torch._utils._rebuild_tensor_v2" "torch._utils._rebuild_tensor";
    TensorV3 "torch._utils._rebuild_tensor_v3";
    Parameter "torch._utils._rebuild_parameter" "torch._utils._rebuild_parameter_with_state" "torch.nn.parameter.Parameter" "torch.nn.Parameter";
    Lazy "torch.nn.parameter.UninitializedParameter" "torch.nn.parameter.UninitializedBuffer";
    Buffer "torch.nn.parameter.Buffer" "torch.nn.Buffer";
    Variable "torch.autograd.variable.Variable" "torch.autograd.Variable" "torch.Tensor" "torch._tensor.Tensor" "torch.tensor.Tensor";
    Quantized "torch._utils._rebuild_qtensor";
    Sparse "torch._utils._rebuild_sparse_tensor" "torch._utils._rebuild_sparse_csr_tensor";
    NestedTensor "torch._utils._rebuild_nested_tensor";
    Jagged "torch.nested._internal.nested_tensor._rebuild_njt";
    Meta "torch._utils._rebuild_meta_tensor_no_storage";
    Wrapper "torch._utils._rebuild_wrapper_subclass";
    FromType "torch._tensor._rebuild_from_type" "torch._tensor._rebuild_from_type_v2" "torch.tensor._rebuild_from_type"
        "torch.tensor._rebuild_from_type_v2" "torch._utils._rebuild_from_type_v2";
    FromArray "torch._utils._rebuild_device_tensor_from_numpy" "torch._utils._rebuild_xla_tensor"
        "torch._utils._rebuild_mlc_tensor" "torch._utils._rebuild_device_tensor_from_cpu_tensor";
    FirstArgument "torch.jit._pickle.build_intlist" "torch.jit._pickle.build_tensorlist" "torch.jit._pickle.build_doublelist"
        "torch.jit._pickle.build_boollist" "torch.jit._pickle.restore_type_tag";
    LoadBytes "torch.storage._load_from_bytes";
    LoadPickle "pickle.loads" "_pickle.loads" "cPickle.loads" "pickle._loads" "dill.loads" "dill._dill.loads" "cloudpickle.loads"
        "joblib.load" "torch.load" "torch.serialization.load" "pickle.load" "_pickle.load" "cPickle.load" "pickle._load"
        "marshal.loads";
    Reconstruct "numpy.core.multiarray._reconstruct" "numpy._core.multiarray._reconstruct" "numpy.ma.core._mareconstruct";
    FromBuffer "numpy.core.numeric._frombuffer" "numpy._core.numeric._frombuffer";
    NumpyDtype "numpy.dtype";
}

/// The rebuild function behind a role.
pub(super) fn tensor_call(role: u16) -> Option<Call> {
    Some(from(role)).filter(|&call| call != Call::Unknown)
}

/// Marks roles that are a storage class; the rest is an index into [`Dtype::ALL`], or [`UNTYPED`].
pub(super) const STORAGE: u16 = 0x1000;
/// Marks roles that are a dtype object.
pub(super) const DTYPE: u16 = 0x2000;
/// Marks roles of unknown functions that rebuild tensors.
pub(super) const FUTURE: u16 = 0x3000;
/// A storage class without a dtype.
pub(super) const UNTYPED: u16 = 0x00ff;

/// The dtype of a storage class, `torch.FloatStorage` → F32; `Some(None)` where it has none.
pub(super) fn storage_class(name: &str) -> Option<Option<Dtype>> {
    let last = name.strip_prefix("torch.")?.rsplit('.').next()?;
    let kind = last.strip_suffix("Storage").or_else(|| last.strip_suffix("Tensor"))?;
    Some(Some(match kind {
        "Double" => Dtype::F64,
        "Float" => Dtype::F32,
        "Half" => Dtype::F16,
        "BFloat16" => Dtype::BF16,
        "Long" => Dtype::I64,
        "Int" => Dtype::I32,
        "Short" => Dtype::I16,
        "Char" => Dtype::I8,
        "Byte" => Dtype::U8,
        "Bool" => Dtype::Bool,
        "ComplexFloat" => Dtype::C64,
        "ComplexDouble" => Dtype::C128,
        "QInt8" => Dtype::QInt8,
        "QUInt8" => Dtype::QUInt8,
        "QInt32" => Dtype::QInt32,
        "QUInt4x2" => Dtype::QUInt4x2,
        "QUInt2x4" => Dtype::QUInt2x4,
        "Untyped" | "_Untyped" if last.ends_with("Storage") => return Some(None),
        _ => return None,
    }))
}

/// The number of a dtype within a role.
pub(super) fn number_of(dtype: Dtype) -> u16 {
    Dtype::ALL.iter().position(|&d| d == dtype).unwrap_or(0) as u16
}

/// The dtype within a role.
pub(super) fn dtype_of(role: u16) -> Option<Dtype> {
    Dtype::ALL.get(usize::from(role & 0xff)).copied()
}
