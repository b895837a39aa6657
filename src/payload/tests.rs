use super::*;
use crate::checkpoint::{Format, Placement, Shape};
use proptest::prelude::*;

/// A checkpoint of one I16 tensor that counts up, in a file of its own.
fn counting(shape: &[u64]) -> (tempfile::TempDir, Checkpoint) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("counting.bin");
    let count = shape.iter().product::<u64>();
    let bytes: Vec<u8> = (0..count as i16).flat_map(i16::to_le_bytes).collect();
    std::fs::write(&path, &bytes).unwrap();
    let mut c = Checkpoint::new(path, Format::Safetensors);
    let (start, coding) = (Some(0), Coding::Plain);
    c.storages.push(Storage { file: 0, name: "".into(), start, bytes: bytes.len() as u64, coding });
    c.tensors.push(TensorInfo {
        path: "t".into(),
        container: 0,
        dtype: Some(Dtype::I16),
        shape: Some(Shape(shape.into())),
        role: Default::default(),
        placement: Some(Placement { storage: 0, offset: 0, strides: None }),
    });
    (folder, c)
}

fn numbers(tensor: &Tensor) -> Vec<i16> {
    tensor.read_all().unwrap().chunks(2).map(|b| i16::from_le_bytes([b[0], b[1]])).collect()
}

/// What a naive loop finds at each index of a permuted, then narrowed tensor.
fn naive(shape: &[u64; 3], order: &[usize; 3], dim: usize, from: u64, len: u64) -> Vec<i16> {
    let steps = [shape[1] * shape[2], shape[2], 1];
    let mut sizes: Vec<(u64, u64)> = order.iter().map(|&d| (0, shape[d])).collect();
    sizes[dim] = (from, from + len);
    let mut out = Vec::new();
    for a in sizes[0].0..sizes[0].1 {
        for b in sizes[1].0..sizes[1].1 {
            for c in sizes[2].0..sizes[2].1 {
                out.push((a * steps[order[0]] + b * steps[order[1]] + c * steps[order[2]]) as i16);
            }
        }
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_permuted_and_cut_tensor_has_the_elements_that_a_plain_loop_finds(
        shape in [1u64..6, 1u64..6, 1u64..6],
        order in Just([0usize, 1, 2]).prop_shuffle(),
        dim in 0usize..3,
        cut in (0u64..6, 0u64..6),
    ) {
        let (_folder, c) = counting(&shape);
        let tensor = Payload::new(&c).tensor(&c.tensors[0]).unwrap().permute(&order).unwrap();
        let size = tensor.shape()[dim];
        let (from, len) = (cut.0.min(size), cut.1.min(size - cut.0.min(size)));
        let cut = tensor.narrow(dim, from, len).unwrap();
        let expected = naive(&shape, &order, dim, from, len);
        prop_assert_eq!(cut.len(), expected.len() as u64 * 2);
        prop_assert_eq!(numbers(&cut), expected.clone());
        prop_assert!(tensor.narrow(dim, from, size - from + 1).is_none());
        // Flat where it can be had without copying, and then the same.
        if let Some(flat) = cut.reshape(&[expected.len() as u64]) {
            prop_assert_eq!(numbers(&flat), expected);
        }
    }
}

#[test]
fn a_transposed_matrix_can_be_cut_into_heads_without_copying() {
    let (_folder, c) = counting(&[12, 5]);
    let tensor = Payload::new(&c).tensor(&c.tensors[0]).unwrap().permute(&[1, 0]).unwrap();
    let heads = tensor.reshape(&[5, 3, 4]).unwrap();
    assert_eq!(heads.read_all(), tensor.read_all());
    assert!(tensor.reshape(&[60]).is_none());
    assert!(tensor.reshape(&[5, 13]).is_none());
    assert!(tensor.permute(&[0, 0]).is_none());
}

#[test]
fn a_view_beyond_its_storage_is_refused() {
    let (_folder, mut c) = counting(&[4, 4]);
    c.tensors[0].placement = Some(Placement { storage: 0, offset: 1, strides: None });
    let error = Payload::new(&c).tensor(&c.tensors[0]).unwrap_err();
    assert!(error.what.contains("it reaches to byte 34 of a storage of 32"), "{error}");
}

#[test]
fn what_repeats_a_few_bytes_to_more_than_memory_is_refused() {
    let (_folder, mut c) = counting(&[4]);
    c.tensors[0].shape = Some(Shape::from([1 << 20, 1 << 20]));
    c.tensors[0].placement = Some(Placement { storage: 0, offset: 0, strides: Some(Box::new([0, 0])) });
    let error = Payload::new(&c).tensor(&c.tensors[0]).unwrap_err();
    assert!(error.what.contains("it repeats 2 bytes"), "{error}");
}
