//! Opcodes that push one plain value: numbers, text, bytes.

use super::super::cursor::{Payload, Span};
use super::super::heap::{Far, Value};
use super::super::opcode as op;
use super::super::{World, text};
use super::{Fault, Machine, Step};

impl<W: World> Machine<'_, W> {
    /// Pushes the value of a literal opcode.
    pub(super) fn literal(&mut self, code: u8) -> Step {
        match code {
            op::NONE => self.push(Value::None),
            op::NEWTRUE => self.push(Value::Bool(true)),
            op::NEWFALSE => self.push(Value::Bool(false)),
            op::BININT => {
                let i = i32::from_le_bytes(self.heap.cursor.array()?);
                self.push(Value::Int(i.into()));
            }
            op::BININT1 => {
                let i = self.heap.cursor.byte()?;
                self.push(Value::Int(i.into()));
            }
            op::BININT2 => {
                let i = u16::from_le_bytes(self.heap.cursor.array()?);
                self.push(Value::Int(i.into()));
            }
            op::BINFLOAT => {
                let f = f64::from_be_bytes(self.heap.cursor.array()?);
                self.push(Value::Float(f));
            }
            op::INT | op::LONG => self.decimal(code)?,
            op::FLOAT => {
                let line = self.short_line()?;
                let text = std::str::from_utf8(self.heap.bytes(line)).unwrap_or("").trim();
                let f: f64 = text.parse().map_err(|_| Fault::Why("a line that is no float".into()))?;
                self.push(Value::Float(f));
            }
            op::LONG1 => {
                let len = self.heap.cursor.byte()?;
                self.long(len.into())?;
            }
            op::LONG4 => {
                let len = self.length4()?;
                self.long(len)?;
            }
            op::STRING => {
                let value = self.text_line(|line| text::unquote(line).ok_or("a string without its quotes"), true)?;
                self.push(value);
            }
            op::UNICODE => {
                let value = self.text_line(|line| text::raw_unicode(line).ok_or("a broken \\u escape"), false)?;
                self.push(value);
            }
            op::BINSTRING => {
                let len = self.length4()?;
                self.string(len)?;
            }
            op::SHORT_BINSTRING => {
                let len = self.number::<1>()?;
                self.string(len)?;
            }
            op::SHORT_BINUNICODE => {
                let len = self.number::<1>()?;
                self.unicode(len)?;
            }
            op::BINUNICODE => {
                let len = self.number::<4>()?;
                self.unicode(len)?;
            }
            op::BINUNICODE8 => {
                let len = self.number::<8>()?;
                self.unicode(len)?;
            }
            op::SHORT_BINBYTES => {
                let len = self.number::<1>()?;
                self.data(len)?;
            }
            op::BINBYTES => {
                let len = self.number::<4>()?;
                self.data(len)?;
            }
            op::BINBYTES8 | op::BYTEARRAY8 => {
                let len = self.number::<8>()?;
                self.data(len)?;
            }
            other => return Err(format!("byte 0x{other:02x} is no opcode").into()),
        }
        Ok(())
    }

    /// A line that is not a payload: a number or a name.
    pub(super) fn short_line(&mut self) -> Step<Span> {
        match self.heap.cursor.line(false)? {
            Payload::Near(line) => Ok(line),
            Payload::Far { .. } => Err("a line of more than 1 MiB".into()),
        }
    }

    /// A string in protocol 0's text form.
    pub(super) fn text_line(
        &mut self,
        decode: impl Fn(&[u8]) -> Result<Vec<u8>, &'static str>,
        quoted: bool,
    ) -> Step<Value> {
        match self.heap.cursor.line(true)? {
            Payload::Far { at, len } => Ok(self.heap.add_far(Far { at, len, text: true })),
            Payload::Near(line) => {
                let bytes = self.heap.bytes(line);
                if quoted {
                    // Python 2's str: text where it is UTF-8 (names, keys), otherwise the bytes that numpy wrote.
                    let bytes = decode(bytes)?;
                    let text = std::str::from_utf8(&bytes).is_ok();
                    let span = self.heap.keep(&bytes);
                    return Ok(if text { Value::Str(span) } else { Value::Bytes(span) });
                }
                if bytes.is_ascii() && !bytes.contains(&b'\\') {
                    return Ok(Value::Str(line));
                }
                let bytes = decode(bytes)?;
                Ok(Value::Str(self.heap.keep(&bytes)))
            }
        }
    }

    pub(super) fn decimal(&mut self, code: u8) -> Step {
        let line = self.short_line()?;
        let bytes = self.heap.bytes(line).trim_ascii();
        if code == op::INT && (bytes == b"00" || bytes == b"01") {
            let truth = bytes == b"01";
            self.push(Value::Bool(truth));
            return Ok(());
        }
        let bytes = bytes.strip_suffix(b"L").unwrap_or(bytes);
        let value = match text::int(bytes).ok_or("a line that is no int")? {
            text::Int::Long => Value::Digits(line),
            text::Int::Short(number) => match i64::try_from(number) {
                Ok(small) => Value::Int(small),
                Err(_) => Value::Long(self.heap.keep(&number.to_le_bytes())),
            },
        };
        self.push(value);
        Ok(())
    }

    /// A binary int of `len` bytes.
    pub(super) fn long(&mut self, len: u64) -> Step {
        let value = match self.heap.cursor.payload(len, false)? {
            Payload::Far { at, len } => self.heap.add_far(Far { at, len, text: true }),
            Payload::Near(span) => {
                let small = text::i128_of(self.heap.bytes(span)).and_then(|i| i64::try_from(i).ok());
                small.map_or(Value::Long(span), Value::Int)
            }
        };
        self.push(value);
        Ok(())
    }

    /// A str of Python 2.
    pub(super) fn string(&mut self, len: u64) -> Step {
        let value = match self.heap.cursor.payload(len, false)? {
            Payload::Far { at, len } => self.heap.add_far(Far { at, len, text: false }),
            Payload::Near(span) if std::str::from_utf8(self.heap.bytes(span)).is_ok() => Value::Str(span),
            Payload::Near(span) => Value::Bytes(span),
        };
        self.push(value);
        Ok(())
    }

    pub(super) fn unicode(&mut self, len: u64) -> Step {
        let value = match self.heap.cursor.payload(len, true)? {
            Payload::Far { at, len } => self.heap.add_far(Far { at, len, text: true }),
            Payload::Near(span) => {
                if !text::is_text(self.heap.bytes(span)) {
                    return Err("text that is not UTF-8".into());
                }
                Value::Str(span)
            }
        };
        self.push(value);
        Ok(())
    }

    pub(super) fn data(&mut self, len: u64) -> Step {
        let value = match self.heap.cursor.payload(len, false)? {
            Payload::Far { at, len } => self.heap.add_far(Far { at, len, text: false }),
            Payload::Near(span) => Value::Bytes(span),
        };
        self.push(value);
        Ok(())
    }
}
