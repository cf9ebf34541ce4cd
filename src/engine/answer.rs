//! From a question to its answer, out of one [`View`].
//!
//! Nothing here allocates, locks, waits or computes more than a search: what takes work was made at the
//! release (objects, checkpoint answers) or is left as a wish for the builder. One call answers from one view
//! (one-release-at-a-time).

use zerocopy::little_endian::{U16, U32, U64};

use super::objects::{Kind, Offer};
use super::view::{ReleaseView, SetView, View, Wish};
use crate::release::tree::bucket_path;
use crate::release::{MAX_PROOF_HASHES, Schema};
use crate::store::generation::is_live;
use crate::store::prefetch;
use crate::wire::answer::{self, AnswerHeader, DoesNotFit};
use crate::wire::layout::{
    BUCKET_PAD, BucketHead, InfoDetail, MAX_BUCKET_SPAN, MAX_UDP_OBJECT, ObjectDescriptor,
};
use crate::wire::question::{Bucket, Fetch, Lookup, Proof, ProofKind, Sync};
use crate::wire::slot::write_slot;
use crate::wire::{
    Body, FLAG_DRAINING, FLAG_STALE, HEADER_LEN, MAX_ANSWER_STREAM, MAX_DATAGRAM, Question, ResultCode,
    refuse, tlv,
};

/// Seconds a client waits while an object is made.
pub(crate) const PENDING_WAIT_S: u16 = 1;
/// Longest wait an answer asks for, in seconds.
pub(crate) const WAIT_MAX_S: u64 = 3600;

/// What an answer is written with, beside the view.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'q> {
    pub(crate) question: &'q Question,
    /// Unix seconds.
    pub(crate) now: u64,
    pub(crate) on_stream: bool,
    /// Cookie to enclose when the answer turns out not to fit.
    pub(crate) fresh_cookie: u64,
    /// Cookie to enclose anyway, or 0.
    pub(crate) cookie: u64,
}

/// Levels from the root whose hashes are near anyway, since every proof has some of them: 32 KiB.
const NEAR_LEVELS: u8 = 10;

/// Entries under a prefix, withdrawn ones included, that are looked at for one BUCKET at most: several times
/// as many as its answer has room for.
const DATAGRAM_SCAN_MAX: usize = 1024;
const STREAM_SCAN_MAX: usize = 1 << 17;

const _: () = assert!(DATAGRAM_SCAN_MAX > MAX_DATAGRAM / Schema::GaenMinimal.public_len());
const _: () = assert!(STREAM_SCAN_MAX > MAX_ANSWER_STREAM / Schema::GaenMinimal.public_len());

/// Why there is no answer with a body: result, detail, wait in seconds.
struct Refused(ResultCode, u32, u16);

type Written = Result<usize, Refused>;

const fn no(result: ResultCode) -> Refused {
    Refused(result, 0, 0)
}

impl From<DoesNotFit> for Refused {
    fn from(DoesNotFit(length): DoesNotFit) -> Self {
        Refused(ResultCode::Truncated, u32::try_from(length).unwrap_or(u32::MAX), 0)
    }
}

/// What a question needs of the table, asked for before it is answered: first where its keys are and the
/// proof, then the entries there. Who answers many questions does the first for all, then the second for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Foresight {
    /// The places of the index, and the hashes of a proof.
    Slots,
    /// The entries, once the places of the index are near.
    Entries,
}

/// Asks for the memory that the answer to a question is read from.
#[inline(always)]
pub(crate) fn foresee(set: Option<&SetView>, body: &Body<'_>, what: Foresight) {
    match body {
        Body::Lookup(q) => foresee_keys(set, q, what),
        Body::Bucket(q) => foresee_bucket(set, q, what),
        _ => {}
    }
}

#[inline]
fn foresee_keys(set: Option<&SetView>, q: &Lookup<'_>, what: Foresight) {
    let Some(set) = set.filter(|set| set.schema.key_len() == q.key_len()) else { return };
    let Some(release) = &set.release else { return };
    match what {
        Foresight::Slots => q.keys().for_each(|key| release.generation.foresee_slot(key)),
        Foresight::Entries => q.keys().for_each(|key| release.generation.foresee_entries(key)),
    }
}

