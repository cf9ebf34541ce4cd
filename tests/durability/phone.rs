//! Phones that report, add to their reports and take them back, sealed, over TLS or QUIC.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tekd::client::{
    Carrier, Client, ClientError, Patience, QuicCarrier, ReportAnswer, ReportDraft, TlsCarrier,
};
use tekd::engine::{Random, Seeded};
use tekd::release::Trust;
use tekd::wire::Key;
use tekd::wire::report::{GRANT_CODE, Outcome, SentKey};

use super::dice::Dice;
use super::keys::now;
use super::ledger::{Asked, Kind, Ledger, Story};
use super::server::Server;

/// A ledger that many write to.
pub(crate) type Shared = Arc<Mutex<Ledger>>;

/// How long a phone waits for an answer: a server that was killed gives none, over QUIC without a word.
const PATIENCE_MS: u64 = 5_000;
/// Seconds a phone asks again while the server is busy.
const BUSY_S: u64 = 30;

/// What somebody who panicked left is as good as any.
pub(crate) fn open(ledger: &Mutex<Ledger>) -> MutexGuard<'_, Ledger> {
    ledger.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) struct Phone {
    client: Client<'static>,
    dice: Dice,
    ledger: Shared,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Tls,
    Quic,
}

impl Phone {
    pub(crate) fn new(server: &Server, way: Way, seed: u64, ledger: &Shared) -> Self {
        let address = if way == Way::Quic { server.quic() } else { server.tls() };
        Self::at(address, server.trust(), way, seed, ledger)
    }

    fn at(address: SocketAddr, trust: Trust, way: Way, seed: u64, ledger: &Shared) -> Self {
        let client = match way {
            Way::Tls => client(TlsCarrier::new(address, None), trust, seed),
            Way::Quic => client(QuicCarrier::new(address, None), trust, seed),
        };
        Phone { client, dice: Dice::new(seed ^ 1), ledger: Arc::clone(ledger) }
    }

    /// Gives up sooner when the server has no room.
    pub(crate) fn impatient(mut self) -> Self {
        let patience = Patience { stream_ms: PATIENCE_MS, ..Patience::default() };
        self.client = self.client.with_patience(patience, 1);
        self
    }

    /// Reports under a code, and does with the report what the dice say.
    pub(crate) fn live(&mut self, code: &str) -> Result<(), Failed> {
        let report = self.submit(code)?;
        if self.dice.one_in(3) {
            self.repeat(report, 0)?;
        }
        if self.dice.one_in(3) {
            let more = self.dice.keys(1);
            self.ask(report, Kind::Amend, more)?;
        }
        if self.dice.one_in(4) {
            return self.cancel(report);
        }
        open(&self.ledger).stories.get_mut(&report).expect("it was begun").told = true;
        Ok(())
    }

    /// Makes a report and returns its id.
    pub(crate) fn submit(&mut self, code: &str) -> Result<[u8; 16], Failed> {
        let author = self.dice.author();
        let report = author.report;
        let keys = 1 + self.dice.below(3);
        let keys = self.dice.keys(keys);
        let day = u32::try_from(now() / 86_400).expect("days fit");
        let story =
            Story { author, code: code.to_owned(), day, asked: Vec::new(), told: false, withdrawn: false };
        open(&self.ledger).stories.insert(report, story);
        self.ask(report, Kind::Submit, keys)?;
        Ok(report)
    }

    /// Takes a report back.
    pub(crate) fn cancel(&mut self, report: [u8; 16]) -> Result<(), Failed> {
        self.ask(report, Kind::Cancel, Vec::new())
    }

    /// Notes a request, sends it, and notes its receipt.
    fn ask(&mut self, report: [u8; 16], kind: Kind, keys: Vec<Key>) -> Result<(), Failed> {
        let nth = {
            let mut ledger = open(&self.ledger);
            ledger.asks(report, kind, keys);
            ledger.stories[&report].asked.len() - 1
        };
        self.repeat(report, nth)
    }

    /// Sends a request that was noted before, again or for the first time.
    pub(crate) fn repeat(&mut self, report: [u8; 16], nth: usize) -> Result<(), Failed> {
        let story = open(&self.ledger).stories[&report].clone();
        let answer = self.send(&story, &story.asked[nth], nth)?;
        match (answer.outcome, answer.receipt) {
            (Outcome::Done, Some(receipt)) => open(&self.ledger).told(report, nth, receipt),
            (Outcome::Done, None) => panic!("done without a receipt"),
            (outcome, _) => return Err(Failed::Refused(outcome)),
        }
        Ok(())
    }

    /// Asks how a report stands.
    pub(crate) fn status(&mut self, report: [u8; 16]) -> Result<ReportAnswer, Failed> {
        let story = open(&self.ledger).stories[&report].clone();
        Ok(self.client.report_status(now(), &story.author)?)
    }

    fn send<'a>(
        &mut self,
        story: &'a Story,
        asked: &'a Asked,
        nth: usize,
    ) -> Result<ReportAnswer, ClientError> {
        // Their validity ended the day before, so that they are past their embargo.
        let first = story.day - 2 - 4 * u32::try_from(nth).expect("few");
        let sent = |(key, ago): (&'a Key, u32)| SentKey {
            key: key.as_bytes(),
            start: (first - ago) * 144,
            period: 144,
            risk: 3,
        };
        let keys: Vec<_> = asked.keys.iter().zip(0..).map(sent).collect();
        let draft = ReportDraft { keys: &keys, ..ReportDraft::default() };
        match asked.kind {
            Kind::Submit => {
                let grant = Some((GRANT_CODE, story.code.as_bytes()));
                self.client.submit(now(), &story.author, &ReportDraft { grant, ..draft })
            }
            Kind::Amend => self.client.amend(now(), &story.author, &draft),
            Kind::Cancel => self.client.cancel(now(), &story.author),
        }
    }
}

/// Why a phone has no receipt.
#[derive(Debug)]
pub(crate) enum Failed {
    /// There was no answer, or none that can be believed.
    Silent(ClientError),
    /// The server said no.
    Refused(Outcome),
}

impl From<ClientError> for Failed {
    fn from(error: ClientError) -> Self {
        Failed::Silent(error)
    }
}

fn client(carrier: impl Carrier + Send + 'static, trust: Trust, seed: u64) -> Client<'static> {
    let mut random = Seeded::new(seed);
    let sleep = |time: Duration| std::thread::sleep(time);
    let client = Client::new(carrier, trust, 1, move |out: &mut [u8]| random.fill(out), sleep);
    client.with_patience(Patience { stream_ms: PATIENCE_MS, ..Patience::default() }, BUSY_S)
}
