//! The program on a table of frames, run by a small machine.

use std::collections::HashSet;
use std::io;
use std::os::fd::AsFd;

use proptest::prelude::*;

use super::super::frame::tests::{SERVER_MAC, SERVER_PORT, SERVER_V4, SERVER_V6, question_v4, question_v6};
use super::*;
use crate::transport::mmsg::MAX_DATAGRAM;

pub(in crate::transport::xdp) const XDP_REDIRECT: u64 = 4;
/// Where the small machine keeps its frame, its context and its stack.
const FRAME_AT: u64 = 0x1_0000;
const CONTEXT_AT: u64 = 0x2_0000;
const STACK_AT: u64 = 0x3_0000;

/// What stands for the server's subnets.
pub(in crate::transport::xdp) const BROADCASTS: [[u8; 4]; 2] = [[192, 0, 2, 255], [198, 51, 100, 127]];

pub(in crate::transport::xdp) fn mapped(address: [u8; 4]) -> [u8; ADDRESS_BYTES] {
    std::net::Ipv4Addr::from(address).to_ipv6_mapped().octets()
}

pub(in crate::transport::xdp) fn program() -> Vec<Instruction> {
    // Any three descriptors that stay open.
    let (addresses, broadcasts, sockets) = (io::stdin(), io::stdout(), io::stderr());
    assemble(&Wanted {
        station: SERVER_MAC,
        port: SERVER_PORT,
        addresses: addresses.as_fd(),
        broadcasts: broadcasts.as_fd(),
        sockets: sockets.as_fd(),
    })
}

/// Executes what `program` consists of; a load outside of the frame is a panic, as it is refused by a
/// verifier.
struct Machine<'a> {
    frame: &'a [u8],
    stack: [u8; ADDRESS_BYTES],
    registers: [u64; 11],
    addresses: HashSet<[u8; ADDRESS_BYTES]>,
    broadcasts: HashSet<[u8; ADDRESS_BYTES]>,
}

impl<'a> Machine<'a> {
    fn new(frame: &'a [u8]) -> Self {
        let mut registers = [0; 11];
        (registers[1], registers[10]) = (CONTEXT_AT, STACK_AT + ADDRESS_BYTES as u64);
        let addresses = [mapped(SERVER_V4), SERVER_V6].into();
        let broadcasts = BROADCASTS.map(mapped).into();
        Machine { frame, stack: [0; ADDRESS_BYTES], registers, addresses, broadcasts }
    }

    fn load(&self, address: u64, bytes: usize) -> u64 {
        if !(CONTEXT_AT..STACK_AT).contains(&address) {
            let at = (address - FRAME_AT) as usize;
            // On a machine of the other order the value would be the other way round, as would the
            // immediates.
            let mut value = [0; 8];
            value[..bytes].copy_from_slice(&self.frame[at..at + bytes]);
            return u64::from_le_bytes(value);
        }
        match address - CONTEXT_AT {
            0 => FRAME_AT,
            4 => FRAME_AT + self.frame.len() as u64,
            16 => 0,
            other => panic!("no field at {other}"),
        }
    }

