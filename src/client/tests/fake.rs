//! A small server: one set, its releases, and answers to every public operation.

use std::collections::HashMap;

use sha2::{Digest, Sha256};

use crate::release::delta::{DeltaContext, encode_history, encode_live};
use crate::release::tree::{bucket_path, depth, prefix_of};
use crate::release::{
    Checkpoint, CheckpointFields, Delegation, DelegationFields, Fields, Hash, LIVE, LiveSet, LogTree,
    Manifest, Schema, SealKey, SigningKey, Trust, build_tree, compose_answer_body, log_leaf_hash,
    manifest_digest,
};
use crate::time;
use crate::wire::answer::{self, AnswerHeader};
use crate::wire::layout::{InfoDetail, KIND_HISTORY, KIND_LIVE, MAX_UDP_OBJECT, ObjectDescriptor};
use crate::wire::question::{Body, Bucket, Fetch, Lookup, ProofKind, Sync};
use crate::wire::slot::write_slot;
use crate::wire::{HEADER_LEN, MAX_ANSWER_STREAM, Operation, Parsed, Question, ResultCode, parse};

pub(super) const SET: u32 = 1;
pub(super) const SCHEMA: Schema = Schema::GaenMinimal;
pub(super) const COOKIE: u64 = 0xC00C_1EC0_0C1E;
pub(super) const SERVICE: [u8; 8] = *b"fake-svc";
pub(super) const EPOCH: u32 = 3;
const RETENTION_DAYS: u16 = 14;
/// Time of the first release, Unix seconds.
pub(super) const BEGAN: u64 = 1_600_000_000;
const FRESH_S: u32 = 2_000;

type Entry = ([u8; 16], Fields, u32, u32);

/// One version as it was published.
#[derive(Clone)]
struct Version {
    checkpoint: Checkpoint,
    answer: Vec<u8>,
    history: Vec<u8>,
}

/// The server.
pub(super) struct Fake {
    root: SigningKey,
    online: SigningKey,
    delegation: Vec<u8>,
    epoch: u32,
    manifest: Vec<u8>,
    entries: Vec<Entry>,
    versions: Vec<Version>,
    log: LogTree,
    objects: HashMap<Hash, Vec<u8>>,
    /// Questions answered, by operation.
    pub(super) asked: Vec<Operation>,
    /// How many of the next SYNC questions are answered with this result and wait.
    pub(super) holding: Option<(u32, ResultCode, u16)>,
    /// What a descriptor says of the length of its object, instead of the truth.
    pub(super) announced: Option<u32>,
    /// A release that is made before each of the next SYNC answers.
    pub(super) restless: u32,
    /// Whether SYNC names one object for each release instead of one for all.
    pub(super) step_by_step: bool,
}

/// The key of a number: spread over the whole range, the same each time.
pub(super) fn key(number: u64) -> [u8; 16] {
    let digest = Sha256::digest(number.to_be_bytes());
    digest[..16].try_into().unwrap()
}

/// Fields of a key that is valid on the day of the first release, `days` earlier.
pub(super) fn fields(days: u32) -> Fields {
    let start = time::interval_of(BEGAN) - 144 - days * 144;
    Fields { start, period: 144, report: 1, risk: 2, onset: 0 }
}

/// The root's word for an online key, with its signature list.
pub(super) fn delegate(epoch: u32, not_before: u64, online: &SigningKey, root: &SigningKey) -> Vec<u8> {
    let (online, not_after) = (online.public(), BEGAN + 100_000_000);
    let fields = DelegationFields { epoch, service: SERVICE, not_before, not_after, online };
    Delegation::new(&fields).sign(std::slice::from_ref(root))
}

impl Fake {
    /// A server without a release.
    pub(super) fn new() -> Self {
        let (root, online) = (SigningKey::from_secret([1; 32]), SigningKey::from_secret([2; 32]));
        let delegation = delegate(EPOCH, BEGAN - 1, &online, &root);
        let manifest = Manifest {
            service: SERVICE,
            set: SET,
            number: 1,
            time: BEGAN,
            schema: SCHEMA.number(),
            retention_days: RETENTION_DAYS,
            interval_s: 900,
            fresh_s: FRESH_S,
            too_old_s: 400_000,
            min_protocol: 1,
            key_epoch: EPOCH,
            ..Manifest::default()
        };
        let manifest = manifest.encode_signed(&online).unwrap();
        let objects = HashMap::from([(manifest_digest(&manifest), manifest.clone())]);
        Self {
            root,
            online,
            delegation,
            epoch: EPOCH,
            manifest,
            entries: Vec::new(),
            versions: Vec::new(),
            log: LogTree::new(),
            objects,
            asked: Vec::new(),
            holding: None,
            announced: None,
            restless: 0,
            step_by_step: false,
        }
    }

