//! Hides `memset` and its kin in the object.
//!
//! LLVM calls them for copies it does not expand. As global functions the verifier checks them on
//! their own, and refuses them because they return nothing; libbpf (and so bpftool) treats a
//! hidden symbol as a static function, which the verifier follows into from each call.

use anyhow::{Context, Result, ensure};

const BUILTINS: [&[u8]; 5] = [b"memset", b"memcpy", b"memmove", b"memcmp", b"bcmp"];

/// `STV_HIDDEN` and `SHT_SYMTAB` of the ELF specification.
const HIDDEN: u8 = 2;
const SYMBOL_TABLE: u32 = 2;

/// Offsets in the structures of a 64-bit ELF file.
const SECTION_HEADERS: usize = 0x28;
const SECTION_COUNT: usize = 0x3c;
const SECTION_HEADER: usize = 0x40;
const SYMBOL: usize = 24;

/// Hides them; returns how many there were.
pub(super) fn hide(object: &mut [u8]) -> Result<usize> {
    ensure!(
        object.starts_with(b"\x7fELF\x02\x01"),
        "not a 64-bit little-endian ELF file"
    );
    let headers = long(object, SECTION_HEADERS)?;
    let count = usize::from(u16::from_le_bytes(read(object, SECTION_COUNT)?));
    let mut hidden = 0;
    for index in 0..count {
        let header = headers + index * SECTION_HEADER;
        if word(object, header + 4)? != SYMBOL_TABLE {
            continue;
        }
        let names = headers + word(object, header + 0x28)? as usize * SECTION_HEADER;
        let names = long(object, names + 0x18)?;
        let (first, size) = (long(object, header + 0x18)?, long(object, header + 0x20)?);
        for symbol in (first..first + size).step_by(SYMBOL) {
            let name = names + word(object, symbol)? as usize;
            if is_builtin(object.get(name..).unwrap_or_default()) {
                *object
                    .get_mut(symbol + 5)
                    .context("symbol beyond the end")? = HIDDEN;
                hidden += 1;
            }
        }
    }
    Ok(hidden)
}

fn is_builtin(name: &[u8]) -> bool {
    let mut parts = name.splitn(2, |byte| *byte == 0);
    parts.next().is_some_and(|name| BUILTINS.contains(&name))
}

fn long(object: &[u8], at: usize) -> Result<usize> {
    Ok(usize::try_from(u64::from_le_bytes(read(object, at)?))?)
}

fn word(object: &[u8], at: usize) -> Result<u32> {
    Ok(u32::from_le_bytes(read(object, at)?))
}

fn read<const N: usize>(object: &[u8], at: usize) -> Result<[u8; N]> {
    let bytes = object.get(at..).and_then(|rest| rest.first_chunk());
    bytes.copied().context("the file ends too soon")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_whole() {
        assert!(is_builtin(b"memset\0"));
        assert!(!is_builtin(b"memset_all\0") && !is_builtin(b"weft_connect4\0memset\0"));
    }

    #[test]
    fn what_is_no_object_is_refused() {
        assert!(hide(&mut []).is_err());
        assert!(hide(&mut b"\x7fELF\x02\x01".to_vec()).is_err());
    }
}
