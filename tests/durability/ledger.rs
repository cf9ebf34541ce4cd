//! What was asked of the server and what it confirmed to somebody.

use std::collections::BTreeMap;

use tekd::client::Author;
use tekd::release::ReceiptBundle;
use tekd::wire::Key;

/// What an author asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Submit,
    Amend,
    Cancel,
}

/// One request, and its receipt once it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) kind: Kind,
    pub(crate) keys: Vec<Key>,
    pub(crate) receipt: Option<ReceiptBundle>,
}

/// One report: what its author asked, in order. Only the last request may be without a receipt.
#[derive(Debug, Clone)]
pub(crate) struct Story {
    pub(crate) author: Author,
    pub(crate) code: String,
    /// The day it is from, days since 1970: it says so whenever it is sent.
    pub(crate) day: u32,
    pub(crate) asked: Vec<Asked>,
    /// Its author has every answer and asks nothing more.
    pub(crate) told: bool,
    /// An operator was asked to take it back.
    pub(crate) withdrawn: bool,
}

impl Story {
    /// Sequence number of the report's first event, if it was confirmed.
    pub(crate) fn seq(&self) -> Option<u64> {
        self.asked.first()?.receipt.as_ref().map(|bundle| bundle.receipt.sequence())
    }

    /// Whether its author waits for an answer.
    pub(crate) fn is_open(&self) -> bool {
        self.asked.last().is_some_and(|asked| asked.receipt.is_none())
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = Key> + '_ {
        self.asked.iter().flat_map(|asked| asked.keys.iter().copied())
    }
}

/// Whether a key has to be in the next release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    In,
    Out,
    /// What would decide it is in flight.
    Open,
}

/// Everything that was promised.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) stories: BTreeMap<[u8; 16], Story>,
    pub(crate) fates: BTreeMap<Key, Fate>,
    /// Keys of imports that were confirmed and are not to be withdrawn yet.
    pub(crate) imported: Vec<Key>,
    pub(crate) releases: BTreeMap<u64, String>,
    /// Commands of operators that were confirmed.
    pub(crate) replies: u64,
}

impl Ledger {
    pub(crate) fn decide(&mut self, keys: impl IntoIterator<Item = Key>, fate: Fate) {
        self.fates.extend(keys.into_iter().map(|key| (key, fate)));
    }

    pub(crate) fn receipts(&self) -> usize {
        let asked = self.stories.values().flat_map(|story| &story.asked);
        asked.filter(|asked| asked.receipt.is_some()).count()
    }

    /// Notes a request before it is sent: from now on it may have an effect.
    pub(crate) fn asks(&mut self, report: [u8; 16], kind: Kind, keys: Vec<Key>) {
        let story = self.stories.get_mut(&report).expect("a story was begun");
        let meant: Vec<Key> = if kind == Kind::Cancel { story.keys().collect() } else { keys.clone() };
        if !story.is_open() {
            story.asked.push(Asked { kind, keys, receipt: None });
            self.decide(meant, Fate::Open);
        }
    }

    /// Notes a receipt. A second one for the same request has to be the first.
    #[track_caller]
    pub(crate) fn told(&mut self, report: [u8; 16], nth: usize, receipt: ReceiptBundle) {
        let story = self.stories.get_mut(&report).expect("a story was begun");
        let asked = &mut story.asked[nth];
        if let Some(first) = &asked.receipt {
            assert_eq!(first.receipt, receipt.receipt, "the same request has the same receipt");
            return;
        }
        asked.receipt = Some(receipt);
        match asked.kind {
            Kind::Cancel => {
                let keys: Vec<Key> = story.keys().collect();
                self.decide(keys, Fate::Out);
            }
            Kind::Submit | Kind::Amend => {
                let keys = asked.keys.clone();
                self.decide(keys, Fate::In);
            }
        }
    }
}