fn foresee_bucket(set: Option<&SetView>, q: &Bucket<'_>, what: Foresight) {
    let Some(release) = set.and_then(|set| set.release.as_ref()) else { return };
    let (generation, depth) = (&*release.generation, release.checkpoint.bits());
    let Some(prefix) = q.node().filter(|_| q.bits <= depth) else { return };
    match what {
        Foresight::Slots => {
            generation.foresee_bucket_slots(prefix, q.bits);
            let far = q.held.max(NEAR_LEVELS).min(q.bits);
            let path = bucket_path(generation.node_bytes(), depth, q.bits, far, prefix);
            path.into_iter().flatten().for_each(|hash| prefetch(hash));
        }
        Foresight::Entries => generation.foresee_bucket_entries(prefix, q.bits),
    }
}

/// The same for a question that is answered alone: what is read in several places is asked for in all first.
pub(crate) fn foresee_alone(set: Option<&SetView>, body: &Body<'_>) {
    if matches!(body, Body::Lookup(q) if q.count > 1) || matches!(body, Body::Bucket(_)) {
        foresee(set, body, Foresight::Slots);
        foresee(set, body, Foresight::Entries);
    }
}

/// Writes the answer to a question that was read without fault into `out`, whose length is the room there is;
/// returns its length and result. `set` is the one of `view` that it asks about.
pub(crate) fn write_answer(
    view: &View,
    set: Option<&SetView>,
    asked: &Asked<'_>,
    body: &Body<'_>,
    out: &mut [u8],
) -> (usize, ResultCode) {
    let written = match set {
        None => Err(no(ResultCode::Set)),
        Some(set) => answer_set(view, set, asked, body, out),
    };
    match written {
        Ok(length) => (length, ResultCode::Ok),
        Err(Refused(result, info, wait)) => {
            let truncated = result == ResultCode::Truncated && !asked.on_stream;
            let cookie = if truncated { asked.fresh_cookie } else { asked.cookie };
            (refuse(asked.question, result, info, wait, cookie, out), result)
        }
    }
}

fn answer_set(view: &View, set: &SetView, asked: &Asked<'_>, body: &Body<'_>, out: &mut [u8]) -> Written {
    match body {
        Body::Info => return Ok(info(view, set, asked, out)),
        Body::Manifest => return manifest(view, set, asked, out),
        Body::Sealed(_) | Body::Notify(_) => return Err(no(ResultCode::Refused)),
        _ => {}
    }
    let Some(release) = &set.release else { return Err(no(ResultCode::Unavailable)) };
    let head = head(view, set, Some(release), asked);
    match body {
        Body::Checkpoint => Ok(answer::with_body(head, &release.checkpoint_answer, out)?),
        Body::Lookup(q) => lookup(set, release, head, q, out),
        Body::Bucket(q) => bucket(set, release, head, q, asked.on_stream, out),
        Body::Sync(q) => sync(view, set, release, head, *q, out),
        Body::Fetch(q) => fetch(release, head, q, asked.on_stream, out),
        Body::Proof(q) => proof(release, head, *q, out),
        Body::Info | Body::Manifest | Body::Sealed(_) | Body::Notify(_) => Err(no(ResultCode::Operation)),
    }
}

/// Header of an OK answer without a body.
fn head<'q>(
    view: &View,
    set: &SetView,
    release: Option<&ReleaseView>,
    asked: &Asked<'q>,
) -> AnswerHeader<'q> {
    let mut flags = 0;
    if view.is_draining() {
        flags |= FLAG_DRAINING;
    }
    if release.is_some_and(|r| asked.now > r.checkpoint.fresh_until()) {
        flags |= FLAG_STALE;
    }
    let wait = set.next_release.saturating_sub(asked.now).min(WAIT_MAX_S);
    AnswerHeader {
        flags,
        cookie: asked.cookie,
        wait: u16::try_from(wait).expect("at most WAIT_MAX_S"),
        version: release.map_or(0, |r| r.checkpoint.version()),
        ..AnswerHeader::to(asked.question)
    }
}

