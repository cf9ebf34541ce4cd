//! SYNC from nothing and the FETCHes that follow it, and the judgement of their answers: objects have to be
//! the ones, and parts the bytes, that were had and verified before the run.

use tekd::wire::layout::ObjectDescriptor;
use tekd::wire::question::{Fetch, Sync};
use tekd::wire::{AnswerBody, Operation};

use crate::conversation::Conversation;
use crate::traffic::{Judged, Traffic};

/// From nothing, as a phone.
pub(crate) const FROM_NOTHING: Sync = Sync { version: 0, history: false };

/// What a SYNC from nothing is answered, and the first object of it.
#[derive(Debug, Clone)]
pub(crate) struct Way {
    pub(crate) version: u64,
    pub(crate) objects: Vec<ObjectDescriptor>,
    /// Empty if it is too long for this transport: then nothing is fetched.
    pub(crate) first: Vec<u8>,
    /// Bytes of one part.
    pub(crate) part: u32,
}

/// One SYNC, then the parts of its first object, and so on.
#[derive(Debug)]
pub(crate) struct Syncs {
    conversation: Conversation,
    way: Way,
    synced: u64,
    fetched: u64,
}

impl Syncs {
    pub(crate) fn new(conversation: Conversation, way: Way) -> Self {
        Syncs { conversation, way, synced: 0, fetched: 0 }
    }

    /// The part that question `seq` fetches; `None` if it is a SYNC.
    fn part(&self, seq: u64) -> Option<Fetch<'_>> {
        let length = u32::try_from(self.way.first.len()).expect("objects are shorter than 4 GiB");
        let turn = u64::from(length.div_ceil(self.way.part)) + 1;
        let before = u32::try_from(seq % turn).ok()?.checked_sub(1)?;
        let offset = before * self.way.part;
        let digest = &self.way.objects.first()?.digest;
        Some(Fetch { digest, offset, length: self.way.part.min(length - offset) })
    }

    fn judge_sync(&mut self, seq: u64, frame: &[u8]) -> Result<(), Judged> {
        let answer = self.conversation.read(seq, Operation::Sync, frame)?;
        let AnswerBody::Sync(sync) = answer.body else {
            unreachable!("an answer is read as that of the operation that was asked")
        };
        let objects = sync.read(FROM_NOTHING).map_err(Judged::Broken)?;
        let version = answer.header.version.get();
        // What leads to a newer version was not verified before the run; it has to be a way, no more.
        if version < self.way.version || (version == self.way.version && objects != self.way.objects) {
            return Err(Judged::Unproved("the objects are not those that lead to this version"));
        }
        self.synced += 1;
        Ok(())
    }

    fn judge_part(&mut self, seq: u64, frame: &[u8]) -> Result<(), Judged> {
        let answer = self.conversation.read(seq, Operation::Fetch, frame)?;
        let AnswerBody::Fetch(fetch) = answer.body else {
            unreachable!("an answer is read as that of the operation that was asked")
        };
        let asked = self.part(seq).expect("the caller asked for a part");
        let part = fetch.read(&asked).map_err(Judged::Broken)?;
        let wanted = &self.way.first[asked.offset as usize..][..asked.length as usize];
        if part.bytes != wanted || part.total as usize != self.way.first.len() {
            return Err(Judged::Unproved("a part is not that of the object"));
        }
        self.fetched += 1;
        Ok(())
    }
}

impl Traffic for Syncs {
    fn ask(&mut self, seq: u64, out: &mut [u8]) -> usize {
        let question = self.conversation.question(seq);
        let written = match self.part(seq) {
            Some(part) => question.fetch(&part, out),
            None => question.sync(FROM_NOTHING, out),
        };
        written.expect("a version or a digest fits a datagram")
    }

    fn answers(&self, frame: &[u8]) -> Option<u64> {
        self.conversation.answers(frame)
    }

    fn judge(&mut self, seq: u64, frame: &[u8]) -> Judged {
        let judged = match self.part(seq) {
            Some(_) => self.judge_part(seq, frame),
            None => self.judge_sync(seq, frame),
        };
        judged.err().unwrap_or(Judged::Right)
    }

    fn details(&self) -> Vec<(&'static str, u64)> {
        vec![("sync", self.synced), ("fetch", self.fetched)]
    }
}

#[cfg(test)]
mod tests {
    use tekd::wire::layout::KIND_LIVE;
    use tekd::wire::{AnswerHeader, Body, Parsed, answer, parse};

    use super::*;

    const SERVICE: [u8; 8] = *b"service!";

    fn syncs(length: usize) -> Syncs {
        let object = ObjectDescriptor {
            from: 0.into(),
            to: 7.into(),
            length: (length as u32).into(),
            kind: KIND_LIVE,
            reserved: [0; 3],
            digest: [5; 32],
        };
        let first = (0..length).map(|at| at as u8).collect();
        let way = Way { version: 7, objects: vec![object], first, part: 100 };
        Syncs::new(Conversation::new(SERVICE, 1, 2), way)
    }

    /// What an honest server says at `version`.
    fn answer(syncs: &mut Syncs, seq: u64, version: u64) -> Vec<u8> {
        let (mut question, mut out) = ([0; 1280], [0; 1232]);
        let length = syncs.ask(seq, &mut question);
        let Parsed::Question(header, body) = parse(&question[..length], &SERVICE, false) else {
            panic!("not a question")
        };
        let head = AnswerHeader { version, ..AnswerHeader::to(header) };
        let length = match body {
            Body::Sync(_) => {
                let mut objects = syncs.way.objects.clone();
                objects[0].to = version.into();
                answer::sync(head, &objects, &mut out).expect("it fits")
            }
            Body::Fetch(asked) => {
                let (from, all) = (asked.offset as usize, &syncs.way.first);
                let wanted = &all[from..from + asked.length as usize];
                answer::fetch(head, asked.offset, all.len() as u32, wanted, &mut out)
            }
            other => panic!("{other:?}"),
        };
        out[..length].to_vec()
    }

    #[test]
    fn a_sync_is_followed_by_every_part_and_all_have_to_be_what_was_verified() {
        let mut asking = syncs(250);
        let parts: Vec<Option<u32>> = (0..5).map(|seq| asking.part(seq).map(|part| part.length)).collect();
        assert_eq!(parts, [None, Some(100), Some(100), Some(50), None]);
        for seq in 0..5 {
            let right = answer(&mut asking, seq, 7);
            assert_eq!(asking.judge(seq, &right), Judged::Right, "question {seq}");
            let mut wrong = right.clone();
            let last = wrong.len() - 1;
            wrong[last] ^= 1;
            assert!(matches!(asking.judge(seq, &wrong), Judged::Unproved(_)), "question {seq}");
            assert!(matches!(asking.judge(seq, &right[..last]), Judged::Broken(_)), "question {seq}");
        }
        assert_eq!(asking.details(), [("sync", 2), ("fetch", 3)]);
    }

    #[test]
    fn a_newer_version_is_a_way_and_an_older_one_is_wrong() {
        let mut asking = syncs(0);
        assert_eq!(asking.part(1), None, "nothing was had that could be fetched");
        let (newer, older) = (answer(&mut asking, 1, 8), answer(&mut asking, 1, 6));
        assert_eq!(asking.judge(1, &newer), Judged::Right);
        assert!(matches!(asking.judge(1, &older), Judged::Unproved(_)));
    }
}
