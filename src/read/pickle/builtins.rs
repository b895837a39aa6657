//! Calls that every pickle may make and that build plain values: containers, bytes, bound methods.

use super::heap::{Heap, Value};
use super::text;

macro_rules! roles {
    ($($role:ident $($name:literal)+;)*) => {
        #[derive(Clone, Copy, PartialEq, Eq)]
        #[repr(u16)]
        enum Role { None = 0xff00, $($role,)* }

        /// The role of a global that is understood here.
        pub(super) fn role(name: &str) -> Option<u16> {
            match name { $($($name)|+ => Some(Role::$role as u16),)* _ => None }
        }

        fn from(number: u16) -> Role {
            $(if number == Role::$role as u16 { return Role::$role; })*
            Role::None
        }
    };
}

roles! {
    Dict "collections.OrderedDict" "builtins.dict" "__builtin__.dict" "ordereddict.OrderedDict";
    Counter "collections.Counter";
    DefaultDict "collections.defaultdict";
    List "builtins.list" "__builtin__.list" "collections.deque";
    Tuple "builtins.tuple" "__builtin__.tuple" "torch.Size";
    Set "builtins.set" "__builtin__.set" "builtins.frozenset" "__builtin__.frozenset" "sets.Set";
    Bytes "builtins.bytes" "__builtin__.bytes" "builtins.bytearray" "__builtin__.bytearray";
    Encode "_codecs.encode" "codecs.encode";
    Str "builtins.str" "__builtin__.str" "__builtin__.unicode";
    Int "builtins.int" "__builtin__.int" "__builtin__.long";
    Reconstructor "copyreg._reconstructor" "copy_reg._reconstructor";
    NewObj "copyreg.__newobj__" "copy_reg.__newobj__" "copyreg.__newobj_ex__" "copy_reg.__newobj_ex__";
    Getattr "builtins.getattr" "__builtin__.getattr";
    Partial "functools.partial";
    Import "builtins.__import__" "__builtin__.__import__" "importlib.import_module" "importlib.__import__";
    Extension "copyreg.add_extension" "copy_reg.add_extension";
}

/// Whether a role is one of this file's.
pub(super) fn is(role: u16) -> bool {
    role > Role::None as u16
}

/// What a call makes.
pub(super) enum Made {
    /// A value.
    Value(Value),
    /// An entry of copyreg's extension registry: code and global.
    Extension(i64, u32),
}

/// Carries out one call; `None` leaves it an opaque object.
pub(super) fn call(
    heap: &mut Heap,
    role: u16,
    callee: u32,
    args: Value,
    at: u64,
    roles: &dyn Fn(&str) -> u16,
) -> Option<Made> {
    let given: [Value; 3] = {
        let items = heap.items_of_tuple(args);
        std::array::from_fn(|i| items.get(i).copied().unwrap_or(Value::None))
    };
    // What is copied is counted, since one list can be handed to any number of calls.
    let first = match given[0] {
        Value::List(list) | Value::Set(list) => heap.list_len(list),
        Value::Tuple(span) | Value::Str(span) => span.len(),
        _ => 0,
    };
    heap.copied = heap.copied.saturating_add(first);
    let value = match from(role) {
        Role::None => return None,
        Role::Dict => dict(heap, given[0]),
        Role::Counter => match given[0] {
            Value::Dict(_) => given[0],
            _ => Value::Dict(heap.add_dict()),
        },
        Role::DefaultDict => match given[1] {
            Value::Dict(_) => given[1],
            _ => Value::Dict(heap.add_dict()),
        },
        Role::List => match given[0] {
            Value::List(_) => given[0],
            other => Value::List(copied(heap, other)),
        },
        Role::Tuple => match given[0] {
            Value::Tuple(_) => given[0],
            Value::List(_) | Value::Set(_) => {
                let items = heap.sequence(given[0]);
                heap.add_tuple(&items)
            }
            _ => heap.add_tuple(&[]),
        },
        Role::Set => match given[0] {
            Value::Set(_) => given[0],
            // The list is a temporary of the pickler, so it becomes the set.
            Value::List(list) => Value::Set(list),
            other => Value::Set(copied(heap, other)),
        },
        Role::Bytes | Role::Encode => match given[0] {
            Value::None => Value::Bytes(heap.keep(&[])),
            Value::Bytes(_) | Value::Far(_) => given[0],
            Value::Str(span) if heap.bytes(span).is_ascii() => Value::Bytes(span),
            Value::Str(span) => {
                let latin1 = from(role) == Role::Bytes || heap.str_bytes(given[1]) == Some(b"latin1");
                let bytes = text::latin1(heap.bytes(span)).filter(|_| latin1)?;
                Value::Bytes(heap.keep(&bytes))
            }
            _ => return None,
        },
        Role::Str => match given[0] {
            Value::Str(_) => given[0],
            _ => return None,
        },
        Role::Int => match given[0] {
            Value::Int(_) | Value::Long(_) => given[0],
            _ => return None,
        },
        Role::Reconstructor => {
            called(heap, given[0]);
            let object = heap.add_object(given[0], args);
            // `base` is object, or dict/list with the items as the state.
            if let (Some(object), Value::Dict(_) | Value::List(_)) = (heap.object_mut(object), given[2]) {
                object.items = given[2];
            }
            Value::Object(object)
        }
        Role::NewObj => {
            called(heap, given[0]);
            Value::Object(heap.add_object(given[0], args))
        }
        Role::Getattr => return getattr(heap, callee, given, at, roles),
        Role::Partial => {
            called(heap, given[0]);
            // A bound method is harmless as long as nobody calls the whole.
            if !matches!(given[0], Value::Global(_) | Value::Object(_)) {
                odd(heap, callee);
            }
            return None;
        }
        Role::Import => {
            let Value::Str(span) = given[0] else { return None };
            let module = heap.text(span).chars().take(200).collect::<String>();
            Value::Global(derive(heap, &module, "", at, roles))
        }
        Role::Extension => {
            let (Value::Str(module), Value::Str(name), Value::Int(code)) = (given[0], given[1], given[2]) else {
                return None;
            };
            let part = |heap: &Heap, span| heap.text(span).chars().take(200).collect::<String>();
            let (module, name) = (part(heap, module), part(heap, name));
            let global = derive(heap, &module, &name, at, roles);
            return Some(Made::Extension(code, global));
        }
    };
    Some(Made::Value(value))
}

