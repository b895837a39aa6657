//! The values of one output, into a file: copied in the kernel where they stand as they are wanted, otherwise piece by piece.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use super::ConvertError;
use super::atomic::refused;
use super::cast::{cast, castable, numbers, write_numbers};
use super::made::made;
use super::plan::{Output, Recipe, Step};
use super::resize::Resize;
use crate::checkpoint::{StateDict, quoted};
use crate::payload::{Payload, Tensor};

/// Tensors that are smaller than this are gathered in memory and written together.
const SMALL: u64 = 1 << 18;
/// Bytes that are copied before progress is told.
const STRIDE: u64 = 64 << 20;
/// Bytes of a tensor that are in memory at a time where it is put together of several.
const WINDOW: u64 = 8 << 20;

/// A file that is written from beginning to end.
pub(super) struct Sink<'a> {
    file: &'a File,
    path: PathBuf,
    buffer: Vec<u8>,
    /// What is to be copied next: a range of a file, which may grow.
    waiting: Option<(Tensor, u64)>,
    /// Bytes handed over so far, of all files.
    pub(super) done: u64,
    tell: &'a mut dyn FnMut(u64),
}

impl<'a> Sink<'a> {
    pub(super) fn new(file: &'a File, path: &Path, done: u64, tell: &'a mut dyn FnMut(u64)) -> Sink<'a> {
        Sink { file, path: path.to_owned(), buffer: Vec::new(), waiting: None, done, tell }
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), ConvertError> {
        self.copy_waiting()?;
        self.done += bytes.len() as u64;
        if self.buffer.len() + bytes.len() > 4 * SMALL as usize {
            self.empty()?;
        }
        if bytes.len() as u64 >= SMALL {
            self.file.write_all(bytes).map_err(|e| refused(&e, &self.path))?;
        } else {
            self.buffer.extend_from_slice(bytes);
        }
        (self.tell)(self.done);
        Ok(())
    }

    fn empty(&mut self) -> Result<(), ConvertError> {
        let written = self.file.write_all(&self.buffer).map_err(|e| refused(&e, &self.path));
        self.buffer.clear();
        written
    }

    /// Hands a tensor over that stands in its file as it is wanted. Neighbours are copied at once.
    fn copy(&mut self, tensor: Tensor) -> Result<(), ConvertError> {
        let Some(range) = tensor.range() else { return Ok(()) };
        if let Some((before, len)) = &mut self.waiting
            && let Some(first) = before.range()
            && std::ptr::eq(first.file, range.file)
            && first.start + *len == range.start
        {
            *len += range.len;
            return Ok(());
        }
        self.copy_waiting()?;
        let len = range.len;
        self.waiting = Some((tensor, len));
        Ok(())
    }

    fn copy_waiting(&mut self) -> Result<(), ConvertError> {
        let Some((tensor, len)) = self.waiting.take() else { return Ok(()) };
        let Some(range) = tensor.range() else { return Ok(()) };
        self.empty()?;
        let cannot_read = |e: io::Error| ConvertError::new(format!("cannot be read: {e}"), "").at(range.path);
        let mut from = range.file;
        from.seek(SeekFrom::Start(range.start)).map_err(cannot_read)?;
        let mut left = len;
        while left > 0 {
            let piece = left.min(STRIDE);
            // Between files the kernel copies by itself (`copy_file_range`).
            let copied = io::copy(&mut from.take(piece), &mut &*self.file).map_err(|e| refused(&e, &self.path))?;
            if copied != piece {
                let what = format!("it ends {} bytes before its values do", left - copied);
                return Err(ConvertError::new(what, "it has changed meanwhile; read it again").at(range.path));
            }
            left -= piece;
            self.done += piece;
            (self.tell)(self.done);
        }
        Ok(())
    }

    /// Writes what is still held back.
    pub(super) fn finish(&mut self) -> Result<(), ConvertError> {
        self.copy_waiting()?;
        self.empty()
    }
}

/// A state_dict and access to its values.
pub(super) struct Side<'a> {
    entries: &'a StateDict<'a>,
    payload: Payload<'a>,
}

