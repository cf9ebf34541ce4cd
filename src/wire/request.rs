//! What a phone says inside a SEALED question: 2848 bytes, whatever it says (spec 7.2).
//!
//! [`Request`] writes them, [`RequestView`] reads them and refuses whatever is not so (7.2.4). What is asked
//! for is judged floors above, and the hash over the content is made there too: here are its bytes.

use thiserror::Error;
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::key::{KEY_LEN, LONG_KEY_LEN};
use super::report::{MAX_GRANT, MAX_SENT_KEYS, REPORT_ID_LEN, ReportType, RequestKind, SECRET_LEN, SentKey};

/// Bytes of a request (spec 7.1.2).
pub const REQUEST_LEN: usize = 2848;
/// Bytes of a puzzle seed (spec 7.5.1).
pub const PUZZLE_SEED_LEN: usize = 16;
/// What is hashed before service id, set and [content](RequestView::content_parts) (spec 7.2.5).
pub const CONTENT_CONTEXT: &str = "tekd/1 content\0";

const HEAD_LEN: usize = size_of::<Head>();
const TAIL_LEN: usize = size_of::<KeyTail>();
/// Bytes of the head that belong to the content: all but the puzzle (spec 7.2.5).
const CONTENT_HEAD_LEN: usize = 64;

const _: () = assert!(HEAD_LEN == 96 && TAIL_LEN == 12);
const _: () = assert!(core::mem::offset_of!(Head, puzzle_seed) == CONTENT_HEAD_LEN);
const _: () = assert!(HEAD_LEN + MAX_GRANT + MAX_SENT_KEYS * (LONG_KEY_LEN + TAIL_LEN) <= REQUEST_LEN);

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Head {
    kind: u8,
    key_len: u8,
    keys: u8,
    report_type: u8,
    grant_type: U16,
    grant_len: U16,
    onset_day: U32,
    reserved: U32,
    report: [u8; REPORT_ID_LEN],
    secret_or_hash: [u8; SECRET_LEN],
    puzzle_seed: [u8; PUZZLE_SEED_LEN],
    puzzle_solution: U64,
    reserved_end: U64,
}

/// What follows the bytes of a key (spec 7.2.2).
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct KeyTail {
    start: U32,
    period: U32,
    risk: u8,
    reserved: [u8; 3],
}

/// Why bytes are no request (spec 7.2.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum MalformedRequest {
    /// No such kind.
    #[error("request kind {0} is unknown")]
    Kind(u8),
    /// No such report type.
    #[error("report type {0} is unknown")]
    ReportType(u8),
    /// More keys than a request carries.
    #[error("{0} keys, at most {MAX_SENT_KEYS}")]
    Keys(u8),
    /// Keys of a length that none has, or a length without keys.
    #[error("{keys} keys of {len} bytes: a key has {KEY_LEN} or {LONG_KEY_LEN}, none has 0")]
    KeyLength {
        /// Number of keys.
        keys: u8,
        /// Bytes of each.
        len: u8,
    },
    /// A longer grant than a request carries.
    #[error("a grant of {0} bytes, at most {MAX_GRANT}")]
    GrantLength(u16),
    /// Bytes of a grant without its type.
    #[error("a grant of {0} bytes and no type")]
    GrantType(u16),
    /// A byte that must be zero, at this offset.
    #[error("byte {0} is not zero")]
    NotZero(usize),
    /// SUBMIT or DUMMY without a grant.
    #[error("{} without a grant", .0.name())]
    NoGrant(RequestKind),
    /// STATUS or CANCEL with a grant or keys.
    #[error("{} with a grant or keys", .0.name())]
    TooMuch(RequestKind),
}

