//! The parts of a manifest that may repeat: nodes, seal keys, witnesses, and what is not known (spec 3.6.2,
//! 1.2.1).
//!
//! This file reads and writes one TLV and one value; how many there may be and in which order is the
//! manifest's.

use zerocopy::little_endian::{U16, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::signature::PublicKey;

/// Bit of a type whose reader must know it.
pub(super) const CRITICAL: u16 = 0x8000;
pub(super) const NODE: u16 = 1;
pub(super) const SEAL_KEY: u16 = 2;
pub(super) const WITNESS: u16 = 3;

const _: () = assert!(size_of::<SealHead>() == 32 && size_of::<TlvHead>() == 4);

/// A TLV of this type that is cut, wrongly filled, or too long to write.
pub(super) struct CutTlv(pub(super) u16);

/// How a node is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeTransport {
    /// Datagrams (1).
    Udp,
    /// TLS over TCP (2).
    Tls,
    /// QUIC (3).
    Quic,
    /// A transport this version does not know.
    Other(u8),
}

impl NodeTransport {
    /// The transport with this number in a NODE TLV.
    #[must_use]
    pub fn from_number(number: u8) -> Self {
        match number {
            1 => Self::Udp,
            2 => Self::Tls,
            3 => Self::Quic,
            other => Self::Other(other),
        }
    }

    /// Its number in a NODE TLV.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Udp => 1,
            Self::Tls => 2,
            Self::Quic => 3,
            Self::Other(other) => other,
        }
    }
}

/// Where a node of the service answers (TLV NODE).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// How it is reached.
    pub transport: NodeTransport,
    /// `host:port` in ASCII.
    pub address: String,
}

/// A key reports are sealed to (TLV SEAL_KEY); numbers of the HPKE registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealKey {
    /// Key encapsulation.
    pub kem: u16,
    /// Key derivation.
    pub kdf: u16,
    /// Encryption.
    pub aead: u16,
    /// First second it may be sealed to.
    pub not_before: u64,
    /// Last second it may be sealed to.
    pub not_after: u64,
    /// Its id in a SEALED question.
    pub id: [u8; 8],
    /// The public key in the KEM's form.
    pub public: Vec<u8>,
}

/// Somebody who watches the log (TLV WITNESS).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witness {
    /// The key it signs with.
    pub key: PublicKey,
    /// Its name.
    pub name: String,
}

/// A TLV this version does not know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherTlv {
    /// Its type, not critical.
    pub ty: u16,
    /// Its value.
    pub value: Vec<u8>,
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct TlvHead {
    ty: U16,
    length: U16,
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct SealHead {
    kem: U16,
    kdf: U16,
    aead: U16,
    reserved: U16,
    not_before: U64,
    not_after: U64,
    id: [u8; 8],
}

impl Node {
    pub(super) fn value(&self) -> Vec<u8> {
        [&[self.transport.number()], self.address.as_bytes()].concat()
    }

    pub(super) fn read(value: &[u8]) -> Option<Self> {
        let (transport, address) = value.split_first()?;
        let address =
            str::from_utf8(address).ok().filter(|text| text.bytes().all(|b| b.is_ascii_graphic()))?;
        let (host, port) = address.rsplit_once(':')?;
        let port_is_number = port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok();
        let transport = NodeTransport::from_number(*transport);
        (port_is_number && !host.is_empty()).then(|| Self { transport, address: address.to_owned() })
    }
}

impl SealKey {
    pub(super) fn value(&self) -> Vec<u8> {
        let head = SealHead {
            kem: self.kem.into(),
            kdf: self.kdf.into(),
            aead: self.aead.into(),
            reserved: 0.into(),
            not_before: self.not_before.into(),
            not_after: self.not_after.into(),
            id: self.id,
        };
        [head.as_bytes(), &self.public].concat()
    }

    pub(super) fn read(value: &[u8]) -> Option<Self> {
        let (head, public) = SealHead::ref_from_prefix(value).ok()?;
        (!public.is_empty()).then(|| Self {
            kem: head.kem.get(),
            kdf: head.kdf.get(),
            aead: head.aead.get(),
            not_before: head.not_before.get(),
            not_after: head.not_after.get(),
            id: head.id,
            public: public.to_vec(),
        })
    }
}

impl Witness {
    pub(super) fn value(&self) -> Vec<u8> {
        [&self.key.0, self.name.as_bytes()].concat()
    }

    pub(super) fn read(value: &[u8]) -> Option<Self> {
        let (key, name) = value.split_first_chunk()?;
        Some(Self { key: PublicKey(*key), name: str::from_utf8(name).ok()?.to_owned() })
    }
}

/// Appends a TLV, filled up with zeros to a multiple of 4.
pub(super) fn put_tlv(out: &mut Vec<u8>, ty: u16, value: &[u8]) -> Result<(), CutTlv> {
    let length = u16::try_from(value.len()).map_err(|_| CutTlv(ty))?;
    out.extend_from_slice(TlvHead { ty: ty.into(), length: length.into() }.as_bytes());
    out.extend_from_slice(value);
    out.resize(out.len().next_multiple_of(4), 0);
    Ok(())
}

/// The first TLV of `bytes`, which is whole multiples of 4 behind whole TLVs: type, value, rest.
pub(super) fn take_tlv(bytes: &[u8]) -> Result<(u16, &[u8], &[u8]), CutTlv> {
    let (head, rest) = TlvHead::ref_from_prefix(bytes).map_err(|_| CutTlv(0))?;
    let (ty, length) = (head.ty.get(), usize::from(head.length.get()));
    let (padded, rest) = rest.split_at_checked(length.next_multiple_of(4)).ok_or(CutTlv(ty))?;
    let (value, filling) = padded.split_at(length);
    if filling.iter().any(|byte| *byte != 0) {
        return Err(CutTlv(ty));
    }
    Ok((ty, value, rest))
}
