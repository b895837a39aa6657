//! Writes pickles and the containers of `torch.save` byte by byte, so that any part of them can lie.

/// A pickle's text.
pub fn text(s: &str) -> Vec<u8> {
    [b"X".as_slice(), &(s.len() as u32).to_le_bytes(), s.as_bytes()].concat()
}

/// A small int.
pub fn int(n: i32) -> Vec<u8> {
    [b"J".as_slice(), &n.to_le_bytes()].concat()
}

/// An int of 64 bits.
pub fn long(n: i64) -> Vec<u8> {
    [b"\x8a\x08".as_slice(), &n.to_le_bytes()].concat()
}

/// A function or class by name.
pub fn global(module: &str, name: &str) -> Vec<u8> {
    format!("c{module}\n{name}\n").into_bytes()
}

/// A tuple.
pub fn tuple(items: &[Vec<u8>]) -> Vec<u8> {
    [b"(".as_slice(), &items.concat(), b"t"].concat()
}

/// A call of `module.name` with these arguments.
pub fn call(module: &str, name: &str, arguments: &[Vec<u8>]) -> Vec<u8> {
    [global(module, name), tuple(arguments), b"R".to_vec()].concat()
}

/// A command that leaves a mark in the current directory, if anything ever ran it.
pub const MARK: &str = "touch CKDIFF_PWNED";

/// `posix.system` with [`MARK`].
pub fn system() -> Vec<u8> {
    call("posix", "system", &[text(MARK)])
}

/// A persistent id of a storage.
pub fn storage(class: &str, key: &str, elements: i64) -> Vec<u8> {
    let items = [text("storage"), global("torch", class), text(key), text("cpu"), long(elements)];
    [tuple(&items), b"Q".to_vec()].concat()
}

/// `_rebuild_tensor_v2` over a storage.
pub fn tensor(storage: &[u8], offset: Vec<u8>, size: Vec<u8>, stride: Vec<u8>) -> Vec<u8> {
    let hooks = call("collections", "OrderedDict", &[]);
    call("torch._utils", "_rebuild_tensor_v2", &[storage.to_vec(), offset, size, stride, b"\x89".to_vec(), hooks])
}

/// Four floats in storage `key`.
pub fn four(key: &str) -> Vec<u8> {
    tensor(&storage("FloatStorage", key, 4), int(0), tuple(&[int(4)]), tuple(&[int(1)]))
}

/// A pickle of protocol 2 with a dict of these keys and values.
pub fn dict(pairs: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let items: Vec<u8> = pairs.iter().flat_map(|(key, value)| [text(key), value.clone()].concat()).collect();
    [b"\x80\x02}(".as_slice(), &items, b"u."].concat()
}

/// A member of a zip archive, with what its directory says of it.
#[derive(Clone)]
pub struct Member {
    pub name: Vec<u8>,
    pub local_name: Vec<u8>,
    pub data: Vec<u8>,
    pub method: u16,
    pub flags: u16,
    pub packed: u32,
    pub size: u32,
    /// Use the local header of this member instead of an own one.
    pub shares: Option<usize>,
}

impl Member {
    pub fn new(name: &str, data: impl Into<Vec<u8>>) -> Member {
        let data = data.into();
        let len = data.len() as u32;
        Member {
            name: name.into(),
            local_name: name.into(),
            data,
            method: 0,
            flags: 0,
            packed: len,
            size: len,
            shares: None,
        }
    }

    /// Deflates the data.
    pub fn deflated(mut self) -> Member {
        self.data = miniz_oxide::deflate::compress_to_vec(&self.data, 6);
        self.packed = self.data.len() as u32;
        self.method = 8;
        self
    }
}

/// What the end record of an archive says; `None` says the truth.
#[derive(Clone, Copy, Default)]
pub struct End {
    pub disk: u16,
    pub count: Option<u16>,
    pub directory_size: Option<u32>,
    pub directory_offset: Option<u32>,
}

/// A zip archive.
pub fn zip(members: &[Member], end: End) -> Vec<u8> {
    let mut out = Vec::new();
    let mut headers: Vec<u32> = Vec::new();
    for member in members {
        if let Some(other) = member.shares {
            headers.push(headers[other]);
            continue;
        }
        headers.push(out.len() as u32);
        out.extend(b"PK\x03\x04\x14\0");
        out.extend(member.flags.to_le_bytes());
        out.extend(member.method.to_le_bytes());
        out.extend([0; 8]); // Time, date, checksum: PyTorch checks none of them.
        out.extend(member.packed.to_le_bytes());
        out.extend(member.size.to_le_bytes());
        out.extend((member.local_name.len() as u16).to_le_bytes());
        out.extend([0; 2]);
        out.extend(&member.local_name);
        out.extend(&member.data);
    }
    let start = out.len() as u32;
    for (member, header) in members.iter().zip(&headers) {
        out.extend(b"PK\x01\x02\x14\0\x14\0");
        out.extend(member.flags.to_le_bytes());
        out.extend(member.method.to_le_bytes());
        out.extend([0; 8]);
        out.extend(member.packed.to_le_bytes());
        out.extend(member.size.to_le_bytes());
        out.extend((member.name.len() as u16).to_le_bytes());
        out.extend([0; 12]);
        out.extend(header.to_le_bytes());
        out.extend(&member.name);
    }
    let size = out.len() as u32 - start;
    let count = end.count.unwrap_or(members.len() as u16).to_le_bytes();
    out.extend(b"PK\x05\x06");
    out.extend(end.disk.to_le_bytes());
    out.extend(end.disk.to_le_bytes());
    out.extend(count);
    out.extend(count);
    out.extend(end.directory_size.unwrap_or(size).to_le_bytes());
    out.extend(end.directory_offset.unwrap_or(start).to_le_bytes());
    out.extend([0; 2]);
    out
}

/// The members of a checkpoint around `data.pkl`, with storage 0 of 16 bytes.
pub fn members(data_pkl: &[u8]) -> Vec<Member> {
    vec![
        Member::new("archive/data.pkl", data_pkl),
        Member::new("archive/byteorder", "little"),
        Member::new("archive/data/0", [1; 16]),
        Member::new("archive/version", "3\n"),
    ]
}

/// A checkpoint as `torch.save` lays it out.
pub fn checkpoint(data_pkl: &[u8]) -> Vec<u8> {
    zip(&members(data_pkl), End::default())
}

/// The first pickle of a legacy stream.
pub const MAGIC: &[u8] = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.";
/// The second one: the protocol.
pub const PROTOCOL: &[u8] = b"\x80\x02M\xe9\x03.";

/// The third one: the system that wrote the stream.
pub fn system_info() -> Vec<u8> {
    dict(&[
        ("protocol_version", b"M\xe9\x03".to_vec()),
        ("little_endian", b"\x88".to_vec()),
        ("type_sizes", b"}".to_vec()),
    ])
}

/// The fifth one: the keys of storages in the order in which they follow.
pub fn keys(keys: &[&str]) -> Vec<u8> {
    let keys: Vec<u8> = keys.iter().flat_map(|key| text(key)).collect();
    [b"\x80\x02](".as_slice(), &keys, b"e."].concat()
}

/// A storage's bytes as they follow the fifth pickle.
pub fn data(elements: u64, bytes: usize) -> Vec<u8> {
    [elements.to_le_bytes().as_slice(), &vec![1; bytes]].concat()
}

/// A legacy stream around the object pickle, with storage 0 of four floats.
pub fn legacy(object: &[u8]) -> Vec<u8> {
    [MAGIC, PROTOCOL, &system_info(), object, &keys(&["0"]), &data(4, 16)].concat()
}