    /// A server whose releases withdraw, expire and reinstate: three versions of about `n` keys.
    pub(super) fn with_history(n: u64) -> Self {
        let mut fake = Self::new();
        fake.release(0, &(0..n).map(|i| (key(i), fields((i % 14) as u32))).collect::<Vec<_>>(), &[]);
        fake.release(43_200, &[(key(n), fields(0)), (key(n + 1), fields(1))], &[key(0), key(2)]);
        fake.release(90_000, &[(key(n + 2), fields(0)), (key(0), fields(2))], &[key(1)]);
        fake
    }

    pub(super) fn trust(&self) -> Trust {
        Trust { service: SERVICE, threshold: 1, roots: vec![self.root.public()], sets: vec![SET] }
    }

    /// Publishes one version `after_s` seconds after the first.
    pub(super) fn release(&mut self, after_s: u64, added: &[([u8; 16], Fields)], withdrawn: &[[u8; 16]]) {
        let serial = self.versions.len() as u32 + 1;
        let time = BEGAN + after_s;
        let horizon = time::horizon(time, RETENTION_DAYS);
        for entry in self.entries.iter_mut().filter(|entry| withdrawn.contains(&entry.0) && entry.3 == LIVE) {
            entry.3 = serial;
        }
        self.entries.extend(added.iter().map(|(key, fields)| (*key, *fields, serial, LIVE)));
        self.entries.retain(|entry| time::is_live(entry.1.start, entry.1.period, horizon));
        self.entries.sort_by_key(|entry| (entry.0, entry.2));
        let mut history = Vec::new();
        for (key, fields, add, del) in &self.entries {
            SCHEMA.history_entry(key, fields, *add, *del, &mut history);
        }
        let tree = build_tree(SCHEMA, &history, serial);
        let checkpoint = Checkpoint::new(&CheckpointFields {
            set: SET,
            service: SERVICE,
            version: 1 << 32 | u64::from(serial),
            time,
            fresh_until: time + u64::from(FRESH_S),
            horizon,
            schema: SCHEMA.number(),
            bits: depth(tree.count),
            count: tree.count,
            log_size: self.log.len(),
            root: tree.root,
            log_root: self.log.root(),
            manifest: manifest_digest(&self.manifest),
            history: Sha256::digest(&history).into(),
            key_epoch: self.epoch,
        });
        let answer =
            compose_answer_body(checkpoint.as_bytes(), &checkpoint.sign(&self.online), &self.delegation);
        self.log.push(log_leaf_hash(checkpoint.as_bytes()));
        self.versions.push(Version { checkpoint, answer, history });
    }

    /// Announces seal keys in a new manifest, which the next release names.
    pub(super) fn announce(&mut self, seal_keys: Vec<SealKey>) {
        let before = Manifest::parse_unverified(&self.manifest).unwrap();
        let manifest = Manifest { number: before.number + 1, seal_keys, ..before };
        self.manifest = manifest.encode_signed(&self.online).unwrap();
        self.objects.insert(manifest_digest(&self.manifest), self.manifest.clone());
    }

    /// Replaces the online key; the next release is the first it signs.
    pub(super) fn delegate(&mut self, not_before: u64) {
        self.epoch += 1;
        self.online = SigningKey::from_secret([0xe0 + self.epoch as u8; 32]);
        self.delegation = delegate(self.epoch, not_before, &self.online, &self.root);
        let before = Manifest::parse_unverified(&self.manifest).unwrap();
        let manifest = Manifest { number: before.number + 1, key_epoch: self.epoch, ..before };
        self.manifest = manifest.encode_signed(&self.online).unwrap();
        self.objects.insert(manifest_digest(&self.manifest), self.manifest.clone());
    }

    /// Epoch of the online key.
    pub(super) fn epoch(&self) -> u32 {
        self.epoch
    }

    /// The delegation of the online key with its signature list.
    pub(super) fn delegation(&self) -> &[u8] {
        &self.delegation
    }

    /// The key that signs checkpoints, and receipts.
    pub(super) fn online(&self) -> &SigningKey {
        &self.online
    }

