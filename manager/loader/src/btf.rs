//! Where fields are in the running kernel's structs.

mod types;

use std::path::Path;

use weft_abi::names::settings;

use crate::Error;

pub(crate) use self::types::Btf;
pub use self::types::BtfFault;

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
            let bytes = offset(&types, owner, field)
                .map_err(types_error)?
                .unwrap_or(0);
            Ok(Offset { setting, bytes })
        })
        .collect()
}

/// The offset in bytes of a field of `struct owner`, also when it is in an anonymous struct or
/// union of it.
fn offset(types: &Btf, owner: &str, field: &str) -> Result<Option<u32>, BtfFault> {
    let Some(owner) = types.structure(owner)? else {
        return Ok(None);
    };
    Ok(member(types, owner, field, DEPTH)?.map(|bits| bits / 8))
}

/// The offset in bits of `field`.
fn member(types: &Btf, owner: u32, field: &str, depth: u32) -> Result<Option<u32>, BtfFault> {
    for found in types.members(owner)? {
        if found.name == field {
            return Ok(Some(found.bits));
        }
        if found.name.is_empty()
            && let Some(inner) = depth.checked_sub(1)
            && let Some(bits) = member(types, found.type_id, field, inner)?
        {
            return Ok(Some(found.bits + bits));
        }
    }
    Ok(None)
}

fn types_error(cause: BtfFault) -> Error {
    Error::Types {
        cause: Box::new(cause),
    }
}

#[cfg(test)]
mod tests;
