//! A pickle machine that calls nothing: it builds plain values, names every global that the pickle asks for, and hands calls to
//! a [`World`] which knows what a few of them make.
//!
//! No crate reads what `torch.save` writes (persistent ids, order, names of globals, shared objects), so this is own code.
//! Work and memory are proportional to the input: values live in flat arenas, containers are numbers, nothing recurses.

mod builtins;
mod cursor;
mod heap;
mod machine;
pub mod opcode;
pub mod source;
pub mod text;

pub use cursor::Span;
pub use heap::{Far, Global, Heap, Object, Value};
pub use machine::{Pickle, run};
pub use source::Source;

use std::fmt;

/// Where and why a pickle broke off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Break {
    /// Byte offset of the opcode, from the start of the source.
    pub at: u64,
    /// The opcode's name; empty where the byte is none.
    pub opcode: &'static str,
    /// What is wrong, lower case.
    pub why: String,
    /// Whether the bytes ended where more were needed.
    pub ended: bool,
}

impl fmt::Display for Break {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let opcode = if self.opcode.is_empty() { String::new() } else { format!("{} ", self.opcode) };
        write!(f, "{opcode}at byte {}: {}", self.at, self.why)
    }
}

/// What gives meaning to persistent ids and to calls of globals. Nothing is ever run: a world looks at names and arguments.
pub trait World {
    /// A number for a global by its full name; 0 for those the world knows nothing of.
    fn role(&self, name: &str) -> u16;

    /// What calling global `callee` with the tuple `args` gives; `None` leaves it an opaque object.
    fn call(&mut self, heap: &mut Heap, callee: u32, args: Value, at: u64) -> Option<Value>;

    /// What a persistent id stands for.
    fn persistent(&mut self, heap: &mut Heap, id: Value, at: u64) -> Value;

    /// BUILD of something that the world made.
    fn build(&mut self, heap: &mut Heap, foreign: u32, state: Value);
}

/// A world that knows no calls: plain values and names of globals only.
#[derive(Debug, Default)]
pub struct Plain;

impl World for Plain {
    fn role(&self, _: &str) -> u16 {
        0
    }

    fn call(&mut self, _: &mut Heap, _: u32, _: Value, _: u64) -> Option<Value> {
        None
    }

    fn persistent(&mut self, _: &mut Heap, id: Value, _: u64) -> Value {
        id
    }

    fn build(&mut self, _: &mut Heap, _: u32, _: Value) {}
}
