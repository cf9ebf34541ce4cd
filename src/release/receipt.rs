//! stub
use super::signature::SigningKey;
use crate::wire::report::{Durability, RequestKind};
pub struct ReceiptFields {
    pub service: [u8; 8],
    pub set: u32,
    pub incarnation: u32,
    pub report: [u8; 16],
    pub seq: u64,
    pub time: u64,
    pub durability: Durability,
    pub kind: RequestKind,
    pub keys: u16,
    pub key_epoch: u32,
    pub content: [u8; 32],
    pub verdicts: [u8; 32],
}
pub struct Receipt([u8; 128]);
impl Receipt {
    pub fn new(_f: &ReceiptFields) -> Self {
        Receipt([0; 128])
    }
    pub fn sign(&self, _k: &SigningKey) -> [u8; 80] {
        [0; 80]
    }
    pub fn as_bytes(&self) -> &[u8; 128] {
        &self.0
    }
}
