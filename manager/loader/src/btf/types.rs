//! The kernel's type information, as far as offsets of fields need it
//! (Documentation/bpf/btf.rst, Linux 6.18). A reader of our own: the published ones are under a
//! copyleft licence or keep the fields to themselves.

use std::{fs, io, path::Path};

const MAGIC: u16 = 0xeb9f;

/// `enum btf_kind` of include/uapi/linux/btf.h.
mod kind {
    pub(super) const INT: u32 = 1;
    pub(super) const ARRAY: u32 = 3;
    pub(super) const STRUCT: u32 = 4;
    pub(super) const UNION: u32 = 5;
    pub(super) const ENUM: u32 = 6;
    pub(super) const TYPEDEF: u32 = 8;
    pub(super) const VOLATILE: u32 = 9;
    pub(super) const CONST: u32 = 10;
    pub(super) const RESTRICT: u32 = 11;
    pub(super) const FUNC: u32 = 12;
    pub(super) const FUNC_PROTO: u32 = 13;
    pub(super) const VAR: u32 = 14;
    pub(super) const DATASEC: u32 = 15;
    pub(super) const DECL_TAG: u32 = 17;
    pub(super) const TYPE_TAG: u32 = 18;
    pub(super) const ENUM64: u32 = 19;
}

/// Steps from a typedef or qualifier to what it stands for.
const CHAIN: u32 = 16;

/// Why a BTF section cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum BtfFault {
    /// The file.
    #[error("{0}")]
    File(#[from] io::Error),
    /// Not BTF, or of the other byte order.
    #[error("it has no BTF header")]
    NoHeader,
    /// It ends in the middle of something, or refers to what is not there.
    #[error("it is damaged at byte {at}")]
    Damaged {
        /// Offset in the file.
        at: usize,
    },
    /// A kind of type this version does not know the size of.
    #[error("it has types of unknown kind {kind}")]
    UnknownKind {
        /// `enum btf_kind`.
        kind: u32,
    },
}

/// All types of a BTF section.
#[derive(Debug)]
pub(crate) struct Btf {
    bytes: Vec<u8>,
    strings: usize,
    /// Offset of each type's entry; type ids begin at 1.
    types: Vec<usize>,
}

/// A member of a struct or union.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member<'a> {
    /// Empty when anonymous.
    pub(super) name: &'a str,
    pub(super) type_id: u32,
    /// From the start of the struct.
    pub(super) bits: u32,
}

impl Btf {
    pub(crate) fn from_file(path: impl AsRef<Path>) -> Result<Self, BtfFault> {
        Self::from_bytes(fs::read(path)?)
    }

    pub(crate) fn from_bytes(bytes: Vec<u8>) -> Result<Self, BtfFault> {
        let mut types = Self {
            bytes,
            strings: 0,
            types: Vec::new(),
        };
        let magic = types
            .bytes
            .first_chunk()
            .map(|magic| u16::from_ne_bytes(*magic));
        if magic != Some(MAGIC) {
            return Err(BtfFault::NoHeader);
        }
        let header = types.word(4)? as usize;
        let first = header.saturating_add(types.word(8)? as usize);
        let end = first.saturating_add(types.word(12)? as usize);
        types.strings = header.saturating_add(types.word(16)? as usize);
        let mut at = first;
        while at < end {
            types.types.push(at);
            at = at.saturating_add(types.size(at)?);
        }
        Ok(types)
    }

    /// As if the file ended in the middle of its strings.
    #[cfg(test)]
    pub(super) fn cut_strings(&mut self) {
        self.bytes.truncate(self.strings + 2);
    }

    /// The struct of this name.
    pub(super) fn structure(&self, name: &str) -> Result<Option<u32>, BtfFault> {
        self.find(kind::STRUCT, name)
    }

    /// Whether there is a function of this name.
    pub(crate) fn has_function(&self, name: &str) -> Result<bool, BtfFault> {
        Ok(self.find(kind::FUNC, name)?.is_some())
    }

    /// The members of a struct or union, none for any other type; typedefs and qualifiers are
    /// followed.
    pub(super) fn members(&self, type_id: u32) -> Result<Vec<Member<'_>>, BtfFault> {
        let at = self.resolve(type_id)?;
        let info = self.word(at + 4)?;
        if !matches!(kind_of(info), kind::STRUCT | kind::UNION) {
            return Ok(Vec::new());
        }
        let is_packed = info >> 31 == 1;
        let member = |index: usize| {
            let at = at + 12 + index * 12;
            let offset = self.word(at + 8)?;
            Ok(Member {
                name: self.string(self.word(at)?)?,
                type_id: self.word(at + 4)?,
                // With the kind flag the upper byte is the size of a bit field.
                bits: if is_packed {
                    offset & 0x00ff_ffff
                } else {
                    offset
                },
            })
        };
        (0..length_of(info)).map(member).collect()
    }

    fn find(&self, kind: u32, name: &str) -> Result<Option<u32>, BtfFault> {
        for (id, at) in (1..).zip(&self.types) {
            if kind_of(self.word(at + 4)?) == kind && self.string(self.word(*at)?)? == name {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }

    /// The entry a type stands for.
    fn resolve(&self, type_id: u32) -> Result<usize, BtfFault> {
        let mut id = type_id;
        for _ in 0..CHAIN {
            let index = (id as usize).wrapping_sub(1);
            let at = *self
                .types
                .get(index)
                .ok_or(BtfFault::Damaged { at: index })?;
            match kind_of(self.word(at + 4)?) {
                kind::TYPEDEF | kind::VOLATILE | kind::CONST | kind::RESTRICT | kind::TYPE_TAG => {
                    id = self.word(at + 8)?
                }
                _ => return Ok(at),
            }
        }
        Err(BtfFault::Damaged {
            at: type_id as usize,
        })
    }

    /// Bytes that an entry takes.
    fn size(&self, at: usize) -> Result<usize, BtfFault> {
        let info = self.word(at + 4)?;
        let length = length_of(info);
        let more = match kind_of(info) {
            kind::INT | kind::VAR | kind::DECL_TAG => 4,
            kind::ARRAY => 12,
            kind::STRUCT | kind::UNION | kind::DATASEC | kind::ENUM64 => length * 12,
            kind::ENUM | kind::FUNC_PROTO => length * 8,
            // Pointer, forward, typedef, qualifiers, function, float, type tag.
            2 | 7..=12 | 16 | kind::TYPE_TAG => 0,
            kind => return Err(BtfFault::UnknownKind { kind }),
        };
        Ok(12 + more)
    }

    fn word(&self, at: usize) -> Result<u32, BtfFault> {
        let bytes = self.bytes.get(at..).and_then(<[u8]>::first_chunk);
        bytes
            .map(|bytes| u32::from_ne_bytes(*bytes))
            .ok_or(BtfFault::Damaged { at })
    }

    fn string(&self, offset: u32) -> Result<&str, BtfFault> {
        let at = self.strings.saturating_add(offset as usize);
        let rest = self.bytes.get(at..).unwrap_or_default();
        let end = rest
            .iter()
            .position(|byte| *byte == 0)
            .ok_or(BtfFault::Damaged { at })?;
        std::str::from_utf8(&rest[..end]).map_err(|fault| BtfFault::Damaged {
            at: at + fault.valid_up_to(),
        })
    }
}

fn kind_of(info: u32) -> u32 {
    info >> 24 & 0x1f
}

fn length_of(info: u32) -> usize {
    (info & 0xffff) as usize
}
