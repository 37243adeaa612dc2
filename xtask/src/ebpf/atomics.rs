//! Guards against a silent miscompile: LLVM writes a relaxed atomic add whose result *is* used as
//! the instruction that returns nothing, and the "old value" is then the addend itself. The
//! sources allow relaxed adds only where the result is dropped (see `tidy`); here the object is
//! asked whether its returning adds are still there.

use anyhow::{Context, Result, bail};

/// `BPF_STX | BPF_ATOMIC` on 32 and 64 bits (kernel: Documentation/bpf/standardization).
const ATOMIC: [u8; 2] = [0xc3, 0xdb];
/// Load of a 64-bit immediate: the one instruction of two words.
const LOAD_IMMEDIATE: u8 = 0x18;
/// Immediates of the two adds; other atomics are always what they were written as.
const ADD: u32 = 0;
const FETCH_ADD: u32 = 1;
const EXECUTABLE: u64 = 4;

/// How many atomic adds an object has.
#[derive(Default, PartialEq, Eq, Debug)]
struct Adds {
    plain: usize,
    fetching: usize,
}

/// Fails for an object with atomic adds none of which returns a value: round robin needs one.
pub(super) fn check(object: &[u8]) -> Result<()> {
    let found = count(object).context("not an ELF object for eBPF")?;
    if found.plain > 0 && found.fetching == 0 {
        bail!(
            "{} atomic adds and none returns the old value; the compiler dropped the \
             fetch of ebpf/src/atomic.rs, use AcqRel there",
            found.plain
        );
    }
    Ok(())
}

fn count(object: &[u8]) -> Option<Adds> {
    let mut adds = Adds::default();
    for code in executable_sections(object)? {
        count_section(code, &mut adds);
    }
    Some(adds)
}

fn count_section(code: &[u8], adds: &mut Adds) {
    let mut words = code.chunks_exact(8);
    while let Some(word) = words.next() {
        let immediate = u32::from_le_bytes([word[4], word[5], word[6], word[7]]);
        if word[0] == LOAD_IMMEDIATE {
            words.next();
        } else if ATOMIC.contains(&word[0]) {
            match immediate {
                ADD => adds.plain += 1,
                FETCH_ADD => adds.fetching += 1,
                _ => {}
            }
        }
    }
}

/// Contents of the sections with `SHF_EXECINSTR` of a little-endian ELF64 file.
fn executable_sections(object: &[u8]) -> Option<Vec<&[u8]>> {
    if object.get(..6)? != b"\x7fELF\x02\x01" {
        return None;
    }
    let table = usize::try_from(u64_at(object, 40)?).ok()?;
    let size = usize::from(u16_at(object, 58)?);
    let count = usize::from(u16_at(object, 60)?);
    let mut sections = Vec::new();
    for index in 0..count {
        let header = object.get(table.checked_add(index.checked_mul(size)?)?..)?;
        if u64_at(header, 8)? & EXECUTABLE != 0 {
            let start = usize::try_from(u64_at(header, 24)?).ok()?;
            let length = usize::try_from(u64_at(header, 32)?).ok()?;
            sections.push(object.get(start..start.checked_add(length)?)?);
        }
    }
    Some(sections)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..)?.first_chunk().copied()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..)?.first_chunk().copied()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An ELF64 file with one executable section.
    fn object(code: &[u8]) -> Vec<u8> {
        let mut file = vec![0; 64];
        file[..6].copy_from_slice(b"\x7fELF\x02\x01");
        file[40..48].copy_from_slice(&64_u64.to_le_bytes());
        file[58..60].copy_from_slice(&64_u16.to_le_bytes());
        file[60..62].copy_from_slice(&1_u16.to_le_bytes());
        let mut header = vec![0; 64];
        header[8..16].copy_from_slice(&EXECUTABLE.to_le_bytes());
        header[24..32].copy_from_slice(&128_u64.to_le_bytes());
        header[32..40].copy_from_slice(&(code.len() as u64).to_le_bytes());
        file.extend(header);
        file.extend(code);
        file
    }

    const PLAIN: [u8; 8] = [0xdb, 0x90, 0, 0, 0, 0, 0, 0];
    const EXCHANGE: [u8; 8] = [0xdb, 0x90, 0, 0, 0xe1, 0, 0, 0];
    const FETCHING: [u8; 8] = [0xdb, 0x90, 0, 0, 1, 0, 0, 0];

    #[test]
    fn an_object_that_lost_its_fetch_is_refused() {
        let refusal = check(&object(&[PLAIN, PLAIN, EXCHANGE].concat()))
            .unwrap_err()
            .to_string();
        assert!(refusal.starts_with("2 atomic adds"), "{refusal}");
    }

    #[test]
    fn an_object_that_fetches_or_has_no_atomics_passes() {
        assert!(check(&object(&[PLAIN, FETCHING].concat())).is_ok());
        assert!(check(&object(&[0x95, 0, 0, 0, 0, 0, 0, 0])).is_ok());
    }

    #[test]
    fn the_second_word_of_a_wide_load_is_no_instruction() {
        let load = [0x18, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(
            count(&object(&[load, PLAIN].concat())),
            Some(Adds::default())
        );
    }

    #[test]
    fn a_truncated_object_is_an_error_and_no_panic() {
        let whole = object(&PLAIN);
        for length in 0..whole.len() {
            assert!(check(&whole[..length]).is_err(), "{length} bytes");
        }
    }
}