/// Why a request cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RequestError {
    /// More keys than a request carries.
    #[error("{0} keys in one request, at most {MAX_SENT_KEYS}")]
    Keys(usize),
    /// Keys of different lengths, or of one that none has.
    #[error("keys of {first} and {other} bytes in one request: all have {KEY_LEN} or all {LONG_KEY_LEN}")]
    KeyLengths {
        /// Bytes of the first key.
        first: usize,
        /// Bytes of the key that does not fit.
        other: usize,
    },
    /// A longer grant than a request carries.
    #[error("a grant of {0} bytes, at most {MAX_GRANT}")]
    Grant(usize),
    /// Whoever reads it would refuse it.
    #[error(transparent)]
    Malformed(#[from] MalformedRequest),
}

/// A request before it is bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Request<'a> {
    /// What is wanted.
    pub kind: RequestKind,
    /// The keys, all of one length.
    pub keys: &'a [SentKey<'a>],
    /// The report type asked for; `None`: that of the grant.
    pub report_type: Option<ReportType>,
    /// Type and value of the grant.
    pub grant: Option<(u16, &'a [u8])>,
    /// Day on which symptoms began, in days since 1970-01-01.
    pub onset_day: Option<u32>,
    /// Report id.
    pub report: [u8; REPORT_ID_LEN],
    /// SUBMIT, DUMMY: H(secret); AMEND, STATUS, CANCEL: the secret.
    pub secret_or_hash: [u8; SECRET_LEN],
    /// Seed and solution of a puzzle.
    pub puzzle: Option<([u8; PUZZLE_SEED_LEN], u64)>,
}

impl core::fmt::Debug for Request<'_> {
    // no-trace: neither report nor secret nor grant nor key.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Request({}, {} keys)", self.kind.name(), self.keys.len())
    }
}

impl<'a> Request<'a> {
    /// A request about a report, with nothing else.
    #[must_use]
    pub fn about(
        kind: RequestKind,
        report: [u8; REPORT_ID_LEN],
        secret_or_hash: [u8; SECRET_LEN],
    ) -> Request<'a> {
        Request {
            kind,
            keys: &[],
            report_type: None,
            grant: None,
            onset_day: None,
            report,
            secret_or_hash,
            puzzle: None,
        }
    }

    /// Writes all 2848 bytes, and reads them as the server will.
    ///
    /// # Errors
    /// [`RequestError`]; what is in `out` is then no request.
    pub fn write<'o>(&self, out: &'o mut [u8; REQUEST_LEN]) -> Result<RequestView<'o>, RequestError> {
        let (key_len, keys) = self.key_len()?;
        let (grant_type, grant) = self.grant.unwrap_or((0, &[]));
        let grant_len = u16::try_from(grant.len()).ok().filter(|_| grant.len() <= MAX_GRANT);
        let (puzzle_seed, solution) = self.puzzle.unwrap_or_default();
        let head = Head {
            kind: self.kind.number(),
            key_len,
            keys,
            report_type: self.report_type.map_or(0, ReportType::number),
            grant_type: grant_type.into(),
            grant_len: grant_len.ok_or(RequestError::Grant(grant.len()))?.into(),
            onset_day: self.onset_day.unwrap_or(0).into(),
            reserved: 0.into(),
            report: self.report,
            secret_or_hash: self.secret_or_hash,
            puzzle_seed,
            puzzle_solution: solution.into(),
            reserved_end: 0.into(),
        };
        out.fill(0);
        let mut at = 0;
        let mut put = |bytes: &[u8]| {
            out[at..at + bytes.len()].copy_from_slice(bytes);
            at += bytes.len();
        };
        put(head.as_bytes());
        put(grant);
        for key in self.keys {
            put(key.key);
            let (start, period) = (key.start.into(), key.period.into());
            put(KeyTail { start, period, risk: key.risk, reserved: [0; 3] }.as_bytes());
        }
        Ok(RequestView::parse(out)?)
    }

    /// Bytes of each key and number of keys.
    fn key_len(&self) -> Result<(u8, u8), RequestError> {
        let keys = u8::try_from(self.keys.len()).ok().filter(|_| self.keys.len() <= MAX_SENT_KEYS);
        let keys = keys.ok_or(RequestError::Keys(self.keys.len()))?;
        let Some(first) = self.keys.first().map(|key| key.key.len()) else { return Ok((0, 0)) };
        let fits = |len: usize| len == first && (len == KEY_LEN || len == LONG_KEY_LEN);
        match self.keys.iter().map(|key| key.key.len()).find(|len| !fits(*len)) {
            Some(other) => Err(RequestError::KeyLengths { first, other }),
            None => Ok((first as u8, keys)),
        }
    }
}

