//! Opcodes that name globals and ask for calls. Nothing is called: the world says what the call would make.

use super::super::cursor::Span;
use super::super::heap::Value;
use super::super::opcode as op;
use super::super::{World, builtins, text};
use super::{CUT, LONGEST_NAME, MOST_EXTENSIONS, Machine, Step};

impl<W: World> Machine<'_, W> {
    /// Names a global, or notes a call.
    pub(super) fn callable(&mut self, code: u8, at: u64) -> Step {
        match code {
            op::GLOBAL => {
                let module = self.short_line()?;
                let name = self.short_line()?;
                let global = self.global(module, name, at)?;
                self.push(Value::Global(global));
            }
            op::STACK_GLOBAL => {
                let (name, module) = (self.pop()?, self.pop()?);
                let (Value::Str(module), Value::Str(name)) = (module, name) else {
                    return Err(format!(
                        "names of a global must be str, not {} and {}",
                        text::kind(module),
                        text::kind(name)
                    )
                    .into());
                };
                let global = self.global(module, name, at)?;
                self.push(Value::Global(global));
            }
            op::INST => {
                let module = self.short_line()?;
                let name = self.short_line()?;
                let global = self.global(module, name, at)?;
                let from = self.mark()?;
                self.tuple(from);
                let args = self.pop()?;
                self.call(Value::Global(global), args, at)?;
            }
            op::OBJ => {
                let from = self.mark()?;
                let class = self.stack.get(from).copied().ok_or("no class above the MARK")?;
                self.tuple(from + 1);
                let args = self.pop()?;
                self.stack.truncate(from);
                self.call(class, args, at)?;
            }
            op::REDUCE => {
                let args = self.pop()?;
                let callee = self.pop()?;
                self.call(callee, args, at)?;
            }
            op::NEWOBJ => {
                let args = self.pop()?;
                let class = self.pop()?;
                self.call(class, args, at)?;
            }
            op::NEWOBJ_EX => {
                let (named, args) = (self.pop()?, self.pop()?);
                let class = self.pop()?;
                if !matches!(named, Value::Dict(_)) {
                    return Err(format!("keyword arguments must be a dict, not {}", text::kind(named)).into());
                }
                self.call(class, args, at)?;
            }
            op::BUILD => {
                let state = self.pop()?;
                self.build(state)?;
            }
            op::PERSID => {
                let line = self.short_line()?;
                let id = self.world.persistent(&mut self.heap, Value::Str(line), at);
                self.push(id);
            }
            op::BINPERSID => {
                let id = self.pop()?;
                let value = self.world.persistent(&mut self.heap, id, at);
                self.push(value);
            }
            op::EXT1 => {
                let code = self.number::<1>()? as i64;
                self.extension(code, at)?;
            }
            op::EXT2 => {
                let code = self.number::<2>()? as i64;
                self.extension(code, at)?;
            }
            op::EXT4 => {
                let code = i64::from(i32::from_le_bytes(self.heap.cursor.array()?));
                self.extension(code, at)?;
            }
            other => return Err(format!("byte 0x{other:02x} is no opcode").into()),
        }
        Ok(())
    }

    pub(super) fn global(&mut self, module: Span, name: Span, at: u64) -> Step<u32> {
        if let Some(id) = self.heap.known_span(module, name) {
            return Ok(id);
        }
        if module.is_empty() || name.is_empty() {
            return Err("a global without a name".into());
        }
        let (module_text, name_text) = (self.name(module), self.name(name));
        let world = &self.world;
        let id = self
            .heap
            .global(&module_text, &name_text, at, |full| builtins::role(full).unwrap_or_else(|| world.role(full)));
        self.heap.remember_span(module, name, id);
        Ok(id)
    }

    /// A part of a global's name as text; of a very long one its beginning and its end.
    fn name(&self, part: Span) -> String {
        let bytes = self.heap.bytes(part);
        if bytes.len() <= LONGEST_NAME {
            return text::readable(bytes).into_owned();
        }
        let (start, end) = (bytes.get(..LONGEST_NAME / 2), bytes.get(bytes.len() - LONGEST_NAME / 2..));
        format!("{}{CUT}{}", text::readable(start.unwrap_or_default()), text::readable(end.unwrap_or_default()))
    }

    pub(super) fn call(&mut self, callee: Value, args: Value, at: u64) -> Step {
        // An object may be a named tuple.
        if !matches!(args, Value::Tuple(_) | Value::Object(_)) {
            return Err(format!("arguments must be a tuple, not {}", text::kind(args)).into());
        }
        let result = match callee {
            Value::Global(id) => {
                let handed = builtins::is_handed_a_method(&self.heap, callee, args);
                if let Some(global) = self.heap.globals.get_mut(id as usize) {
                    global.called = true;
                    global.handed |= handed;
                }
                let role = self.heap.role_of(callee);
                let made = if builtins::is(role) {
                    let world = &self.world;
                    let roles = |full: &str| builtins::role(full).unwrap_or_else(|| world.role(full));
                    let made = builtins::call(&mut self.heap, role, id, args, at, &roles);
                    // These calls may copy a whole list, so memory is looked at after each.
                    self.within_memory()?;
                    if let Some(builtins::Made::Extension(code, global)) = made {
                        if self.extensions.len() < MOST_EXTENSIONS {
                            self.extensions.insert(code, global);
                        }
                        Some(Value::None)
                    } else {
                        made.map(|made| match made {
                            builtins::Made::Value(value) => value,
                            builtins::Made::Extension(..) => Value::None,
                        })
                    }
                } else {
                    self.world.call(&mut self.heap, id, args, at)
                };
                made.unwrap_or_else(|| Value::Object(self.heap.add_object(callee, args)))
            }
            Value::Object(id) => {
                builtins::called_object(&mut self.heap, id);
                Value::Object(self.heap.add_object(callee, args))
            }
            Value::Foreign(_) => Value::Object(self.heap.add_object(callee, args)),
            other => return Err(format!("{} cannot be called", text::kind(other)).into()),
        };
        self.push(result);
        Ok(())
    }

    pub(super) fn build(&mut self, state: Value) -> Step {
        match self.top()? {
            Value::Object(id) => {
                if let Some(object) = self.heap.object_mut(id) {
                    object.state = state;
                }
            }
            Value::Dict(dict) => {
                self.heap.dict_states.insert(dict, state);
            }
            Value::Foreign(foreign) => self.world.build(&mut self.heap, foreign, state),
            Value::Global(id) => {
                // Sets attributes of a module or class: a way to swap functions in a running program.
                if let Some(global) = self.heap.globals.get_mut(id as usize) {
                    global.called = true;
                    global.odd = true;
                }
            }
            _ if self.is_no_state(state) => {}
            // Subclasses of set and list carry a __dict__ as well.
            Value::List(_) | Value::Set(_) => {}
            other => return Err(format!("{} takes no state", text::kind(other)).into()),
        }
        Ok(())
    }

    /// A state that Python passes over, whatever it is handed to: `None`, and `(None, None)`.
    fn is_no_state(&self, state: Value) -> bool {
        match self.heap.items_of_tuple(state) {
            &[Value::None, Value::None | Value::Dict(_)] => true,
            _ => state == Value::None,
        }
    }

    pub(super) fn extension(&mut self, code: i64, at: u64) -> Step {
        if code <= 0 {
            return Err(format!("extension code {code}").into());
        }
        let global = match self.extensions.get(&code) {
            Some(&global) => global,
            None => {
                let world = &self.world;
                self.heap.global("copyreg", &format!("extension {code}"), at, |full| world.role(full))
            }
        };
        self.push(Value::Global(global));
        Ok(())
    }
}