    /// Takes back the newest release, as a server that lags or lies does.
    pub(super) fn forget_newest(&mut self) {
        self.versions.pop();
    }

    pub(super) fn checkpoint(&self) -> Checkpoint {
        self.versions.last().unwrap().checkpoint
    }

    /// The newest live set, as it truly is.
    pub(super) fn live(&self) -> LiveSet {
        let version = self.versions.last().unwrap();
        let (number, horizon) = (version.checkpoint.version(), version.checkpoint.horizon());
        LiveSet::from_history(SCHEMA, number, horizon, &version.history).unwrap()
    }

    /// The newest history, as it truly is.
    pub(super) fn history(&self) -> &[u8] {
        &self.versions.last().unwrap().history
    }

    /// The answer to a frame, or silence.
    pub(super) fn answer(&mut self, frame: &[u8], on_stream: bool) -> Option<Vec<u8>> {
        let (question, body) = match parse(frame, &SERVICE, on_stream) {
            Parsed::Question(question, body) => (question, body),
            Parsed::Refuse { result, info, header } => return Some(refuse(header, result, info, 0, 0)),
            Parsed::OtherVersion(_) | Parsed::Silent(_) => return None,
        };
        self.asked.push(body.operation());
        let proved = question.cookie.get() == COOKIE;
        let room = if on_stream { MAX_ANSWER_STREAM } else { question.datagram_room(proved) };
        let cookie = if on_stream { 0 } else { COOKIE };
        if question.set.get() != SET {
            return Some(refuse(question, ResultCode::Set, 0, 0, 0));
        }
        let answer = match self.respond(question, &body, room, on_stream) {
            Ok(answer) => answer,
            Err((result, info, wait)) => return Some(refuse(question, result, info, wait, 0)),
        };
        if answer.len() > room {
            return Some(refuse(question, ResultCode::Truncated, answer.len() as u32, 0, cookie));
        }
        Some(answer)
    }

    fn respond(
        &mut self,
        question: &Question,
        body: &Body<'_>,
        room: usize,
        on_stream: bool,
    ) -> Result<Vec<u8>, (ResultCode, u32, u16)> {
        if self.versions.is_empty() {
            return Err((ResultCode::Unavailable, 0, 0));
        }
        if matches!(body, Body::Sync(_)) {
            self.disturb()?;
        }
        let version = self.versions.last().unwrap();
        let number = version.checkpoint.version();
        let head = AnswerHeader { version: number, wait: 5, ..AnswerHeader::to(question) };
        let mut out = vec![0; MAX_ANSWER_STREAM];
        let length = match body {
            Body::Info => {
                let time = version.checkpoint.time().into();
                let detail = InfoDetail {
                    node: 9.into(),
                    least: 1,
                    newest: 1,
                    reserved: 0.into(),
                    checkpoint_time: time,
                };
                AnswerHeader { detail: detail.into(), cookie: COOKIE, ..head }.write(&mut out)
            }
            Body::Checkpoint => answer::with_body(head, &version.answer, &mut out).unwrap(),
            Body::Lookup(lookup) => answer::with_body(head, &self.lookup(lookup), &mut out).unwrap(),
            Body::Bucket(bucket) => answer::with_body(head, &self.bucket(bucket)?, &mut out).unwrap(),
            Body::Sync(sync) => {
                let objects = self.sync(*sync);
                answer::sync(head, &objects, &mut out).unwrap()
            }
            Body::Fetch(wanted) => {
                let object = self.objects.get(wanted.digest).ok_or((ResultCode::Gone, 0, 0))?;
                if !on_stream && object.len() as u32 > MAX_UDP_OBJECT {
                    return Err((ResultCode::Transport, 0, 0));
                }
                let part = part_of(object, wanted).ok_or((ResultCode::Range, object.len() as u32, 0))?;
                answer::fetch(head, wanted.offset, object.len() as u32, part, &mut out[..room])
            }
            Body::Proof(proof) => {
                let mut hashes = [[0; 32]; 64];
                let count = match proof.kind {
                    ProofKind::Inclusion => self.log.inclusion(proof.first, proof.second, &mut hashes),
                    ProofKind::Consistency => self.log.consistency(proof.first, proof.second, &mut hashes),
                };
                let count = count.ok_or((ResultCode::Range, 0, 0))?;
                answer::proof(head, &hashes[..count], &mut out).unwrap()
            }
            Body::Manifest => answer::with_body(head, &self.manifest, &mut out).unwrap(),
            Body::Sealed(_) | Body::Notify(_) => return Err((ResultCode::Refused, 0, 0)),
        };
        out.truncate(length);
        Ok(out)
    }