/// A request that is well-formed, over its bytes.
#[derive(Clone, Copy)]
pub struct RequestView<'a> {
    head: &'a Head,
    kind: RequestKind,
    report_type: Option<ReportType>,
    grant: &'a [u8],
    keys: &'a [u8],
    bytes: &'a [u8; REQUEST_LEN],
}

impl core::fmt::Debug for RequestView<'_> {
    // no-trace: neither report nor secret nor grant nor key.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "RequestView({}, {} keys)", self.kind.name(), self.head.keys)
    }
}

impl<'a> RequestView<'a> {
    /// Reads a request (spec 7.2).
    ///
    /// # Errors
    /// [`MalformedRequest`]: the first rule it breaks.
    pub fn parse(bytes: &'a [u8; REQUEST_LEN]) -> Result<Self, MalformedRequest> {
        let (head, rest) = Head::ref_from_prefix(bytes).expect("a request is longer than its head");
        let kind = RequestKind::from_number(head.kind).ok_or(MalformedRequest::Kind(head.kind))?;
        let report_type = match head.report_type {
            0 => None,
            number => Some(ReportType::from_number(number).ok_or(MalformedRequest::ReportType(number))?),
        };
        let (key_len, keys, grant_len) = (head.key_len, head.keys, head.grant_len.get());
        if usize::from(keys) > MAX_SENT_KEYS {
            return Err(MalformedRequest::Keys(keys));
        }
        let is_length = usize::from(key_len) == KEY_LEN || usize::from(key_len) == LONG_KEY_LEN;
        let fits = if keys == 0 { key_len == 0 } else { is_length };
        if !fits {
            return Err(MalformedRequest::KeyLength { keys, len: key_len });
        }
        if usize::from(grant_len) > MAX_GRANT {
            return Err(MalformedRequest::GrantLength(grant_len));
        }
        let (grant, rest) = rest.split_at(usize::from(grant_len));
        let (keys, rest) = rest.split_at(usize::from(keys) * (usize::from(key_len) + TAIL_LEN));
        if let Some(at) = rest.iter().position(|byte| *byte != 0) {
            return Err(MalformedRequest::NotZero(REQUEST_LEN - rest.len() + at));
        }
        let view = RequestView { head, kind, report_type, grant, keys, bytes };
        view.check_reserved()?;
        view.check_form()?;
        Ok(view)
    }

    fn check_reserved(&self) -> Result<(), MalformedRequest> {
        let (head, keys_at) = (self.head, HEAD_LEN + self.grant.len());
        let zeros = [
            (core::mem::offset_of!(Head, reserved), head.reserved.get().into()),
            (core::mem::offset_of!(Head, reserved_end), head.reserved_end.get()),
        ];
        if let Some((at, _)) = zeros.into_iter().find(|(_, value)| *value != 0) {
            return Err(MalformedRequest::NotZero(at));
        }
        let sent = self.sent_len();
        let dirty = self.raw_keys().position(|(_, tail)| tail.reserved != [0; 3]);
        dirty.map_or(Ok(()), |index| Err(MalformedRequest::NotZero(keys_at + (index + 1) * sent - 3)))
    }