    fn store(&mut self, address: u64, value: u32) {
        let at = (address - STACK_AT) as usize;
        self.stack[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }

    /// A call leaves nothing in the registers of its arguments.
    fn forget(&mut self) {
        self.registers[1..=5].fill(u64::MAX);
    }

    fn run(mut self, program: &[Instruction]) -> u64 {
        let mut at = 0;
        // No jump leads back, so that each step is another instruction.
        for _ in 0..program.len() {
            let Instruction { operation, registers, offset, immediate } = program[at];
            let (to, from) = (usize::from(registers & 15), usize::from(registers >> 4));
            let jump = (at as i64 + i64::from(offset)) as usize;
            let (target, source) = (self.registers[to], self.registers[from]);
            let wide = i64::from(immediate) as u64;
            let place = |base: u64| base.wrapping_add_signed(offset.into());
            match operation {
                LOAD_IMMEDIATE => {
                    self.registers[to] = wide;
                    at += 1;
                }
                LOAD_32 => self.registers[to] = self.load(place(source), 4),
                LOAD_16 => self.registers[to] = self.load(place(source), 2),
                LOAD_8 => self.registers[to] = self.load(place(source), 1),
                STORE_IMMEDIATE_32 => self.store(place(target), immediate.cast_unsigned()),
                STORE_32 => self.store(place(target), source as u32),
                MOVE => self.registers[to] = source,
                MOVE_IMMEDIATE => self.registers[to] = wide,
                ADD_IMMEDIATE => self.registers[to] = target.wrapping_add(wide),
                AND_IMMEDIATE => self.registers[to] = target & wide,
                JUMP => at = jump,
                JUMP_EQUAL_IMMEDIATE if target == wide => at = jump,
                JUMP_UNEQUAL_IMMEDIATE if target != wide => at = jump,
                JUMP_GREATER if target > source => at = jump,
                JUMP_EQUAL_IMMEDIATE | JUMP_UNEQUAL_IMMEDIATE | JUMP_GREATER => {}
                CALL if immediate == MAP_LOOKUP_ELEM => {
                    assert_eq!(self.registers[2], STACK_AT);
                    let map = if self.registers[1] == 0 { &self.addresses } else { &self.broadcasts };
                    self.registers[0] = map.contains(&self.stack).into();
                    self.forget();
                }
                CALL if immediate == REDIRECT_MAP => {
                    assert_eq!(self.registers[1..4], [2, 0, XDP_PASS as u64]);
                    self.registers[0] = XDP_REDIRECT;
                }
                EXIT => return self.registers[0],
                _ => panic!("operation {operation:#x}"),
            }
            at += 1;
        }
        panic!("no end")
    }
}

/// Frames by name, and whether they are ours.
pub(in crate::transport::xdp) fn table() -> Vec<(String, Vec<u8>, bool)> {
    let mut table: Vec<(String, Vec<u8>, bool)> = Vec::new();
    for (name, frame) in [("v4", question_v4(&[7; 96])), ("v6", question_v6(&[7; 96]))] {
        let v4 = name == "v4";
        table.push((name.to_owned(), frame.clone(), true));
        let mut bend = |what: &str, at: usize, value: u8, ours: bool| {
            let mut bent = frame.clone();
            bent[at] = value;
            table.push((format!("{name}: {what}"), bent, ours));
        };
        for at in 0..6 {
            bend("another station", at, 0xff, false);
        }
        bend("any source station", 6, 0x44, true);
        bend("another type", 12, 0x81, false);
        bend("another type", 13, 0x06, false);
        let (protocol, port, destination) = if v4 { (23, 36, 30) } else { (20, 56, 38) };
        for other in [0, 1, 6, 44, 58, 60] {
            bend("another protocol", protocol, other, false);
        }
        bend("another port", port, frame[port] ^ 0x80, false);
        bend("another port", port + 1, frame[port + 1] ^ 1, false);
        bend("any source port", port - 1, 0, true);
        for at in destination..(if v4 { 34 } else { 54 }) {
            bend("another address", at, 0x77, false);
        }
        if v4 {
            bend("from all of the subnet", 29, 255, false);
            bend("from an address that ends alike", 29, 127, true);
            bend("options", 14, 0x46, false);
            bend("more fragments", 20, 0x20, false);
            bend("a late fragment", 20, 0x1f, false);
            bend("a late fragment", 21, 0x01, false);
            bend("not to be fragmented", 20, 0x40, true);
            bend("may be fragmented", 20, 0x00, true);
        } else {
            bend("any class and label", 15, 0xab, true);
        }
        let headers = frame.len() - 96;
        for length in [14, 33, 41, headers - 1, headers] {
            table.push((format!("{name}: cut to {length}"), frame[..length].to_vec(), length == headers));
        }
        let tagged = [&frame[..12], &[0x81, 0, 0, 5], &frame[12..]].concat();
        table.push((format!("{name}: tagged"), tagged, false));
    }
    let mut from_another = question_v4(&[7; 96]);
    from_another[26..30].copy_from_slice(&BROADCASTS[1]);
    table.push(("from all of another subnet".to_owned(), from_another, false));
    let longest = question_v6(&[7; MAX_DATAGRAM]);
    table.push(("as long as may be".to_owned(), longest.clone(), true));
    table.push(("a byte longer".to_owned(), [&longest[..], &[0]].concat(), false));
    table
}

#[test]
fn the_table_is_decided_as_it_says() {
    let program = program();
    for (what, frame, ours) in table() {
        assert_eq!(Machine::new(&frame).run(&program) == XDP_REDIRECT, ours, "{what}");
    }
}

#[test]
fn instructions_are_laid_out_as_the_kernel_reads_them() {
    let program = program();
    assert!(program.len() <= MAX_INSTRUCTIONS, "{}", program.len());
    assert_eq!(program.as_bytes()[..8], [0xbf, 0x16, 0, 0, 0, 0, 0, 0], "r6 = r1");
    assert_eq!(program.as_bytes()[8..16], [0x61, 0x67, 0, 0, 0, 0, 0, 0], "r7 = *(u32 *)(r6 + 0)");
    let forward = program.iter().filter(|i| i.operation & 7 == 5 && !matches!(i.operation, CALL | EXIT));
    assert!(forward.clone().all(|jump| jump.offset >= 0) && forward.count() > 10, "no loop");
}

proptest! {
    #[test]
    fn no_frame_makes_the_program_read_beyond_it(
        v4 in any::<bool>(), at in 0usize..64, bytes in proptest::collection::vec(any::<u8>(), 0..20),
        length in 0usize..120,
    ) {
        let mut frame = if v4 { question_v4(&[7; 50]) } else { question_v6(&[7; 50]) };
        frame[at..at + bytes.len()].copy_from_slice(&bytes);
        frame.truncate(length);
        let said = Machine::new(&frame).run(&program());
        prop_assert!(said == XDP_REDIRECT || said == XDP_PASS as u64);
    }
}
