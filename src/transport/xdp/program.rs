//! The program that runs in the kernel before its network stack, assembled here: which frames are ours.
//!
//! Ours is a frame to this interface's station, untagged, at most [`MAX_FRAME`] bytes, of IPv4 without
//! options and in one piece or of IPv6 without extension headers, with a UDP datagram to our port and to one
//! of our addresses, and not from one that stands for a subnet of ours. It goes to the socket of the queue it
//! came by. Everything else, and what comes by a queue without a socket, goes on to the kernel as if there
//! were no program.
//!
//! The program has no loop and writes nothing but its own stack; the kernel's verifier proves that each load
//! lies in the frame. Offsets count from the start of the frame.

use std::os::fd::{AsRawFd, BorrowedFd};

use zerocopy::{Immutable, IntoBytes};

use super::frame::{
    ETHERNET, FRAGMENT_V4, IPV4, IPV6, MAX_FRAME, PROTOCOL_UDP, TYPE_V4, TYPE_V6, UDP, VERSION_V4,
};
use super::interface::LONGEST_WITH_BROADCAST;

/// Instructions of a program, at most.
const MAX_INSTRUCTIONS: usize = 80;

/// What passes on to the kernel.
pub(super) const XDP_PASS: i32 = 2;
/// Functions of the kernel.
const MAP_LOOKUP_ELEM: i32 = 1;
const REDIRECT_MAP: i32 = 51;
/// Fields of what the program is called with.
const DATA: i16 = 0;
const DATA_END: i16 = 4;
const RX_QUEUE_INDEX: i16 = 16;
/// Marks a load of a map by its descriptor.
const MAP_DESCRIPTOR: u8 = 1;

/// Operations (RFC 9669).
const LOAD_IMMEDIATE: u8 = 0x18;
const LOAD_32: u8 = 0x61;
const LOAD_16: u8 = 0x69;
const LOAD_8: u8 = 0x71;
const STORE_IMMEDIATE_32: u8 = 0x62;
const STORE_32: u8 = 0x63;
const MOVE: u8 = 0xbf;
const MOVE_IMMEDIATE: u8 = 0xb7;
const ADD_IMMEDIATE: u8 = 0x07;
const AND_IMMEDIATE: u8 = 0x57;
const JUMP: u8 = 0x05;
const JUMP_EQUAL_IMMEDIATE: u8 = 0x15;
const JUMP_UNEQUAL_IMMEDIATE: u8 = 0x55;
const JUMP_GREATER: u8 = 0x2d;
const CALL: u8 = 0x85;
const EXIT: u8 = 0x95;

/// Registers: result, arguments, and what each is used for here.
const R0: u8 = 0;
const R1: u8 = 1;
const R2: u8 = 2;
const R3: u8 = 3;
const END: u8 = 3;
const LIMIT: u8 = 4;
const VALUE: u8 = 5;
/// Two that a call leaves alone.
const CONTEXT: u8 = 6;
const FRAME: u8 = 7;
const STACK: u8 = 10;

/// Where the address looked up stands below the top of the stack.
const KEY: i16 = -(ADDRESS_BYTES as i16);
/// Bytes of an address as the map of addresses has it: IPv6, or IPv4 mapped into it.
pub(super) const ADDRESS_BYTES: usize = 16;
/// What stands before an IPv4 address mapped into IPv6.
const MAPPED: i32 = 0x0000_ffff_u32.to_be().cast_signed();

const TYPE_AT: i16 = 12;
const V4: i16 = ETHERNET as i16;
const V6: i16 = ETHERNET as i16;
/// Bits that are set at the end of every broadcast address; of other sources only one in four has them.
const BROADCAST_BITS: i32 = 3;
const _: () = assert!(32 - LONGEST_WITH_BROADCAST as u32 == BROADCAST_BITS.count_ones());
const PORT_V4: i16 = V4 + IPV4 as i16 + 2;
const PORT_V6: i16 = V6 + IPV6 as i16 + 2;