    fn check_form(&self) -> Result<(), MalformedRequest> {
        let (kind, has_grant) = (self.kind, self.head.grant_type.get() != 0);
        if !has_grant && !self.grant.is_empty() {
            return Err(MalformedRequest::GrantType(self.head.grant_len.get()));
        }
        match kind {
            RequestKind::Submit | RequestKind::Dummy if !has_grant => Err(MalformedRequest::NoGrant(kind)),
            RequestKind::Status | RequestKind::Cancel if has_grant || !self.keys.is_empty() => {
                Err(MalformedRequest::TooMuch(kind))
            }
            _ => Ok(()),
        }
    }

    /// Bytes of a key as it is sent, its tail included.
    fn sent_len(&self) -> usize {
        usize::from(self.head.key_len) + TAIL_LEN
    }

    fn raw_keys(&self) -> impl ExactSizeIterator<Item = (&'a [u8], &'a KeyTail)> + use<'a> {
        let key_len = usize::from(self.head.key_len);
        self.keys.chunks_exact(self.sent_len()).map(move |sent| {
            let (key, tail) = sent.split_at(key_len);
            (key, KeyTail::ref_from_bytes(tail).expect("a chunk is a key and its tail"))
        })
    }

    /// What is wanted.
    #[must_use]
    pub fn kind(&self) -> RequestKind {
        self.kind
    }

    /// Bytes of each key: 16 or 32, 0 without keys.
    #[must_use]
    pub fn key_len(&self) -> usize {
        usize::from(self.head.key_len)
    }

    /// The keys in the order they were sent.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = SentKey<'a>> + use<'a> {
        self.raw_keys().map(|(key, tail)| SentKey {
            key,
            start: tail.start.get(),
            period: tail.period.get(),
            risk: tail.risk,
        })
    }

    /// The report type asked for; `None`: that of the grant.
    #[must_use]
    pub fn report_type(&self) -> Option<ReportType> {
        self.report_type
    }

    /// Type and value of the grant.
    #[must_use]
    pub fn grant(&self) -> Option<(u16, &'a [u8])> {
        let ty = self.head.grant_type.get();
        (ty != 0).then_some((ty, self.grant))
    }

    /// Day on which symptoms began, in days since 1970-01-01.
    #[must_use]
    pub fn onset_day(&self) -> Option<u32> {
        let day = self.head.onset_day.get();
        (day != 0).then_some(day)
    }

    /// Report id.
    #[must_use]
    pub fn report(&self) -> &'a [u8; REPORT_ID_LEN] {
        &self.head.report
    }

    /// SUBMIT, DUMMY: H(secret); AMEND, STATUS, CANCEL: the secret.
    #[must_use]
    pub fn secret_or_hash(&self) -> &'a [u8; SECRET_LEN] {
        &self.head.secret_or_hash
    }

    /// The seed of the puzzle that is solved, or zeros.
    #[must_use]
    pub fn puzzle_seed(&self) -> &'a [u8; PUZZLE_SEED_LEN] {
        &self.head.puzzle_seed
    }

    /// The solution of the puzzle.
    #[must_use]
    pub fn puzzle_solution(&self) -> u64 {
        self.head.puzzle_solution.get()
    }

    /// The bytes that identify what is asked: those of the head before the puzzle, then grant and keys. What
    /// is hashed is [`CONTENT_CONTEXT`], service id, set, then these (spec 7.2.5).
    #[must_use]
    pub fn content_parts(&self) -> [&'a [u8]; 2] {
        let end = HEAD_LEN + self.grant.len() + self.keys.len();
        [&self.bytes[..CONTENT_HEAD_LEN], &self.bytes[HEAD_LEN..end]]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    const REPORT: [u8; 16] = [0xa1; 16];
    const SECRET: [u8; 32] = [0xb2; 32];

    fn key(bytes: &[u8], start: u32) -> SentKey<'_> {
        SentKey { key: bytes, start, period: 144, risk: 3 }
    }

    fn submit<'a>(keys: &'a [SentKey<'a>]) -> Request<'a> {
        Request {
            keys,
            report_type: Some(ReportType::Likely),
            grant: Some((1, b"CODE")),
            onset_day: Some(18_500),
            puzzle: Some(([7; 16], 0x0102)),
            ..Request::about(RequestKind::Submit, REPORT, SECRET)
        }
    }

    fn written(request: &Request<'_>) -> [u8; REQUEST_LEN] {
        let mut out = [0xee; REQUEST_LEN];
        request.write(&mut out).unwrap();
        out
    }

    #[test]
    fn every_field_lies_where_the_table_says() {
        // spec 7.2.1, 7.2.2
        let out = written(&submit(&[key(&[9; 16], 0x0a0b_0c0d)]));
        assert_eq!(out[..12], [1, 16, 1, 2, 1, 0, 4, 0, 0x44, 0x48, 0, 0]);
        assert_eq!(out[12..16], [0; 4]);
        assert_eq!((&out[16..32], &out[32..64]), (&REPORT[..], &SECRET[..]));
        assert_eq!(out[64..96], [[7; 16], [2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]].concat());
        assert_eq!(out[96..100], *b"CODE");
        assert_eq!(out[100..116], [9; 16]);
        assert_eq!(out[116..128], [0x0d, 0x0c, 0x0b, 0x0a, 144, 0, 0, 0, 3, 0, 0, 0]);
        assert!(out[128..].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn a_request_is_read_as_it_was_written() {
        let long = [5; 32];
        let keys = [key(&long, 1), key(&long, 2)];
        let out = written(&submit(&keys));
        let view = RequestView::parse(&out).unwrap();
        assert_eq!((view.kind(), view.key_len()), (RequestKind::Submit, 32));
        assert_eq!(view.keys().collect::<Vec<_>>(), keys);
        assert_eq!(view.report_type(), Some(ReportType::Likely));
        assert_eq!((view.grant(), view.onset_day()), (Some((1, &b"CODE"[..])), Some(18_500)));
        assert_eq!((view.report(), view.secret_or_hash()), (&REPORT, &SECRET));
        assert_eq!((view.puzzle_seed(), view.puzzle_solution()), (&[7; 16], 0x0102));
        let bare = written(&Request::about(RequestKind::Status, REPORT, SECRET));
        let view = RequestView::parse(&bare).unwrap();
        assert_eq!((view.grant(), view.onset_day(), view.report_type()), (None, None, None));
        assert_eq!((view.keys().len(), view.key_len()), (0, 0));
    }

    #[test]
    fn the_content_is_all_but_the_puzzle() {
        // spec 7.2.5
        let (one, other) = ([1; 16], [2; 16]);
        let content = |request: &Request<'_>| {
            let out = written(request);
            RequestView::parse(&out).unwrap().content_parts().concat()
        };
        let keys = [key(&one, 1)];
        let request = submit(&keys);
        assert_eq!(content(&request).len(), 64 + 4 + 28);
        assert_eq!(content(&request), content(&Request { puzzle: None, ..request }));
        assert_ne!(content(&request), content(&Request { grant: Some((2, b"CODE")), ..request }));
        assert_ne!(content(&request), content(&Request { keys: &[key(&other, 1)], ..request }));
        assert_ne!(content(&request), content(&Request { report: [0; 16], ..request }));
    }

    #[test]
    fn what_is_not_so_is_refused_with_its_reason() {
        // spec 7.2.4
        let keys = [key(&[9; 16], 4), key(&[8; 16], 4)];
        let good = written(&submit(&keys));
        let broken = |at: usize, value: u8| {
            let mut bytes = good;
            bytes[at] = value;
            RequestView::parse(&bytes).map(|_| ()).unwrap_err()
        };
        assert_eq!(broken(0, 0), MalformedRequest::Kind(0));
        assert_eq!(broken(0, 6), MalformedRequest::Kind(6));
        assert_eq!(broken(0, 3), MalformedRequest::TooMuch(RequestKind::Status));
        assert_eq!(broken(0, 4), MalformedRequest::TooMuch(RequestKind::Cancel));
        assert_eq!(broken(1, 15), MalformedRequest::KeyLength { keys: 2, len: 15 });
        assert_eq!(broken(1, 0), MalformedRequest::KeyLength { keys: 2, len: 0 });
        assert_eq!(broken(2, 0), MalformedRequest::KeyLength { keys: 0, len: 16 });
        assert_eq!(broken(2, 37), MalformedRequest::Keys(37));
        assert_eq!(broken(2, 1), MalformedRequest::NotZero(128), "the second key is behind the keys");
        assert_eq!(broken(3, 4), MalformedRequest::ReportType(4));
        assert_eq!(broken(4, 0), MalformedRequest::GrantType(4));
        assert_eq!(broken(7, 0xff), MalformedRequest::GrantLength(0xff04));
        assert_eq!(broken(15, 1), MalformedRequest::NotZero(12));
        assert_eq!(broken(95, 1), MalformedRequest::NotZero(88));
        assert_eq!(broken(127, 1), MalformedRequest::NotZero(125));
        assert_eq!(broken(153, 1), MalformedRequest::NotZero(153));
        assert_eq!(broken(REQUEST_LEN - 1, 1), MalformedRequest::NotZero(REQUEST_LEN - 1));
        for kind in [RequestKind::Submit, RequestKind::Dummy] {
            let bare = Request::about(kind, REPORT, SECRET).write(&mut [0; REQUEST_LEN]).map(|_| ());
            assert_eq!(bare, Err(RequestError::Malformed(MalformedRequest::NoGrant(kind))));
        }
    }

    #[test]
    fn what_does_not_fit_is_not_written() {
        let (short, long) = ([1; 16], [2; 32]);
        let write = |request: &Request<'_>| request.write(&mut [0; REQUEST_LEN]).map(|_| ());
        let full = [key(&long, 1); MAX_SENT_KEYS];
        let most = Request { grant: Some((3, &[1; MAX_GRANT])), ..submit(&full) };
        assert_eq!(write(&most), Ok(()));
        assert_eq!(write(&submit(&[key(&short, 1); 37])), Err(RequestError::Keys(37)));
        assert_eq!(write(&submit(&[key(&short, 1); 300])), Err(RequestError::Keys(300)));
        let mixed = [key(&short, 1), key(&long, 1)];
        assert_eq!(write(&submit(&mixed)), Err(RequestError::KeyLengths { first: 16, other: 32 }));
        let odd = [key(&long[..20], 1)];
        assert_eq!(write(&submit(&odd)), Err(RequestError::KeyLengths { first: 20, other: 20 }));
        for len in [MAX_GRANT + 1, 70_000] {
            let grant = vec![1; len];
            let request = Request { grant: Some((3, &grant)), ..submit(&[]) };
            assert_eq!(write(&request), Err(RequestError::Grant(len)));
        }
    }

    #[test]
    fn nothing_of_a_person_is_printed() {
        let keys = [key(&[9; 16], 4)];
        let out = written(&submit(&keys));
        assert_eq!(format!("{:?}", submit(&keys)), "Request(submit, 1 keys)");
        assert_eq!(format!("{:?}", RequestView::parse(&out).unwrap()), "RequestView(submit, 1 keys)");
    }

    proptest! {
        #[test]
        fn any_head_is_read_within_its_bytes_or_refused(
            head in vec(any::<u8>(), 12),
            kind in 0u8..7,
            keys in 0u8..40,
            long in any::<bool>(),
            fill in any::<u8>(),
        ) {
            let mut bytes = [0; REQUEST_LEN];
            bytes[..12].copy_from_slice(&head);
            (bytes[0], bytes[1], bytes[2], bytes[7]) = (kind, if long { 32 } else { 16 }, keys, head[7] & 7);
            bytes[100..300].fill(fill);
            if let Ok(view) = RequestView::parse(&bytes) {
                prop_assert!(view.keys().all(|key| key.key.len() == view.key_len()));
                prop_assert_eq!(view.keys().len(), usize::from(bytes[2]));
            }
        }
    }
}
