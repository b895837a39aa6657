//! The machine itself: one loop over opcodes.

mod calls;
mod containers;
mod literals;

use std::collections::HashMap;

use super::cursor::{Cursor, Short};
use super::heap::{Heap, Value};
use super::opcode::{self as op, name};
use super::source::Source;
use super::{Break, World, text};

/// Memory that any pickle may use, whatever its size.
const FREE_MEMORY: usize = 32 << 20;
/// Memory that a pickle may use for each of its bytes. Real checkpoints use 5; the densest instructions 30.
const MEMORY_PER_BYTE: usize = 16;
/// Items that calls may copy in any pickle, and for each of its bytes. Real checkpoints copy each item once.
const FREE_COPIES: usize = 1 << 20;
const COPIES_PER_BYTE: usize = 8;
/// Longest name of a module, or of what is in it, that is kept whole. CPython has no limit; names in use stay below 200 bytes.
const LONGEST_NAME: usize = 400;
/// Stands where the middle of a name was left out.
pub(super) const CUT: char = '…';
/// How many different extension codes are remembered.
const MOST_EXTENSIONS: usize = 1000;

/// A pickle that was run.
#[derive(Debug)]
pub struct Pickle {
    /// All it built.
    pub heap: Heap,
    /// What STOP returned; of a broken pickle what lay at the bottom of its stack.
    pub root: Option<Value>,
    /// Position behind STOP, or where it broke off.
    pub end: u64,
    /// The highest protocol that PROTO declared.
    pub protocol: u8,
    /// Why it broke off; `None` where STOP was reached.
    pub broken: Option<Break>,
    /// How many opcodes were run.
    pub steps: u64,
    /// The opcode at which a frame ends where no opcode does. What Python reads from there on depends on its version and on
    /// whether it reads from a file or from memory (python/cpython issue 154848).
    pub torn: Option<u64>,
}

/// Runs the pickle that starts at byte `start`, up to STOP or to where it breaks.
pub fn run<W: World>(source: &Source, start: u64, world: &mut W) -> Pickle {
    let mut machine = Machine {
        heap: Heap::new(Cursor::new(source.clone(), start)),
        world,
        stack: Vec::new(),
        marks: Vec::new(),
        memo: Vec::new(),
        memo_far: HashMap::new(),
        extensions: HashMap::new(),
        protocol: 0,
        steps: 0,
        frame: 0,
        torn: None,
    };
    let broken = machine.run().err();
    let root = match broken {
        None => machine.stack.pop(),
        Some(_) => machine.salvage(),
    };
    let end = machine.heap.cursor.position();
    let Machine { protocol, steps, torn, heap, .. } = machine;
    Pickle { root, end, protocol, broken, steps, torn, heap }
}

struct Machine<'w, W> {
    heap: Heap,
    world: &'w mut W,
    stack: Vec<Value>,
    /// Heights of the stack at each open MARK.
    marks: Vec<u32>,
    /// The memo as picklers number it: 0, 1, 2, …
    memo: Vec<Value>,
    /// Memo entries with any other number, so that a huge one costs nothing.
    memo_far: HashMap<u32, Value>,
    /// Codes that this pickle itself registered with copyreg.
    extensions: HashMap<i64, u32>,
    protocol: u8,
    steps: u64,
    /// Where the frame that was opened last ends.
    frame: u64,
    torn: Option<u64>,
}

/// Why an opcode cannot be carried out.
enum Fault {
    Short(Short),
    Why(String),
}

impl From<Short> for Fault {
    fn from(short: Short) -> Self {
        Fault::Short(short)
    }
}

impl From<&str> for Fault {
    fn from(why: &str) -> Self {
        Fault::Why(why.into())
    }
}

impl From<String> for Fault {
    fn from(why: String) -> Self {
        Fault::Why(why)
    }
}

type Step<T = ()> = Result<T, Fault>;

