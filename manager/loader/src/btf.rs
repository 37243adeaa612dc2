//! Where fields are in the running kernel's structs.

use std::path::Path;

use btf_rs::{Btf, BtfType, Struct, Type};
use weft_abi::names::settings;

use crate::Error;

/// The running kernel's types.
pub const KERNEL_TYPES: &str = "/sys/kernel/btf/vmlinux";

/// Structs may nest; the kernel's do so a few levels deep.
const DEPTH: u32 = 16;

/// The settings that depend on the running kernel: name and struct field.
const FIELDS: [(&str, &str, &str); 5] = [
    (settings::OFFSET_SK_ERR, "sock", "sk_err"),
    (settings::OFFSET_BYTES_ACKED, "tcp_sock", "bytes_acked"),
    (
        settings::OFFSET_BYTES_RECEIVED,
        "tcp_sock",
        "bytes_received",
    ),
    (settings::OFFSET_SRTT_US, "tcp_sock", "srtt_us"),
    (settings::OFFSET_TOTAL_RETRANS, "tcp_sock", "total_retrans"),
];

/// A setting of the programs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Offset {
    /// The setting, one of [`settings`].
    pub setting: &'static str,
    /// Bytes from the start of the struct; 0 when the kernel has no such field.
    pub bytes: u32,
}

/// The offsets the programs need, from the types in the file at `path` ([`KERNEL_TYPES`]).
///
/// # Errors
/// [`Error::Types`].
pub fn offsets(path: &Path) -> Result<Vec<Offset>, Error> {
    let types = Btf::from_file(path).map_err(types_error)?;
    FIELDS
        .iter()
        .map(|(setting, owner, field)| {
            let bytes = offset(&types, owner, field)?.unwrap_or(0);
            Ok(Offset { setting, bytes })
        })
        .collect()
}

/// The offset in bytes of a field of `struct owner`, also when it is in an anonymous struct or
/// union of it.
fn offset(types: &Btf, owner: &str, field: &str) -> Result<Option<u32>, Error> {
    for found in types.resolve_types_by_name(owner).map_err(types_error)? {
        if let Type::Struct(owner) = found {
            return Ok(member(types, &owner, field, DEPTH)?.map(|bits| bits / 8));
        }
    }
    Ok(None)
}

/// The offset in bits of `field`.
fn member(types: &Btf, owner: &Struct, field: &str, depth: u32) -> Result<Option<u32>, Error> {
    for member in &owner.members {
        // btf-rs answers an error for a member without a name.
        let name = types.resolve_name(member).unwrap_or_default();
        if name == field {
            return Ok(Some(member.bit_offset()));
        }
        if name.is_empty()
            && let Some(inner) = depth.checked_sub(1)
            && let Some(bits) = anonymous(types, member, field, inner)?
        {
            return Ok(Some(member.bit_offset() + bits));
        }
    }
    Ok(None)
}

fn anonymous(
    types: &Btf,
    member_type: &dyn BtfType,
    field: &str,
    depth: u32,
) -> Result<Option<u32>, Error> {
    match types
        .resolve_chained_type(member_type)
        .map_err(types_error)?
    {
        Type::Struct(inner) | Type::Union(inner) => member(types, &inner, field, depth),
        _ => Ok(None),
    }
}

/// Whether the kernel has a function of this name.
pub(crate) fn has_function(types: &Btf, name: &str) -> bool {
    let found = types.resolve_types_by_name(name);
    found.is_ok_and(|found| found.iter().any(|found| matches!(found, Type::Func(_))))
}

fn types_error(cause: btf_rs::Error) -> Error {
    Error::Types {
        cause: Box::new(cause),
    }
}

#[cfg(test)]
mod tests;
