//! Plain pickles written by an independent library come back as what was written.

use std::collections::BTreeMap;

use ckdiff::read::pickle::{Heap, Pickle, Plain, Source, Value, run};
use proptest::prelude::*;
use serde_pickle::{HashableValue, SerOptions};

/// What is written: all that both the writer and the field's plain pickles know.
fn value() -> impl Strategy<Value = serde_pickle::Value> {
    use serde_pickle::Value as V;
    let leaf = prop_oneof![
        Just(V::None),
        any::<bool>().prop_map(V::Bool),
        any::<i64>().prop_map(V::I64),
        (-1e9f64..1e9).prop_map(V::F64),
        ".{0,12}".prop_map(V::String),
        prop::collection::vec(any::<u8>(), 0..12).prop_map(V::Bytes),
    ];
    leaf.prop_recursive(4, 48, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(V::List),
            prop::collection::vec(inner.clone(), 0..4).prop_map(V::Tuple),
            prop::collection::btree_map("[a-z.]{0,8}", inner, 0..6).prop_map(|m| {
                V::Dict(m.into_iter().map(|(k, v)| (HashableValue::String(k), v)).collect::<BTreeMap<_, _>>())
            }),
        ]
    })
}

/// One line for a value, the same for what was written and for what was read.
fn said(value: &serde_pickle::Value) -> String {
    use serde_pickle::Value as V;
    let all = |items: &[V]| items.iter().map(said).collect::<Vec<_>>().join(",");
    match value {
        V::None => "none".into(),
        V::Bool(b) => b.to_string(),
        V::I64(i) => i.to_string(),
        V::F64(f) => format!("{f:e}"),
        V::String(s) => format!("{s:?}"),
        V::Bytes(b) => format!("b{b:?}"),
        V::List(items) => format!("[{}]", all(items)),
        V::Tuple(items) => format!("({})", all(items)),
        V::Dict(map) => {
            let pairs = map.iter().map(|(k, v)| match k {
                HashableValue::String(k) => format!("{k:?}:{}", said(v)),
                other => format!("{other:?}:{}", said(v)),
            });
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(","))
        }
        other => format!("{other:?}"),
    }
}

fn read(heap: &Heap, value: Value) -> String {
    let all = |items: Vec<Value>| items.into_iter().map(|v| read(heap, v)).collect::<Vec<_>>().join(",");
    match value {
        Value::None => "none".into(),
        Value::Bool(b) => b.to_string(),
        Value::Int(i) => i.to_string(),
        Value::Long(span) => {
            let mut bytes = [if heap.bytes(span).last().is_some_and(|b| b & 0x80 != 0) { 0xff } else { 0 }; 8];
            for (to, from) in bytes.iter_mut().zip(heap.bytes(span)) {
                *to = *from;
            }
            i64::from_le_bytes(bytes).to_string()
        }
        Value::Float(f) => format!("{f:e}"),
        Value::Str(span) => format!("{:?}", heap.text(span)),
        Value::Bytes(span) => format!("b{:?}", heap.bytes(span)),
        Value::List(list) => format!("[{}]", all(heap.list(list).collect())),
        Value::Tuple(span) => format!("({})", all(heap.tuple(span).to_vec())),
        Value::Dict(dict) => {
            let pairs = heap.dict(dict).map(|(k, v)| format!("{}:{}", read(heap, k), read(heap, v)));
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(","))
        }
        other => format!("{other:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn plain_values_of_protocols_2_and_3_come_back_as_they_were_written(value in value(), old in any::<bool>()) {
        let options = if old { SerOptions::new().proto_v2() } else { SerOptions::new() };
        let bytes = serde_pickle::value_to_vec(&value, options).expect("plain values can be written");
        let length = bytes.len() as u64;
        let Pickle { heap, root, broken, end, .. } = run(&Source::memory(bytes), 0, &mut Plain);
        prop_assert_eq!(broken, None);
        prop_assert_eq!(end, length);
        prop_assert_eq!(read(&heap, root.expect("STOP leaves a value")), said(&value));
    }
}