impl<W: World> Machine<'_, W> {
    fn run(&mut self) -> Result<(), Break> {
        loop {
            let at = self.heap.cursor.position();
            let broken = |opcode: Option<u8>, why: String, ended: bool| Break {
                at,
                opcode: opcode.and_then(name).unwrap_or(""),
                why,
                ended,
            };
            let code = match self.heap.cursor.byte() {
                Ok(code) => code,
                Err(Short::System(why)) => return Err(broken(None, why, false)),
                Err(_) => return Err(broken(None, "the pickle ends without STOP".into(), true)),
            };
            self.steps += 1;
            if code == op::STOP {
                let fault = if self.stack.len() <= self.floor() {
                    "nothing on the stack to return"
                } else {
                    return Ok(());
                };
                return Err(broken(Some(code), fault.into(), false));
            }
            match self.step(code, at) {
                Ok(()) => self.check_frame(at),
                Err(Fault::Why(why)) => return Err(broken(Some(code), why, false)),
                Err(Fault::Short(short)) => {
                    let (why, ended) = match short {
                        Short::Ends { wanted, left } => (format!("{wanted} bytes wanted, {left} left"), true),
                        Short::TooMuch => {
                            ("more than 1 GiB of instructions, or a line of more than 1 MiB".into(), false)
                        }
                        Short::System(why) => (why, false),
                    };
                    return Err(broken(Some(code), why, ended));
                }
            }
            if self.steps.is_multiple_of(1024)
                && let Err(Fault::Why(why)) = self.within_memory()
            {
                return Err(broken(Some(code), why, false));
            }
        }
    }

    /// Notes an opcode that begins inside a frame and ends outside it.
    fn check_frame(&mut self, at: u64) {
        if at < self.frame && self.frame < self.heap.cursor.position() {
            self.torn.get_or_insert(at);
            self.frame = 0;
        }
    }

    fn memory(&self) -> usize {
        self.heap.size() + 16 * (self.stack.len() + self.memo.len()) + 4 * self.marks.len() + 32 * self.memo_far.len()
    }

    fn within_memory(&self) -> Step {
        if self.heap.copied > FREE_COPIES + COPIES_PER_BYTE * self.heap.cursor.kept() {
            return Err("its calls go over the same data again and again".into());
        }
        if self.memory() <= self.allowed() {
            return Ok(());
        }
        let (bytes, limit) = (self.heap.cursor.kept(), self.allowed() >> 20);
        Err(format!("more than {limit} MB of memory wanted for {bytes} bytes of pickle").into())
    }

    fn allowed(&self) -> usize {
        FREE_MEMORY + MEMORY_PER_BYTE * self.heap.cursor.kept()
    }

    /// The lowest stack height that opcodes may pop down to.
    #[inline]
    fn floor(&self) -> usize {
        self.marks.last().map_or(0, |&m| m as usize)
    }

    #[inline]
    fn pop(&mut self) -> Step<Value> {
        if self.stack.len() <= self.floor() {
            return Err("the stack is empty".into());
        }
        self.stack.pop().ok_or(Fault::Why("the stack is empty".into()))
    }

    #[inline]
    fn top(&self) -> Step<Value> {
        match self.stack.last() {
            Some(&value) if self.stack.len() > self.floor() => Ok(value),
            _ => Err("the stack is empty".into()),
        }
    }

    /// Where the items above the topmost MARK start; the mark is taken away.
    fn mark(&mut self) -> Step<usize> {
        self.marks.pop().map(|m| m as usize).ok_or(Fault::Why("no MARK on the stack".into()))
    }

    fn push(&mut self, value: Value) {
        self.stack.push(value);
    }

    fn number<const N: usize>(&mut self) -> Step<u64> {
        let mut full = [0; 8];
        let bytes = self.heap.cursor.array::<N>()?;
        full[..N].copy_from_slice(&bytes);
        Ok(u64::from_le_bytes(full))
    }

    /// A signed length of four bytes, as protocols 1 and 2 write it.
    fn length4(&mut self) -> Step<u64> {
        let length = i32::from_le_bytes(self.heap.cursor.array::<4>()?);
        u64::try_from(length).map_err(|_| Fault::Why(format!("a length of {length}")))
    }

    fn step(&mut self, code: u8, at: u64) -> Step {
        match code {
            op::MARK => self.marks.push(self.stack.len() as u32),
            op::POP => {
                if self.stack.len() > self.floor() {
                    self.stack.pop();
                } else {
                    self.mark()?;
                }
            }
            op::POP_MARK => {
                let from = self.mark()?;
                self.stack.truncate(from);
            }
            op::DUP => self.push(self.top()?),
            op::PUT => {
                let index = self.memo_number()?;
                self.memoize(index)?;
            }
            op::BINPUT => {
                let index = self.heap.cursor.byte()?;
                self.memoize(index.into())?;
            }
            op::LONG_BINPUT => {
                let index = u32::from_le_bytes(self.heap.cursor.array()?);
                self.memoize(index)?;
            }
            op::MEMOIZE => {
                let index = (self.memo.len() + self.memo_far.len()) as u32;
                self.memoize(index)?;
            }
            op::GET => {
                let index = self.memo_number()?;
                self.recall(index)?;
            }
            op::BINGET => {
                let index = self.heap.cursor.byte()?;
                self.recall(index.into())?;
            }
            op::LONG_BINGET => {
                let index = u32::from_le_bytes(self.heap.cursor.array()?);
                self.recall(index)?;
            }
            op::PROTO => {
                let protocol = self.heap.cursor.byte()?;
                if protocol > 5 {
                    return Err(format!("protocol {protocol}; the newest is 5").into());
                }
                self.protocol = self.protocol.max(protocol);
            }
            op::FRAME => {
                let len = self.number::<8>()?;
                let left = self.heap.source().len().saturating_sub(self.heap.cursor.position());
                if len > left {
                    return Err(Short::Ends { wanted: len, left }.into());
                }
                let inside = at < self.frame;
                self.frame = self.heap.cursor.position().saturating_add(len);
                if inside {
                    self.torn.get_or_insert(at);
                }
            }
            op::NEXT_BUFFER => return Err("it wants a buffer from outside the stream".into()),
            op::READONLY_BUFFER => {
                self.top()?;
            }
            op::EMPTY_TUPLE
            | op::TUPLE
            | op::TUPLE1
            | op::TUPLE2
            | op::TUPLE3
            | op::EMPTY_LIST
            | op::EMPTY_SET
            | op::EMPTY_DICT
            | op::LIST
            | op::FROZENSET
            | op::DICT
            | op::APPEND
            | op::APPENDS
            | op::ADDITEMS
            | op::SETITEM
            | op::SETITEMS => self.container(code)?,
            op::GLOBAL
            | op::STACK_GLOBAL
            | op::INST
            | op::OBJ
            | op::REDUCE
            | op::NEWOBJ
            | op::NEWOBJ_EX
            | op::BUILD
            | op::PERSID
            | op::BINPERSID
            | op::EXT1
            | op::EXT2
            | op::EXT4 => self.callable(code, at)?,
            literal => self.literal(literal)?,
        }
        Ok(())
    }

    fn memo_number(&mut self) -> Step<u32> {
        let line = self.short_line()?;
        let number = match text::int(self.heap.bytes(line)) {
            Some(text::Int::Short(number)) => u32::try_from(number).ok(),
            _ => None,
        };
        number.ok_or(Fault::Why("a line that is no memo number".into()))
    }

    fn memoize(&mut self, index: u32) -> Step {
        let value = self.top()?;
        match (index as usize).cmp(&self.memo.len()) {
            std::cmp::Ordering::Less => self.memo[index as usize] = value,
            std::cmp::Ordering::Equal if !self.memo_far.contains_key(&index) => self.memo.push(value),
            _ => {
                self.memo_far.insert(index, value);
            }
        }
        Ok(())
    }

    fn recall(&mut self, index: u32) -> Step {
        let value = self.memo.get(index as usize).or_else(|| self.memo_far.get(&index)).copied();
        self.push(value.ok_or_else(|| Fault::Why(format!("memo number {index} was never set")))?);
        Ok(())
    }
}