const _: () = assert!(WAIT_MAX_S <= u16::MAX as u64);

fn info(view: &View, set: &SetView, asked: &Asked<'_>, out: &mut [u8]) -> usize {
    let release = set.release.as_ref();
    let detail = InfoDetail {
        node: U32::new(view.node),
        least: 1,
        newest: 1,
        reserved: U16::new(0),
        checkpoint_time: U64::new(release.map_or(0, |r| r.checkpoint.time())),
    };
    let cookie = if asked.on_stream { 0 } else { asked.fresh_cookie };
    AnswerHeader { cookie, detail: detail.into(), ..head(view, set, release, asked) }.write(out)
}

fn manifest(view: &View, set: &SetView, asked: &Asked<'_>, out: &mut [u8]) -> Written {
    if set.manifest.is_empty() {
        return Err(no(ResultCode::Unavailable));
    }
    Ok(answer::with_body(head(view, set, set.release.as_ref(), asked), &set.manifest, out)?)
}

fn lookup(
    set: &SetView,
    release: &ReleaseView,
    head: AnswerHeader<'_>,
    q: &Lookup<'_>,
    out: &mut [u8],
) -> Written {
    if q.key_len() != set.schema.key_len() {
        return Err(no(ResultCode::Set));
    }
    let length = HEADER_LEN + q.slots.len();
    let slots = out.get_mut(HEADER_LEN..length).ok_or(DoesNotFit(length))?;
    let (generation, fields) = (&*release.generation, set.schema.key_len()..set.schema.public_len());
    let mut rest = slots;
    for key in q.keys() {
        let (slot, after) = rest.split_at_mut(q.slot_len);
        let found = generation.find_live(key);
        write_slot(slot, key, found.map(|at| &generation.entry(at)[fields.clone()]));
        if !generation.vouches_for(key, found) {
            return Err(no(ResultCode::Unavailable));
        }
        rest = after;
    }
    Ok(AnswerHeader { length, ..head }.write(out))
}

fn bucket(
    set: &SetView,
    release: &ReleaseView,
    head: AnswerHeader<'_>,
    q: &Bucket<'_>,
    on_stream: bool,
    out: &mut [u8],
) -> Written {
    let generation = &release.generation;
    let depth = release.checkpoint.bits();
    let range = Refused(ResultCode::Range, u32::from(depth), 0);
    if q.bits > depth || q.bits + MAX_BUCKET_SPAN < depth {
        return Err(range);
    }
    let Some(prefix) = q.node() else { return Err(range) };
    let public_len = set.schema.public_len();
    let entries = generation.bucket_entries(prefix, q.bits);
    if entries.len() > if on_stream { STREAM_SCAN_MAX } else { DATAGRAM_SCAN_MAX } {
        // bounded: withdrawn entries stay until they expire, and who submits can choose where they are.
        return Err(DoesNotFit(HEADER_LEN + size_of::<BucketHead>()).into());
    }
    let live = entries.filter(|entry| is_live(entry));
    // bounded: what cannot fit is not counted to its end.
    let entries = live.clone().take(out.len() / public_len + 1).count();
    let mut bucket_head = BucketHead { depth, bits: q.bits, held: q.held, reserved: 0, entries: U32::new(0) };
    bucket_head.entries = U32::new(u32::try_from(entries).map_err(|_| DoesNotFit(usize::MAX))?);
    let body = bucket_head.answer_len(public_len);
    let padded = on_stream && q.bits < depth;
    let length = if padded { padded_len(body) } else { body };
    if length > out.len() {
        return Err(DoesNotFit(length).into());
    }
    let (front, rest) = out[HEADER_LEN..length].split_at_mut(size_of::<BucketHead>());
    front.copy_from_slice(zerocopy::IntoBytes::as_bytes(&bucket_head));
    let (slots, rest) = rest.split_at_mut(entries * public_len);
    for (slot, entry) in slots.chunks_exact_mut(public_len).zip(live) {
        slot.copy_from_slice(&entry[..public_len]);
    }
    let mut vouched = true;
    let path = bucket_path(generation.node_bytes(), depth, q.bits, q.held, prefix);
    for (slot, hash) in rest.as_chunks_mut().0.iter_mut().zip(path.into_iter().flatten()) {
        *slot = *hash;
        vouched &= generation.vouches(hash);
    }
    if !vouched || !generation.vouches_for_bucket(prefix, q.bits) {
        return Err(no(ResultCode::Unavailable));
    }
    if padded {
        let padded_to = tlv::pad(out, body, length);
        debug_assert_eq!(padded_to, Some(length), "room for a PAD's head was kept");
    }
    Ok(AnswerHeader { length, ..head }.write(out))
}

