//! An origin on one thread with a stepped clock and a disk in memory, providers of every kind, and phones
//! that ask it through memory: with the client library, or with bytes that no client would send.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use tekd::authority::seal::{AnswerKey, associated_data, seal};
use tekd::authority::{Code, Issuer, KeyMaterial, Level, ProviderKey, Standing};
use tekd::client::{Author, Client, MemoryStream, ReportAnswer, ReportDraft};
use tekd::engine::{
    AnswerCounters, Carrier, CodeOrder, Cookies, DEFAULT_PARAMS, Gate, Input, Params, Peer, Random, Reply,
    SEALED_FRAME, Seeded,
};
use tekd::node::{Clock, OriginOptions, SingleOrigin, SteppedClock, SystemRandom, trust_path};
use tekd::release::{MAX_TRUST_FILE, Schema, Trust};
use tekd::store::{MemoryDisk, MemoryMode, read_file};
use tekd::time;
use tekd::wire::layout::SealedAnswer;
use tekd::wire::outcome::{OUTCOME_LEN, ReportCounts, ReportOutcome};
use tekd::wire::report::{GRANT_CODE, Outcome, ReportType, RequestKind, SentKey};
use tekd::wire::request::{REQUEST_LEN, Request};
use tekd::wire::{
    Body, FIRST_BYTE, HEADER_LEN, MAX_ANSWER_STREAM, Parsed, QuestionBuilder, ResultCode, parse,
};
use zerocopy::FromBytes;

/// When the tests begin: 12:00 UTC of a day in 2026.
pub(crate) const NOON: u64 = 1_767_614_400;
pub(crate) const DAY: u64 = 86_400;
/// The set of the phones, and another of the full schema.
pub(crate) const SET: u32 = 1;
pub(crate) const OTHER_SET: u32 = 2;
/// Providers: one with codes, one with a key for certificates, one that issues JWTs. A fourth issues JWTs for
/// the other set.
pub(crate) const CLINIC: u32 = 1;
pub(crate) const LABORATORY: u32 = 2;
pub(crate) const ISSUER: u32 = 3;
pub(crate) const LABORATORY_SECRET: [u8; 32] = [5; 32];
pub(crate) const ISSUER_SECRET: [u8; 32] = [6; 32];
pub(crate) const AUDIENCE: &str = "audience.example";
pub(crate) const ISSUER_NAME: &str = "issuer.example";
pub(crate) const ELSEWHERE_NAME: &str = "elsewhere.example";
pub(crate) const KEY_ID: &str = "v1";
/// Why operators do what they do here.
pub(crate) const REASON: &str = "a test";

const PHONE: Peer = Peer { ip: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), port: 40_000, carrier: Carrier::Tls };

/// Keys of one phone, of the days before today.
pub(crate) struct Diary {
    bytes: Vec<Vec<u8>>,
    today: u32,
}

impl Diary {
    /// One key a day, whole days, the newest of yesterday.
    pub(crate) fn sent(&self) -> Vec<SentKey<'_>> {
        self.sent_with(1)
    }

    /// The same with so many keys a day.
    pub(crate) fn sent_with(&self, a_day: u32) -> Vec<SentKey<'_>> {
        let start = |at: u32| self.today - 144 * (1 + at / a_day);
        let keys = self.bytes.iter().zip(0..);
        keys.map(|(key, at)| SentKey { key, start: start(at), period: 144, risk: 1 }).collect()
    }
}

/// A sealed question and what opens its answer.
pub(crate) struct Sealed {
    pub(crate) frame: Vec<u8>,
    pub(crate) asker: AnswerKey,
}

pub(crate) struct World {
    pub(crate) clock: Arc<SteppedClock>,
    origin: Arc<Mutex<SingleOrigin>>,
    gate: Gate,
    pub(crate) trust: Trust,
    phones: BTreeMap<u32, Client<'static>>,
    dice: Seeded,
}

fn es256(secret: &[u8; 32]) -> ProviderKey {
    let signer = p256::ecdsa::SigningKey::from_bytes(&(*secret).into()).expect("a scalar");
    let point = signer.verifying_key().to_sec1_point(true);
    let material = KeyMaterial::es256(point.as_bytes()).expect("a point");
    ProviderKey {
        material,
        key_id: KEY_ID.to_owned(),
        not_before: NOON - 30 * DAY,
        not_after: u64::MAX,
        revoked: None,
    }
}