impl<'a> Side<'a> {
    pub(super) fn new(entries: &'a StateDict<'a>) -> Side<'a> {
        Side { entries, payload: Payload::new(entries.checkpoint) }
    }
}

/// Writes the values of `output`.
pub(super) fn produce(
    output: &Output,
    source: &Side<'_>,
    target: Option<&Side<'_>>,
    sink: &mut Sink<'_>,
) -> Result<(), ConvertError> {
    if !castable(output.given, output.dtype) {
        let what = format!("{} cannot be converted from {} to {}", quoted(&output.key), output.given, output.dtype);
        return Err(ConvertError::new(what, "leave --dtype out"));
    }
    match &output.recipe {
        Recipe::Resize(index, resize) => resized(output, &share(*index, &[], source)?, resize, sink),
        Recipe::Target(index) => {
            let target = target.ok_or_else(|| ConvertError::new("there is no target to take values from", ""))?;
            whole(share(*index, &[], target)?, output, sink)
        }
        Recipe::Made(how) => {
            let bytes = made(*how, output.dtype, &output.shape);
            sink.put(&bytes.ok_or_else(|| ConvertError::new(format!("{} cannot be built", quoted(&output.key)), ""))?)
        }
        Recipe::Join { axis, slice, slices } => {
            let outer: u64 = slice.iter().take(*axis).product();
            for shares in slices {
                let tensors: Vec<Tensor> =
                    shares.iter().map(|s| share(s.source, &s.steps, source)).collect::<Result<_, _>>()?;
                match (tensors.as_slice(), outer) {
                    ([_], _) | (_, 0 | 1) => tensors.into_iter().try_for_each(|t| whole(t, output, sink))?,
                    _ => interleaved(&tensors, outer, output, sink)?,
                }
            }
            Ok(())
        }
    }
}

/// A tensor of the source, or the part of it that is taken.
fn share(index: u32, steps: &[Step], side: &Side<'_>) -> Result<Tensor, ConvertError> {
    let entry =
        side.entries.entries.get(index as usize).ok_or_else(|| ConvertError::new("a tensor that is not there", ""))?;
    let mut tensor = side.payload.tensor(entry.tensor)?;
    for (i, step) in steps.iter().enumerate() {
        let next = match step {
            Step::Slice(at) => {
                let rest = tensor.shape().get(1..).unwrap_or_default().to_vec();
                tensor.narrow(0, *at, 1).and_then(|t| t.reshape(&rest))
            }
            Step::Narrow { axis, from, len } => tensor.narrow(*axis, *from, *len),
            Step::Permute(order) => tensor.permute(order),
            Step::Reshape(shape) => {
                let last = steps.iter().skip(i).all(|s| matches!(s, Step::Reshape(_)));
                match tensor.reshape(shape) {
                    Some(view) => Some(view),
                    // At the end a shape is only a name: the order of the values is the same.
                    None if last => Some(tensor.clone()),
                    None => tensor.gathered()?.reshape(shape),
                }
            }
        };
        tensor = next.ok_or_else(|| {
            let what = format!("{} cannot be cut or turned the way it stands in the file", quoted(entry.key.as_str()));
            ConvertError::new(
                what,
                "write it as it is first (ckdiff convert SOURCE -o COPY.safetensors), then convert the copy",
            )
        })?;
    }
    Ok(tensor)
}

/// One tensor after what was written before.
fn whole(tensor: Tensor, output: &Output, sink: &mut Sink<'_>) -> Result<(), ConvertError> {
    let same = output.given == output.dtype;
    if same && tensor.len() >= SMALL && tensor.range().is_some() {
        return sink.copy(tensor);
    }
    let (mut buffer, mut changed) = (Vec::new(), Vec::new());
    tensor.each_chunk(&mut buffer, |bytes| put_cast(bytes, output, &mut changed, sink))
}

