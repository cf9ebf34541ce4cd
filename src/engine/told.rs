//! What a phone was told, as the journal keeps it: what its receipt (spec 7.7.1) does not share with the
//! event, and the receipt put together again.

use super::codec::{DecodeError, Decoder, Encoder};
use crate::release::{
    DELEGATION_LEN, Delegation, Receipt, ReceiptFields, SIGNATURE_LEN, SigningKey, verdicts_digest,
};
use crate::wire::outcome::{RECEIPT_SIGNATURES_LEN, ReceiptBytes};
use crate::wire::report::{Durability, MAX_SENT_KEYS, RequestKind, Verdict};

/// What a phone was told about its request.
#[derive(Clone, PartialEq, Eq)]
pub struct Told {
    /// Content of the request (spec 7.2.5).
    pub content: [u8; 32],
    /// The verdict on each of its keys.
    pub verdicts: Vec<Verdict>,
    /// Where the receipt says that the event is stored.
    pub durability: Durability,
    /// Incarnation of the origin that signed the receipt.
    pub incarnation: u32,
    /// Epoch of the key that signed it.
    pub key_epoch: u32,
    /// Its signature over the receipt.
    pub signature: [u8; SIGNATURE_LEN],
}

/// The event that stored a request, as its receipt names it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) service: [u8; 8],
    pub(crate) set: u32,
    pub(crate) report: [u8; 16],
    pub(crate) seq: u64,
    /// Unix seconds.
    pub(crate) time: u64,
    pub(crate) kind: RequestKind,
}

impl Told {
    /// The receipt of what this tells about `stored`.
    pub(crate) fn receipt(&self, stored: &Stored) -> Receipt {
        let accepted = self.verdicts.iter().filter(|verdict| **verdict == Verdict::Accepted).count();
        Receipt::new(&ReceiptFields {
            service: stored.service,
            set: stored.set,
            incarnation: self.incarnation,
            report: stored.report,
            sequence: stored.seq,
            time: stored.time,
            durability: self.durability,
            kind: stored.kind,
            keys: u16::from(small(accepted)),
            key_epoch: self.key_epoch,
            content: self.content,
            verdicts: verdicts_digest(&self.verdicts),
        })
    }

    /// The same, signed by `online`.
    pub(crate) fn signed(self, stored: &Stored, online: &SigningKey) -> Self {
        let signature = self.receipt(stored).sign(online);
        Told { signature, ..self }
    }

    /// The receipt with all that proves it, as an answer carries it (spec 7.6.1). `delegation` is that of the
    /// key's epoch with its signature list; who has none proves nothing.
    pub(crate) fn proof(&self, stored: &Stored, delegation: Option<&[u8]>) -> ReceiptBytes {
        let receipt = self.receipt(stored);
        let vouched = delegation.unwrap_or_default();
        let signer = vouched.get(..DELEGATION_LEN).and_then(|body| Delegation::parse(body).ok());
        let list = signer.map(|signer| Receipt::signature_list(&signer.online(), &self.signature));
        let list = list.unwrap_or([0; RECEIPT_SIGNATURES_LEN]);
        ReceiptBytes::new(*receipt.as_bytes(), list, vouched)
    }

    pub(crate) fn encode(&self, e: &mut Encoder) {
        e.raw(&self.content).u8(self.durability.number());
        e.varint(self.incarnation.into()).varint(self.key_epoch.into()).raw(&self.signature);
        let others =
            || self.verdicts.iter().enumerate().filter(|(_, verdict)| **verdict != Verdict::Accepted);
        e.u8(small(self.verdicts.len())).u8(small(others().count()));
        for (at, verdict) in others() {
            e.u8(small(at)).u8(verdict.number());
        }
    }

    pub(crate) fn decode(d: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let (content, durability) = (d.array()?, d.u8()?);
        let durability = Durability::from_number(durability).ok_or(d.value(durability.into()))?;
        let (incarnation, key_epoch, signature) = (d.varint32()?, d.varint32()?, d.array()?);
        let verdicts = decode_verdicts(d)?;
        Ok(Told { content, verdicts, durability, incarnation, key_epoch, signature })
    }
}

fn decode_verdicts(d: &mut Decoder<'_>) -> Result<Vec<Verdict>, DecodeError> {
    let (n, others) = (d.u8()?, d.u8()?);
    if usize::from(n) > MAX_SENT_KEYS {
        return Err(d.value(n.into()));
    }
    let mut verdicts = vec![Verdict::Accepted; n.into()];
    let mut least = 0;
    for _ in 0..others {
        let (at, number) = (d.u8()?, d.u8()?);
        let verdict = Verdict::from_number(number).filter(|verdict| *verdict != Verdict::Accepted);
        // One event has one form: the others ascend.
        let place = verdicts.get_mut(usize::from(at)).filter(|_| at >= least);
        *place.ok_or(d.value(at.into()))? = verdict.ok_or(d.value(number.into()))?;
        least = at + 1;
    }
    Ok(verdicts)
}

fn small(n: usize) -> u8 {
    u8::try_from(n).expect("at most 36 keys are sent")
}
