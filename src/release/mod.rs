//! Floor 1: what is published. Keys' schemas and entries, the bucket tree whose root a
//! checkpoint signs, the deltas that lead from one version of a set to another, and how a stranger
//! checks all of it: signatures, delegation, checkpoint, log, manifest, trust.
//!
//! Everything here is a pure function over bytes: no clock, no I/O, no randomness. Keys,
//! objects and paths arrive as slices, and what a stranger may have written is checked and
//! bounded before anything is allocated for it. Law: protocol-spec pages 3 and 4.

pub mod schema;
pub mod bits;
pub mod rice;
pub mod rans;
pub mod tree;
pub mod live;
pub mod delta;
mod signature;
mod delegation;
mod checkpoint;
mod answer;
mod log;
mod manifest_tlv;
mod manifest;
mod trust;
#[cfg(feature = "net")]
mod trust_file;
mod verifier;
mod receipt;

pub use answer::{
    AnswerError, CheckpointAnswer, MAX_ANSWER_BODY, compose_answer_body, parse_answer_body,
    parse_answer_prefix,
};
pub use checkpoint::{CHECKPOINT_LEN, Checkpoint, CheckpointError, CheckpointFields, MAX_BITS};
pub use delegation::{
    DELEGATION_LEN, Delegation, DelegationError, DelegationFields, MAX_DELEGATION_SIGNATURES,
};
pub use live::{LiveSet, SetError};
pub use log::{
    EMPTY_ROOT, LogTree, MAX_PROOF_HASHES, log_leaf_hash, log_node_hash, verify_consistency, verify_inclusion,
};
pub use manifest::{MAX_MANIFEST, MAX_MANIFEST_TLVS, Manifest, ManifestError, manifest_digest};
pub use manifest_tlv::{Node, NodeTransport, OtherTlv, SealKey, Witness};
pub use receipt::{
    BundleError, Receipt, ReceiptBundle, ReceiptError, ReceiptFields, SUCCESSION_S, content_digest,
    verdicts_digest, verify_receipt,
};
pub use schema::{EntryView, Fields, FieldsError, LIVE, ONSET_NONE, Schema};
pub use signature::{
    CHECKPOINT_CONTEXT, DELEGATION_CONTEXT, ED25519, KeyId, MANIFEST_CONTEXT, MAX_SIGNATURES, PublicKey,
    RECEIPT_CONTEXT, SIGNATURE_LEN, SignatureEntry, SignatureError, SignatureList, SigningKey, verify,
};
pub use tree::{BucketError, Hash, Tree, TreeBuilder, build_tree};
pub use trust::{MAX_ROOTS, MAX_THRESHOLD, MAX_TRUST_SETS, Trust, TrustError};
#[cfg(feature = "net")]
pub use trust_file::{MAX_TRUST_FILE, TrustFileError};
pub use verifier::{Age, DEFAULT_TOO_OLD_S, MemoryError, Verifier, VerifyError, age};