fn put_cast(bytes: &[u8], output: &Output, changed: &mut Vec<u8>, sink: &mut Sink<'_>) -> Result<(), ConvertError> {
    if output.given == output.dtype {
        return sink.put(bytes);
    }
    changed.clear();
    cast(bytes, output.given, output.dtype, changed);
    sink.put(changed)
}

/// Tensors side by side: for every index before the axis a block of each.
fn interleaved(tensors: &[Tensor], outer: u64, output: &Output, sink: &mut Sink<'_>) -> Result<(), ConvertError> {
    let blocks: Vec<u64> = tensors.iter().map(|t| t.len() / outer).collect();
    let row: u64 = blocks.iter().sum();
    // As many rows at a time as fit the window, so that files are read in large pieces.
    let rows = (WINDOW / row.max(1)).clamp(1, outer);
    let size = |n: u64| usize::try_from(n).map_err(|_| ConvertError::new("a tensor larger than memory", ""));
    let (mut mixed, mut part, mut changed) = (Vec::new(), Vec::new(), Vec::new());
    let mut done = 0;
    while done < outer {
        let count = rows.min(outer - done);
        mixed.clear();
        mixed.resize(size(count * row)?, 0u8);
        let mut column = 0;
        for (tensor, &block) in tensors.iter().zip(&blocks) {
            part.clear();
            part.resize(size(count * block)?, 0u8);
            tensor.read_at(done * block, &mut part)?;
            let (row, block) = (size(row)?.max(1), size(block)?.max(1));
            for (line, values) in mixed.chunks_exact_mut(row).zip(part.chunks_exact(block)) {
                if let Some(place) = line.get_mut(column..column + block) {
                    place.copy_from_slice(values);
                }
            }
            column += block;
        }
        put_cast(&mixed, output, &mut changed, sink)?;
        done += count;
    }
    Ok(())
}

/// A tensor at another size.
fn resized(output: &Output, tensor: &Tensor, resize: &Resize, sink: &mut Sink<'_>) -> Result<(), ConvertError> {
    if let Resize::Rows { from, to } = *resize {
        return rows(output, tensor, from, to, sink);
    }
    let values = numbers(&tensor.read_all()?, output.given);
    let made = resize.apply(&values, output.shape.dims());
    let made = made.ok_or_else(|| ConvertError::new(format!("{} does not have its shape", quoted(&output.key)), ""))?;
    let mut bytes = Vec::new();
    // By way of the dtype it has, as PyTorch gives the table back before anything else is done with it.
    write_numbers(&made, output.given, &mut bytes);
    put_cast(&bytes, output, &mut Vec::new(), sink)
}

/// The rows that both have, then the mean of all old ones for each that is new.
fn rows(output: &Output, tensor: &Tensor, from: u64, to: u64, sink: &mut Sink<'_>) -> Result<(), ConvertError> {
    let row = tensor.len() / from.max(1);
    let kept = from.min(to) * row;
    let (mut buffer, mut changed) = (Vec::new(), Vec::new());
    let item = u64::from(output.given.bits() / 8).max(1);
    let mut sums = vec![0f64; usize::try_from(row / item).unwrap_or(0)];
    let mut at = 0u64;
    tensor.each_chunk(&mut buffer, |bytes| {
        let left = kept.saturating_sub(at).min(bytes.len() as u64) as usize;
        put_cast(bytes.get(..left).unwrap_or_default(), output, &mut changed, sink)?;
        if to > from && !sums.is_empty() {
            let first = (at / item) as usize;
            let columns = sums.len();
            for (i, value) in numbers(bytes, output.given).into_iter().enumerate() {
                if let Some(sum) = sums.get_mut((first + i) % columns) {
                    *sum += value;
                }
            }
        }
        at += bytes.len() as u64;
        Ok::<(), ConvertError>(())
    })?;
    let mean: Vec<f64> = sums.iter().map(|s| s / from as f64).collect();
    let mut bytes = Vec::new();
    write_numbers(&mean, output.given, &mut bytes);
    for _ in from..to {
        put_cast(&bytes, output, &mut changed, sink)?;
    }
    Ok(())
}
