//! Loads the smallest program of a type, to learn whether the kernel has it.

use std::{io, os::fd::OwnedFd};

use super::{address, bpf_fd, command};

#[repr(C)]
#[derive(Default)]
struct Load {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
    prog_ifindex: u32,
    expected_attach_type: u32,
}

/// Loads `return 1`.
pub(crate) fn load(prog_type: u32, expected_attach_type: u32) -> io::Result<OwnedFd> {
    // `r0 = 1` (BPF_ALU64 | BPF_MOV | BPF_K) and `exit`, as `struct bpf_insn` (opcode, registers,
    // offset, immediate).
    let instructions: [[u8; 8]; 2] = [
        [
            0xb7,
            0,
            0,
            0,
            1u32.to_ne_bytes()[0],
            0,
            0,
            1u32.to_ne_bytes()[3],
        ],
        [0x95, 0, 0, 0, 0, 0, 0, 0],
    ];
    let mut attributes = Load {
        prog_type,
        insn_cnt: 2,
        insns: address(&instructions),
        license: c"GPL".as_ptr() as u64,
        prog_name: *b"weft_probe\0\0\0\0\0\0",
        expected_attach_type,
        ..Load::default()
    };
    // SAFETY: `insns` has `insn_cnt` instructions, `license` ends with a zero, there is no log.
    unsafe { bpf_fd(command::PROG_LOAD, &mut attributes) }
}