/// An attribute of something that the pickle named is again a name: `getattr(torch.serialization, 'os')`.
///
/// Bound methods are pickled as `getattr(object, 'forward')`, which is harmless as long as nobody calls the result.
fn getattr(heap: &mut Heap, callee: u32, given: [Value; 3], at: u64, roles: &dyn Fn(&str) -> u16) -> Option<Made> {
    let Value::Str(span) = given[1] else {
        odd(heap, callee);
        return None;
    };
    let attribute = heap.text(span).chars().take(200).collect::<String>();
    if attribute.starts_with("__") || !matches!(given[0], Value::Global(_) | Value::Object(_)) {
        odd(heap, callee);
    }
    let Value::Global(owner) = given[0] else { return None };
    let (name, module) =
        heap.globals.get(owner as usize).map_or(Default::default(), |g| (g.name.to_string(), g.module));
    // A name that grows with every call is cut off: nothing real is so long.
    if name.len() > 1000 {
        odd(heap, callee);
        return None;
    }
    let id = derive(heap, &name, &attribute, at, roles);
    if let Some(global) = heap.globals.get_mut(id as usize) {
        global.module = module;
    }
    Some(Made::Value(Value::Global(id)))
}

fn derive(heap: &mut Heap, module: &str, name: &str, at: u64, roles: &dyn Fn(&str) -> u16) -> u32 {
    let known = heap.globals.len();
    let id = heap.global(module, name, at, roles);
    if let Some(global) = heap.globals.get_mut(id as usize).filter(|_| id as usize >= known) {
        global.derived = true;
    }
    id
}

/// Partials around partials that are looked through.
const MOST_PARTIALS: usize = 8;
/// Arguments of a call that are looked at for bound methods.
const MOST_ARGUMENTS: usize = 16;

/// Notes that an object was called: where getattr made it, it is any method of anything.
pub(super) fn called_object(heap: &mut Heap, object: u32) {
    let mut object = object;
    for _ in 0..MOST_PARTIALS {
        let Some(&made) = heap.object(object) else { return };
        let Value::Global(id) = made.callee else { return };
        match from(heap.role_of(made.callee)) {
            Role::Getattr => return odd(heap, id),
            Role::Partial => {}
            _ => return,
        }
        // BUILD puts another function into a partial.
        let given = heap.items_of_tuple(made.state).first().or(heap.items_of_tuple(made.args).first()).copied();
        match given {
            Some(Value::Object(inner)) => object = inner,
            Some(Value::Global(_)) => return called(heap, given.unwrap_or(Value::None)),
            _ => return odd(heap, id),
        }
    }
}

/// Whether a call is handed a method of some object, which it may call in turn. A partial only keeps it.
pub(super) fn is_handed_a_method(heap: &Heap, callee: Value, args: Value) -> bool {
    from(heap.role_of(callee)) != Role::Partial
        && heap.items_of_tuple(args).iter().take(MOST_ARGUMENTS).any(|&item| {
            let mut item = item;
            for _ in 0..MOST_PARTIALS {
                let Value::Object(id) = item else { return false };
                let Some(made) = heap.object(id) else { return false };
                match from(heap.role_of(made.callee)) {
                    Role::Getattr => return true,
                    Role::Partial => {}
                    _ => return false,
                }
                let inner = heap.items_of_tuple(made.state).first().or(heap.items_of_tuple(made.args).first());
                item = inner.copied().unwrap_or(Value::None);
            }
            false
        })
}

fn called(heap: &mut Heap, value: Value) {
    if let Value::Global(id) = value
        && let Some(global) = heap.globals.get_mut(id as usize)
    {
        global.called = true;
    }
}

fn odd(heap: &mut Heap, id: u32) {
    if let Some(global) = heap.globals.get_mut(id as usize) {
        global.odd = true;
    }
}

fn copied(heap: &mut Heap, from: Value) -> u32 {
    let items = heap.sequence(from);
    let list = heap.add_list();
    for item in items {
        heap.push(list, item);
    }
    list
}

/// `OrderedDict()`, or Python 2's `OrderedDict([[key, value], …])`.
fn dict(heap: &mut Heap, given: Value) -> Value {
    if let Value::Dict(_) = given {
        return given;
    }
    let dict = heap.add_dict();
    for pair in heap.sequence(given) {
        let pair = heap.sequence(pair);
        if let [key, value] = *pair.as_slice() {
            heap.set(dict, key, value);
        }
    }
    Value::Dict(dict)
}