/// The Ed25519 key with this secret.
pub(crate) fn ed25519(secret: &[u8; 32]) -> ProviderKey {
    let public = ed25519_dalek::SigningKey::from_bytes(secret).verifying_key();
    let material = KeyMaterial::ed25519(public.as_bytes()).expect("a point");
    ProviderKey::named_by_fingerprint(material, NOON - 30 * DAY, u64::MAX)
}

impl World {
    /// A new origin at noon, with its first release.
    pub(crate) fn new() -> Self {
        let disk = MemoryDisk::new();
        let dir = PathBuf::from("/data");
        let options = OriginOptions { disk: Arc::new(disk.clone()), dir, segment_bytes: 1 << 20 };
        let interval_s = u64::from(DEFAULT_PARAMS.interval_s);
        let clock = Arc::new(SteppedClock::new(NOON - interval_s));
        let shared = Arc::clone(&clock) as Arc<dyn Clock>;
        let origin = SingleOrigin::open(options, MemoryMode::Copy, shared, Box::new(Seeded::new(1)));
        let mut origin = origin.expect("an empty disk takes an origin");
        let params = Params { schema: Schema::GaenFull, ..DEFAULT_PARAMS };
        origin.turn(Input::CreateSet { set: OTHER_SET, params }).expect("there is room for another");
        // Trust names the sets there are.
        origin.origin().write_trust().expect("the disk is well");
        let trust = read_file(&disk, &trust_path(Path::new("/data")), MAX_TRUST_FILE as u64);
        let trust = String::from_utf8(trust.expect("a new origin writes it")).expect("it is text");
        let trust = Trust::parse_json(&trust).expect("and can be read");
        let view = Arc::clone(origin.view());
        let cookies = Cookies::new([7; 32], trust.service);
        let gate = Gate::new(view, cookies, None, Arc::new(AnswerCounters::default()));
        let origin = Arc::new(Mutex::new(origin));
        let (phones, dice) = (BTreeMap::new(), Seeded::new(2));
        let mut world = World { clock, origin, gate, trust, phones, dice };
        let issues = |name: &str, set| Some(Issuer { name: name.into(), audience: AUDIENCE.into(), set });
        for (name, issuer, key) in [
            ("clinic", None, None),
            ("laboratory", None, Some(ed25519(&LABORATORY_SECRET))),
            ("issuer", issues(ISSUER_NAME, SET), Some(es256(&ISSUER_SECRET))),
            ("elsewhere", issues(ELSEWHERE_NAME, OTHER_SET), Some(es256(&ISSUER_SECRET))),
        ] {
            world.turn(Input::AddProvider { name: name.to_owned(), issuer, key });
        }
        world.pass(interval_s);
        world
    }