/// One instruction as the kernel reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoBytes, Immutable)]
#[repr(C)]
pub(super) struct Instruction {
    operation: u8,
    registers: u8,
    offset: i16,
    immediate: i32,
}

/// Which frames are wanted and what they are looked up in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    /// The station of the interface.
    pub(super) station: [u8; 6],
    /// The port that is asked.
    pub(super) port: u16,
    /// A hash map whose keys are the addresses that are asked, [`ADDRESS_BYTES`] each.
    pub(super) addresses: BorrowedFd<'a>,
    /// The same of addresses that nobody asks from, since each stands for a subnet.
    pub(super) broadcasts: BorrowedFd<'a>,
    /// A map from queues to sockets.
    pub(super) sockets: BorrowedFd<'a>,
}

/// The program for `wanted`.
pub(super) fn assemble(wanted: &Wanted<'_>) -> Vec<Instruction> {
    let mut code = Assembler::default();
    code.put(MOVE, CONTEXT, R1, 0, 0);
    code.put(LOAD_32, FRAME, CONTEXT, DATA, 0);
    code.put(LOAD_32, END, CONTEXT, DATA_END, 0);
    code.bound(MAX_FRAME);
    code.pass_if(JUMP_GREATER, END, LIMIT, 0);
    code.bound(ETHERNET + IPV4 + UDP);
    code.pass_if(JUMP_GREATER, LIMIT, END, 0);
    for (at, half) in wanted.station.as_chunks::<2>().0.iter().enumerate() {
        code.require(LOAD_16, 2 * at as i16, half_word(*half));
    }
    code.put(LOAD_16, VALUE, FRAME, TYPE_AT, 0);
    let to_v6 = code.put(JUMP_EQUAL_IMMEDIATE, VALUE, 0, 0, half_word(TYPE_V6));
    code.pass_if(JUMP_UNEQUAL_IMMEDIATE, VALUE, 0, half_word(TYPE_V4));

    let port = half_word(wanted.port.to_be_bytes());
    code.require(LOAD_8, V4, VERSION_V4.into());
    code.put(LOAD_16, VALUE, FRAME, V4 + 6, 0);
    code.put(AND_IMMEDIATE, VALUE, 0, 0, half_word(FRAGMENT_V4.to_be_bytes()));
    code.pass_if(JUMP_UNEQUAL_IMMEDIATE, VALUE, 0, 0);
    code.require(LOAD_8, V4 + 9, PROTOCOL_UDP.into());
    code.require(LOAD_16, PORT_V4, port);
    code.put(STORE_IMMEDIATE_32, STACK, 0, KEY, 0);
    code.put(STORE_IMMEDIATE_32, STACK, 0, KEY + 4, 0);
    code.put(STORE_IMMEDIATE_32, STACK, 0, KEY + 8, MAPPED);
    code.put(LOAD_8, VALUE, FRAME, V4 + 15, 0);
    code.put(AND_IMMEDIATE, VALUE, 0, 0, BROADCAST_BITS);
    let to_asked = code.put(JUMP_UNEQUAL_IMMEDIATE, VALUE, 0, 0, BROADCAST_BITS);
    code.copy_word(V4 + 12, KEY + 12);
    code.look_up(wanted.broadcasts);
    code.pass_if(JUMP_UNEQUAL_IMMEDIATE, R0, 0, 0);
    code.land(to_asked);
    code.copy_word(V4 + 16, KEY + 12);
    let to_lookup = code.put(JUMP, 0, 0, 0, 0);

    code.land(to_v6);
    code.bound(ETHERNET + IPV6 + UDP);
    code.pass_if(JUMP_GREATER, LIMIT, END, 0);
    code.require(LOAD_8, V6 + 6, PROTOCOL_UDP.into());
    code.require(LOAD_16, PORT_V6, port);
    for word in 0..4 {
        code.copy_word(V6 + 24 + 4 * word, KEY + 4 * word);
    }

    code.land(to_lookup);
    code.look_up(wanted.addresses);
    code.pass_if(JUMP_EQUAL_IMMEDIATE, R0, 0, 0);
    code.put(LOAD_32, R2, CONTEXT, RX_QUEUE_INDEX, 0);
    code.load_map(R1, wanted.sockets);
    // What the map has no socket for is passed on as well.
    code.put(MOVE_IMMEDIATE, R3, 0, 0, XDP_PASS);
    code.put(CALL, 0, 0, 0, REDIRECT_MAP);
    code.put(EXIT, 0, 0, 0, 0);
    code.finish()
}