    /// What this server was told to do instead of answering SYNC, or before.
    fn disturb(&mut self) -> Result<(), (ResultCode, u32, u16)> {
        if let Some((times, result, wait)) = &mut self.holding
            && *times > 0
        {
            *times -= 1;
            return Err((*result, 0, *wait));
        }
        if self.restless > 0 {
            self.restless -= 1;
            let after_s = self.checkpoint().time() - BEGAN + 900;
            self.release(after_s, &[], &[]);
        }
        Ok(())
    }

    fn lookup(&self, lookup: &Lookup<'_>) -> Vec<u8> {
        let live = self.live();
        let mut slots = vec![0; lookup.slots.len()];
        for (slot, key) in slots.chunks_exact_mut(lookup.slot_len).zip(lookup.keys()) {
            write_slot(slot, key, live.find(key).map(|entry| &entry[16..]));
        }
        slots
    }

    fn bucket(&self, asked: &Bucket<'_>) -> Result<Vec<u8>, (ResultCode, u32, u16)> {
        let version = self.versions.last().unwrap();
        let tree = build_tree(SCHEMA, &version.history, version.checkpoint.serial());
        let prefix = asked.node().unwrap_or_default();
        let path = bucket_path(&tree.nodes, tree.b, asked.bits, asked.held, prefix)
            .map_err(|_| (ResultCode::Range, u32::from(tree.b), 0))?;
        let live = self.live();
        let entries: Vec<&[u8]> = live
            .entries()
            .chunks_exact(SCHEMA.public_len())
            .filter(|entry| prefix_of(entry, asked.bits) == prefix)
            .collect();
        let mut body = vec![tree.b, asked.bits, asked.held, 0];
        body.extend_from_slice(&(entries.len() as u32).to_le_bytes());
        body.extend(entries.concat());
        path.for_each(|hash| body.extend_from_slice(hash));
        Ok(body)
    }

    fn sync(&mut self, asked: Sync) -> Vec<ObjectDescriptor> {
        let newest = self.checkpoint().version();
        if asked.version == newest {
            return Vec::new();
        }
        let known = self.versions.iter().position(|v| v.checkpoint.version() == asked.version);
        let stops: Vec<usize> = match known {
            Some(known) if self.step_by_step => (known + 1..self.versions.len()).collect(),
            _ => vec![self.versions.len() - 1],
        };
        let mut from = known;
        let mut objects = Vec::new();
        for to in stops {
            objects.push(self.object(asked.history, from, to));
            from = Some(to);
        }
        objects
    }

    fn object(&mut self, history: bool, from: Option<usize>, to: usize) -> ObjectDescriptor {
        let version = &self.versions[to];
        let before = from.map(|from| self.versions[from].checkpoint);
        let (start, end) = (before.map_or(0, |c| c.version()), version.checkpoint.version());
        let context = DeltaContext {
            service: SERVICE,
            set: SET,
            schema: SCHEMA,
            horizon: version.checkpoint.horizon(),
        };
        let object = if history {
            let leaves = before.map_or(0, |c| c.log_size()) as usize..version.checkpoint.log_size() as usize;
            encode_history(&context, start, end, &version.history, &self.log.leaves()[leaves])
        } else {
            encode_live(&context, start, end, &version.history)
        };
        let object = object.unwrap();
        let digest = Sha256::digest(&object).into();
        let length = self.announced.unwrap_or(object.len() as u32).into();
        self.objects.insert(digest, object);
        let kind = if history { KIND_HISTORY } else { KIND_LIVE };
        ObjectDescriptor { from: start.into(), to: end.into(), length, kind, reserved: [0; 3], digest }
    }
}

fn part_of<'o>(object: &'o [u8], wanted: &Fetch<'_>) -> Option<&'o [u8]> {
    let rest = object.get(wanted.offset as usize..).filter(|rest| !rest.is_empty())?;
    Some(&rest[..rest.len().min(wanted.length as usize)])
}

fn refuse(question: &Question, result: ResultCode, info: u32, wait: u16, cookie: u64) -> Vec<u8> {
    let mut out = vec![0; HEADER_LEN];
    answer::refuse(question, result, info, wait, cookie, &mut out);
    out
}