    pub(crate) fn origin(&self) -> MutexGuard<'_, SingleOrigin> {
        self.origin.lock().expect("no test panicked with it")
    }

    pub(crate) fn now(&self) -> u64 {
        self.clock.now().unix
    }

    /// Decides about an input.
    pub(crate) fn turn(&mut self, input: Input) -> Reply {
        self.origin().turn(input).expect("nothing here is refused")
    }

    /// Lets time pass, six hours at a time.
    pub(crate) fn pass(&mut self, seconds: u64) {
        let mut left = seconds;
        while left > 0 {
            let step = left.min(6 * 3600);
            self.clock.advance(step);
            left -= step;
            self.origin().tick().expect("the disk is well");
        }
    }

    /// Lets time pass up to a second, without a look at the clock.
    pub(crate) fn wait_until(&self, unix: u64) {
        self.clock.advance(unix - self.now());
    }

    pub(crate) fn codes(&mut self, count: u32) -> Vec<Code> {
        self.codes_for(CLINIC, SET, count, DAY)
    }

    pub(crate) fn codes_for(&mut self, provider: u32, set: u32, count: u32, lifetime_s: u64) -> Vec<Code> {
        self.codes_of(ReportType::Confirmed, provider, set, count, lifetime_s)
    }

    pub(crate) fn codes_of(
        &mut self,
        report_type: ReportType,
        provider: u32,
        set: u32,
        count: u32,
        lifetime_s: u64,
    ) -> Vec<Code> {
        let order = CodeOrder { provider, set, count, report_type, onset_day: None, lifetime_s };
        let Reply::Codes(issued) = self.turn(Input::IssueCodes(order)) else { panic!("no codes") };
        issued.codes
    }

    pub(crate) fn code(&mut self) -> String {
        self.codes(1)[0].to_text()
    }

    /// A code of the right form that nobody issued, unless by a chance of one in 2³⁵.
    pub(crate) fn unknown_code(&mut self) -> String {
        Code::from_first_bits(self.random()).to_text()
    }

    /// The newest batch of codes.
    pub(crate) fn last_batch(&self) -> u32 {
        self.origin().origin().state().registry().last_batch
    }

    pub(crate) fn stand(&mut self, provider: u32, standing: Standing, since: Option<u64>) {
        let reason = REASON.to_owned();
        self.turn(Input::SetStanding { provider, standing, since, reason, dry_run: false });
    }

    /// What the budgets of wrong grants say.
    pub(crate) fn guessing(&self) -> Vec<(Option<u32>, Level)> {
        let now = self.now();
        self.origin().origin().writer().guessing(now).collect()
    }

    /// Reports that are remembered.
    pub(crate) fn reports(&self, set: u32) -> usize {
        self.origin().origin().state().set(set).expect("it was made").reports().count()
    }

    pub(crate) fn random<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        self.dice.fill(&mut out);
        out
    }

    pub(crate) fn author(&mut self) -> Author {
        Author { report: self.random(), secret: self.random() }
    }

    /// Fresh keys.
    pub(crate) fn diary(&mut self, keys: usize) -> Diary {
        let bytes = (0..keys).map(|_| self.random::<16>().to_vec()).collect();
        Diary { bytes, today: time::interval_of(self.now()) / 144 * 144 }
    }

    /// The phone of a set, always the same.
    pub(crate) fn phone(&mut self, set: u32) -> &mut Client<'static> {
        let (origin, gate, clock) =
            (Arc::clone(&self.origin), self.gate.clone(), Arc::clone(&self.clock) as Arc<dyn Clock>);
        let trust = self.trust.clone();
        self.phones.entry(set).or_insert_with(|| {
            let service = trust.service;
            let serve = move |question: &[u8]| {
                if let Parsed::Question(_, Body::Sealed(_)) = parse(question, &service, true) {
                    return Some(origin.lock().expect("no test panicked with it").answer_sealed(question));
                }
                let view = Arc::clone(origin.lock().expect("no test panicked with it").view());
                let mut answer = vec![0; MAX_ANSWER_STREAM];
                let answered = gate.answer_frame(&view.load(), clock.now(), PHONE, question, &mut answer);
                let tekd::engine::Outcome::Respond(length) = answered else { return None };
                answer.truncate(length);
                Some(answer)
            };
            let mut random = Seeded::new(3);
            Client::new(MemoryStream::new(serve), trust, set, move |out| random.fill(out), |_| ())
        })
    }

    /// Submits as an author, with the phone of a set.
    pub(crate) fn submit_to(&mut self, set: u32, author: &Author, draft: &ReportDraft<'_>) -> ReportAnswer {
        let now = self.now();
        let answer = self.phone(set).submit(now, author, draft).expect("the origin answers");
        assert_eq!(answer.server_time, now);
        if answer.outcome == Outcome::Done {
            assert!(answer.receipt.is_some(), "spec 7.3.1");
        } else {
            tells_nothing_else(&answer);
        }
        answer
    }

    pub(crate) fn submit(&mut self, author: &Author, draft: &ReportDraft<'_>) -> ReportAnswer {
        self.submit_to(SET, author, draft)
    }

    /// How a new report of three keys under a grant ends.
    pub(crate) fn outcome(&mut self, grant: (u16, &[u8])) -> Outcome {
        self.outcome_in(SET, grant)
    }

    pub(crate) fn outcome_in(&mut self, set: u32, grant: (u16, &[u8])) -> Outcome {
        let (author, diary) = (self.author(), self.diary(3));
        let draft = ReportDraft { grant: Some(grant), keys: &diary.sent(), ..ReportDraft::default() };
        self.submit_to(set, &author, &draft).outcome
    }

    /// How a new report under a typed code ends.
    pub(crate) fn typed(&mut self, code: &str) -> Outcome {
        self.outcome((GRANT_CODE, code.as_bytes()))
    }

    /// A grant that was left alone by everything before still authorises a report.
    pub(crate) fn is_unspent(&mut self, code: &str) {
        assert_eq!(self.typed(code), Outcome::Done, "the grant was not spent");
    }

    /// Seals whatever bytes to the newest key.
    pub(crate) fn seal(&self, set: u32, inside: &[u8; REQUEST_LEN]) -> Sealed {
        let public = self.origin().origin().state().seal_keys().last().expect("there is one").public;
        self.seal_to(&public, set, inside)
    }

    pub(crate) fn seal_to(&self, public: &[u8; 32], set: u32, inside: &[u8; REQUEST_LEN]) -> Sealed {
        let service = self.trust.service;
        let fill = |out: &mut [u8]| SystemRandom.fill(out);
        let associated = associated_data(FIRST_BYTE, &service, set);
        let (question, asker) = seal(public, &associated, inside, fill).expect("an X25519 key");
        let mut frame = vec![0; SEALED_FRAME];
        QuestionBuilder::new(service, set, 7).sealed(&question, &mut frame).expect("it has room");
        Sealed { frame, asker }
    }

    /// What is inside the answer to whatever bytes.
    pub(crate) fn ask(&self, inside: &[u8; REQUEST_LEN]) -> Box<[u8; OUTCOME_LEN]> {
        let Sealed { frame, asker } = self.seal(SET, inside);
        opened(&self.answer(&frame), &asker).expect("it was asked well")
    }

    pub(crate) fn answer(&self, frame: &[u8]) -> Vec<u8> {
        self.origin().answer_sealed(frame)
    }

    /// The result in the header of the answer to a frame.
    pub(crate) fn result(&self, frame: &[u8]) -> ResultCode {
        let answer = self.answer(frame);
        ResultCode::from_u16(u16::from_le_bytes([answer[36], answer[37]])).expect("a known result")
    }

    /// What is inside the answer to a request that asks for whatever it says.
    pub(crate) fn ask_for(&self, request: &Request<'_>) -> Box<[u8; OUTCOME_LEN]> {
        self.ask(&written(request))
    }

    /// A new report as a request, before it is bytes.
    pub(crate) fn request<'a>(&mut self, grant: (u16, &'a [u8]), keys: &'a [SentKey<'a>]) -> Request<'a> {
        let about = Request::about(RequestKind::Submit, self.random(), self.random());
        Request { grant: Some(grant), keys, ..about }
    }
}