/// Two bytes of a frame as [`LOAD_16`] gives them.
fn half_word(bytes: [u8; 2]) -> i32 {
    u16::from_be_bytes(bytes).to_be().into()
}

/// Instructions so far, and the jumps that wait for the end, where frames are passed on.
#[derive(Default)]
struct Assembler {
    code: Vec<Instruction>,
    to_pass: Vec<usize>,
}

impl Assembler {
    fn put(&mut self, operation: u8, to: u8, from: u8, offset: i16, immediate: i32) -> usize {
        let registers = if cfg!(target_endian = "big") { to << 4 | from } else { from << 4 | to };
        self.code.push(Instruction { operation, registers, offset, immediate });
        self.code.len() - 1
    }

    /// Compares and passes the frame on if it holds.
    fn pass_if(&mut self, operation: u8, to: u8, from: u8, immediate: i32) {
        let at = self.put(operation, to, from, 0, immediate);
        self.to_pass.push(at);
    }

    /// Makes [`LIMIT`] the place `length` bytes into the frame.
    fn bound(&mut self, length: usize) {
        self.put(MOVE, LIMIT, FRAME, 0, 0);
        self.put(ADD_IMMEDIATE, LIMIT, 0, 0, length as i32);
    }

    /// Passes the frame on unless what stands at `at` is `value`.
    fn require(&mut self, load: u8, at: i16, value: i32) {
        self.put(load, VALUE, FRAME, at, 0);
        self.pass_if(JUMP_UNEQUAL_IMMEDIATE, VALUE, 0, value);
    }

    /// Copies four bytes of the frame to the stack.
    fn copy_word(&mut self, at: i16, to: i16) {
        self.put(LOAD_32, VALUE, FRAME, at, 0);
        self.put(STORE_32, STACK, VALUE, to, 0);
    }

    /// Makes [`R0`] 0 unless the address on the stack is in `map`.
    fn look_up(&mut self, map: BorrowedFd<'_>) {
        self.put(MOVE, R2, STACK, 0, 0);
        self.put(ADD_IMMEDIATE, R2, 0, 0, KEY.into());
        self.load_map(R1, map);
        self.put(CALL, 0, 0, 0, MAP_LOOKUP_ELEM);
    }

    fn load_map(&mut self, to: u8, map: BorrowedFd<'_>) {
        self.put(LOAD_IMMEDIATE, to, MAP_DESCRIPTOR, 0, map.as_raw_fd());
        self.put(0, 0, 0, 0, 0);
    }

    /// Lets the jump at `from` land on the next instruction.
    fn land(&mut self, from: usize) {
        self.code[from].offset = (self.code.len() - from - 1) as i16;
    }

    fn finish(mut self) -> Vec<Instruction> {
        for at in std::mem::take(&mut self.to_pass) {
            self.land(at);
        }
        self.put(MOVE_IMMEDIATE, R0, 0, 0, XDP_PASS);
        self.put(EXIT, 0, 0, 0, 0);
        debug_assert!(self.code.len() <= MAX_INSTRUCTIONS);
        self.code
    }
}

#[cfg(test)]
pub(super) mod tests;