/// The next multiple of [`BUCKET_PAD`] that leaves room for a PAD's head (spec 2.4.5), within the longest
/// answer.
fn padded_len(body: usize) -> usize {
    (body + tlv::HEAD).next_multiple_of(BUCKET_PAD).min(MAX_ANSWER_STREAM.max(body))
}

fn sync(
    view: &View,
    set: &SetView,
    release: &ReleaseView,
    head: AnswerHeader<'_>,
    q: Sync,
    out: &mut [u8],
) -> Written {
    let newest = release.checkpoint.version();
    if q.version == newest {
        return Ok(answer::sync(head, &[], out)?);
    }
    let kind = if q.history { Kind::History } else { Kind::Live };
    // spec 2.5.5: what cannot be bridged is answered as if nothing were held.
    let from = if release.leads_from(q.version) { q.version } else { 0 };
    match release.objects.offer(kind, from) {
        Some(offer) => {
            let wait = 0;
            Ok(answer::sync(AnswerHeader { wait, ..head }, &[descriptor(offer)], out)?)
        }
        None => {
            // bounded: a full queue drops the wish, and the client asks again.
            let _ = view.wishes.push(Wish { set: set.set, kind, from });
            Err(Refused(ResultCode::Pending, 0, PENDING_WAIT_S))
        }
    }
}

fn descriptor(offer: &Offer) -> ObjectDescriptor {
    ObjectDescriptor {
        from: U64::new(offer.from),
        to: U64::new(offer.to),
        length: U32::new(offer.length),
        kind: offer.kind as u8,
        reserved: [0; 3],
        digest: offer.digest,
    }
}

fn fetch(
    release: &ReleaseView,
    head: AnswerHeader<'_>,
    q: &Fetch<'_>,
    on_stream: bool,
    out: &mut [u8],
) -> Written {
    let object = release.objects.get(q.digest).ok_or(no(ResultCode::Gone))?;
    let total = u32::try_from(object.len()).map_err(|_| no(ResultCode::Gone))?;
    if !on_stream && total > MAX_UDP_OBJECT {
        return Err(no(ResultCode::Transport));
    }
    if q.offset >= total {
        return Err(Refused(ResultCode::Range, total, 0));
    }
    let end = q.offset.saturating_add(q.length).min(total);
    let wanted = &object[q.offset as usize..end as usize];
    if out.len() == HEADER_LEN && !wanted.is_empty() {
        return Err(DoesNotFit(HEADER_LEN + wanted.len()).into());
    }
    Ok(answer::fetch(AnswerHeader { wait: 0, ..head }, q.offset, total, wanted, out))
}

fn proof(release: &ReleaseView, head: AnswerHeader<'_>, q: Proof, out: &mut [u8]) -> Written {
    let size = release.checkpoint.log_size();
    let range = || Refused(ResultCode::Range, u32::try_from(size).unwrap_or(u32::MAX), 0);
    if q.second > size || q.first > q.second {
        return Err(range());
    }
    let mut hashes = [[0; 32]; MAX_PROOF_HASHES];
    let found = match q.kind {
        ProofKind::Inclusion => release.log.inclusion(q.first, q.second, &mut hashes),
        ProofKind::Consistency => release.log.consistency(q.first, q.second, &mut hashes),
    };
    let n = found.ok_or_else(range)?;
    Ok(answer::proof(head, &hashes[..n], out)?)
}