pub(crate) fn written(request: &Request<'_>) -> Box<[u8; REQUEST_LEN]> {
    let mut inside = Box::new([0; REQUEST_LEN]);
    request.write(&mut inside).expect("a request");
    inside
}

/// What is inside an answer of 4096 bytes.
pub(crate) fn opened(answer: &[u8], asker: &AnswerKey) -> Option<Box<[u8; OUTCOME_LEN]>> {
    assert_eq!(answer.len(), SEALED_FRAME, "spec 2.9.1");
    let sealed = SealedAnswer::ref_from_bytes(&answer[HEADER_LEN..]).expect("its body");
    asker.open_answer(sealed).ok()
}

/// An answer from the inside.
pub(crate) fn read(inside: &[u8; OUTCOME_LEN]) -> ReportOutcome<'_> {
    ReportOutcome::parse(inside).expect("an origin writes what can be read")
}

/// What was not done says how it ended and, of a report without a good key, why: nothing else.
pub(crate) fn tells_nothing_else(answer: &ReportAnswer) {
    assert_eq!((answer.state, answer.counts, answer.serial), (None, ReportCounts::default(), 0));
    assert!(answer.receipt.is_none());
    assert!(answer.verdicts.is_empty() || answer.outcome == Outcome::Nothing);
    assert!(answer.wait_s == 0 || answer.outcome == Outcome::Early);
}

/// The same of the bytes: outcome and time, of EARLY the wait, and zeros.
pub(crate) fn is_bare(inside: &[u8; OUTCOME_LEN]) {
    let early = inside[0] == Outcome::Early.number();
    let said = |at: usize| at == 0 || (8..16).contains(&at) || (early && (4..6).contains(&at));
    let loose: Vec<usize> = (0..OUTCOME_LEN).filter(|at| !said(*at) && inside[*at] != 0).collect();
    assert!(loose.is_empty(), "{:?} tells something at {loose:?}", read(inside).outcome);
}
