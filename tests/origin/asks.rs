//! What phones ask and operators decide in a random history, each foreseen by the model.

use sha2::{Digest, Sha256};
use tekd::authority::{Code, KeyMaterial, ProviderKey, Scope, Standing, Vouched};
use tekd::engine::{
    ClaimCount, CodeOrder, Event, Input, Presented, PresentedKey, Refusal, Reply, ReportRequest, Told,
};
use tekd::release::{Receipt, ReceiptBundle};
use tekd::wire::outcome::ReceiptBytes;
use tekd::wire::report::{Outcome, ReportType, RequestKind};

use super::desk::Desk;
use super::foresee::Foreseen;
use super::model::{History, SET};
use super::naive::{Meant, Naive};
use super::phone::{Phone, presented, saying};
use super::world::{REASON, event};

/// Report types that begin a report.
const BEGINNING: [ReportType; 3] = [ReportType::Confirmed, ReportType::Likely, ReportType::SelfReport];

impl Desk {
    /// Codes for `set` that hold at `now`, with what they let a report say.
    fn good_codes(&self, set: u32, now: u64) -> Vec<(Code, ReportType)> {
        let good = |code: &Code| self.look_at_code(code, set, now).ok().map(|a| (*code, a.report_type));
        self.codes.keys().filter_map(good).collect()
    }
}

impl Naive {
    /// The newest change of a report's type, by its event, and an event that took it back, if one did.
    fn last_change(&self) -> Option<(u64, Option<u64>)> {
        let changes = self.reports.iter().flat_map(|r| &r.changes);
        changes.max_by_key(|c| c.event).map(|c| (c.event, c.undone.last().copied()))
    }
}

impl History {
    /// Asks, and compares the answer and the event with what was foreseen.
    fn ask(&mut self, what: &str, request: &ReportRequest) -> Outcome {
        let now = self.world.now.unix;
        let foreseen = self.model.foresee(request, now);
        let before = self.world.origin.state().seq();
        let reply = self.world.report(request);
        self.count(what, reply.outcome.name());
        for verdict in &reply.verdicts {
            self.count("verdict", verdict.name());
        }
        assert_eq!((Some(reply.outcome), &reply.verdicts), (foreseen.outcome, &foreseen.verdicts), "{what}");
        // spec 7.6.3: the wait of EARLY ends when grant and key have begun, a provider's clock allowed for.
        let wait = match (&request.grant, reply.outcome) {
            (Presented::Vouched(vouched), Outcome::Early) => {
                let mut keys = self.model.desk.providers[&vouched.provider].keys.iter();
                let (key, _) = keys.find(|(key, _)| key.fingerprint() == vouched.key).expect("its key");
                (vouched.not_before.max(key.not_before) - now - 300).min(65_535)
            }
            _ => 0,
        };
        assert_eq!((reply.puzzle, u64::from(reply.wait_s), reply.time), (None, wait, now));
        let stored = self.world.origin.state().seq() - before;
        assert_eq!(stored, u64::from(foreseen.stores), "{what}: one event if it stores, else none");
        let told = if foreseen.stores {
            let told = self.stored(before + 1, request, &foreseen);
            let receipt = reply.receipt.as_ref().expect("what is stored has a receipt");
            self.confirmed(before + 1, request, &told, receipt);
            self.receipts.insert(told.content, *receipt);
            Some(told)
        } else {
            foreseen.told
        };
        self.learn(false);
        let submitted = (foreseen.stores && request.kind == RequestKind::Submit).then_some(before + 1);
        let report = foreseen.of.or(submitted);
        let standing = report.map(|seq| self.model.standings(now)[&seq]);
        assert_eq!(reply.standing, standing, "{what}");
        let first = told.map(|told| &self.receipts[&told.content]);
        let signed = |receipt: &ReceiptBytes| (receipt.receipt, receipt.signatures);
        assert_eq!(reply.receipt.as_ref().map(signed), first.map(signed), "{what}: the same receipt");
        reply.outcome
    }

    /// The event of a request holds what was foreseen; what it says the phone was told.
    fn stored(&mut self, seq: u64, request: &ReportRequest, foreseen: &Foreseen) -> Told {
        let record = self.world.records(seq).pop().expect("an event was made");
        match event(&record) {
            Event::Reported(r) => {
                assert_eq!(r.keys, foreseen.keys);
                assert_eq!(Some((r.provider, r.grant)), foreseen.spent);
                let authored = r.authored.expect("a phone made it");
                assert_eq!(Some(authored.report_type), foreseen.report_type);
                assert_eq!((r.report, authored.secret_hash), (request.report, request.secret));
                authored.told
            }
            Event::Amended(a) => {
                assert_eq!((a.keys, a.report_type), (foreseen.keys.clone(), foreseen.report_type));
                assert_eq!(Some((a.provider, a.grant)), foreseen.spent);
                assert_eq!(Some(a.report), foreseen.of);
                a.told
            }
            Event::Withdrawn(w) => {
                assert_eq!(Some(w.scope), foreseen.of.map(|report| Scope::Report { report }));
                assert!(!w.urgent && w.reason.is_empty());
                w.told.expect("an author is told")
            }
            other => panic!("a request makes no {}", other.name()),
        }
    }

    /// The receipt says what was done, and proves it to who knows the roots.
    fn confirmed(&mut self, seq: u64, request: &ReportRequest, told: &Told, bytes: &ReceiptBytes) {
        let delegation = self.world.origin.state().delegation();
        let bytes = [&bytes.receipt[..], &bytes.signatures, delegation].concat();
        let bundle = ReceiptBundle::from_bytes(&bytes).expect("a receipt");
        bundle.verify(&self.world.trust()).expect("a receipt that verifies");
        let receipt: &Receipt = &bundle.receipt;
        let numbers: Vec<u8> = told.verdicts.iter().map(|v| v.number()).collect();
        let accepted = numbers.iter().filter(|number| **number == 0).count();
        assert_eq!((receipt.set(), receipt.report(), receipt.sequence()), (SET, request.report, seq));
        assert_eq!((receipt.kind(), receipt.time()), (Some(request.kind), self.world.now.unix));
        assert_eq!((usize::from(receipt.keys()), receipt.content()), (accepted, request.content));
        assert_eq!(receipt.verdicts()[..], Sha256::digest(&numbers)[..]);
        let signature = bundle.signatures.entries().next().expect("one").signature;
        assert_eq!((signature, receipt.durability()), (&told.signature[..], Some(told.durability)));
        assert_eq!((receipt.incarnation(), receipt.key_epoch()), (told.incarnation, told.key_epoch));
        assert_eq!(told.content, request.content);
    }

    fn any_keys(&mut self, most: usize) -> Vec<PresentedKey> {
        let n = 1 + self.dice.below(most);
        let n = if self.dice.one_in(25) { 25 + self.dice.below(12) } else { n };
        let mut keys: Vec<PresentedKey> = Vec::new();
        for place in 0..n {
            let k = self.any_key();
            let mut sent = presented(k.key, k.fields.start, k.period, k.fields.risk);
            if place > 0 && self.dice.one_in(6) {
                sent.start = keys[place - 1].start;
            }
            if place > 0 && self.dice.one_in(30) {
                sent.key = keys[place - 1].key;
            }
            keys.push(sent);
        }
        keys
    }

    fn any_onset(&mut self) -> Option<u32> {
        let today = u32::try_from(self.world.now.unix / 86_400).expect("this century");
        self.dice.one_in(2).then(|| today - self.dice.below(22) as u32)
    }

    /// A grant that lets a report say one of these, or one that is worth nothing.
    fn any_grant(&mut self, types: &[ReportType]) -> Presented {
        let now = self.world.now.unix;
        let good: Vec<Code> = self
            .model
            .desk
            .good_codes(SET, now)
            .into_iter()
            .filter_map(|(code, report_type)| types.contains(&report_type).then_some(code))
            .collect();
        let all: Vec<Code> = self.model.desk.codes.keys().copied().collect();
        match self.dice.below(20) {
            0 => Presented::Code(Code::from_first_bits(self.dice.bytes())),
            1..3 if !all.is_empty() => Presented::Code(self.dice.pick(&all)),
            3 => {
                let faults = [Outcome::Mistyped, Outcome::Signature, Outcome::Kind, Outcome::Keys];
                Presented::Faulty(self.dice.pick(&faults), None)
            }
            4..13 if !good.is_empty() => Presented::Code(self.dice.pick(&good)),
            _ => Presented::Vouched(self.any_certificate(types)),
        }
    }

    fn any_certificate(&mut self, types: &[ReportType]) -> Vouched {
        let now = self.world.now.unix;
        let (mut named, mut good) = (Vec::new(), Vec::new());
        for (number, provider) in &self.model.desk.providers {
            for (key, revoked) in &provider.keys {
                let name = (*number, key.fingerprint());
                named.push(name);
                good.extend((provider.standing == Standing::Active && !revoked).then_some(name));
            }
        }
        let any = good.is_empty() || self.dice.one_in(6);
        let (provider, key) = self.dice.pick(if any { &named } else { &good });
        let used: Vec<[u8; 16]> = self.model.desk.used.keys().copied().collect();
        let again = !used.is_empty() && self.dice.one_in(10);
        let not_before = if self.dice.one_in(15) { now + 301 } else { now - self.dice.below(4000) as u64 };
        Vouched {
            provider: if self.dice.one_in(30) { 77 } else { provider },
            key: if self.dice.one_in(30) { [0; 8] } else { key },
            set: self.dice.pick(&[None, Some(SET), Some(SET), Some(SET), Some(SET), Some(1)]),
            report_type: self.dice.pick(types),
            onset_day: self.any_onset(),
            not_before,
            not_after: not_before + self.dice.pick(&[0, 86_400, 86_400 * 14]),
            identity: if again { self.dice.pick(&used) } else { self.dice.bytes() },
        }
    }

    pub(super) fn submit(&mut self) {
        let mut types = BEGINNING.to_vec();
        if self.dice.one_in(20) {
            types = vec![ReportType::Negative];
        }
        let (keys, grant) = (self.any_keys(8), self.any_grant(&types));
        let phone = Phone::new(&mut self.dice, SET);
        let asked_type = self.dice.one_in(10).then(|| self.dice.pick(&BEGINNING));
        let onset = self.any_onset();
        let request = saying(phone.request(RequestKind::Submit, grant, keys), asked_type, onset);
        let outcome = self.ask("submit", &request);
        if outcome == Outcome::Done || self.dice.one_in(5) {
            self.asked.push((phone, request.clone()));
        }
        if outcome == Outcome::Done && self.dice.one_in(6) {
            // Another phone with the same grant: exactly one wins.
            let other = Phone { report: self.dice.bytes(), ..phone };
            let again = other.request(RequestKind::Submit, request.grant, request.keys);
            assert_eq!(self.ask("spent", &again), Outcome::Spent);
        }
    }

    /// A phone, most often one with a report of one of these types of which something is left.
    fn any_phone(&mut self, types: &[ReportType]) -> Option<Phone> {
        let n = self.asked.len();
        if n == 0 {
            return None;
        }
        let holds = |phone: &Phone| {
            let report = self.model.reports.iter().find(|r| r.id == phone.report);
            let report = report.filter(|r| !r.withdrawn);
            report.and_then(|r| r.phone).is_some_and(|(_, report_type, _)| types.contains(&report_type))
        };
        let fresh: Vec<Phone> =
            self.asked.iter().rev().take(80).map(|(phone, _)| *phone).filter(holds).collect();
        let any = fresh.is_empty() || self.dice.one_in(6);
        let mut phone = if any { self.asked[self.dice.below(n)].0 } else { self.dice.pick(&fresh) };
        if self.dice.one_in(12) {
            phone.secret = self.dice.bytes();
        }
        Some(phone)
    }

    pub(super) fn amend(&mut self) {
        let Some(phone) = self.any_phone(&BEGINNING) else { return };
        let mut request = phone.amend(self.any_keys(5));
        let asked_type = self.dice.one_in(10).then(|| self.dice.pick(&BEGINNING));
        request = saying(request, asked_type, self.any_onset());
        self.ask("amend", &request);
        self.asked.push((phone, request));
    }

    /// A grant of another type, with keys or without.
    pub(super) fn change(&mut self) {
        let from: &[ReportType] = if self.dice.one_in(6) { &BEGINNING } else { &BEGINNING[1..] };
        let Some(phone) = self.any_phone(from) else { return };
        let to = [ReportType::Confirmed, ReportType::Confirmed, ReportType::Likely, ReportType::Negative];
        let to = self.dice.pick(&to);
        let keys = if self.dice.one_in(3) { self.any_keys(3) } else { Vec::new() };
        let request = phone.request(RequestKind::Amend, self.any_grant(&[to]), keys);
        let outcome = self.ask("change", &request);
        if outcome == Outcome::Done {
            self.count("change to", to.name());
        }
        self.asked.push((phone, request));
    }

    pub(super) fn cancel(&mut self) {
        let Some(phone) = self.any_phone(&BEGINNING) else { return };
        self.ask("cancel", &phone.cancel());
        self.asked.push((phone, phone.cancel()));
    }

    pub(super) fn status(&mut self) {
        let Some(mut phone) = self.any_phone(&BEGINNING) else { return };
        if self.dice.one_in(8) {
            phone.report = self.dice.bytes();
        }
        self.ask("status", &phone.status());
    }

    /// The answer was lost: the same once more, or the same report id with other content.
    pub(super) fn repeat(&mut self) {
        let n = self.asked.len();
        if n == 0 {
            return;
        }
        let (phone, mut request) = self.asked[n - 1 - self.dice.below(n.min(30))].clone();
        if self.dice.one_in(6) && request.kind == RequestKind::Submit {
            request = phone.request(RequestKind::Submit, request.grant, self.any_keys(3));
            self.ask("other content", &request);
        } else {
            self.ask("repeat", &request);
        }
    }

    pub(super) fn dummy(&mut self) {
        let grant = Presented::Code(Code::from_first_bits(self.dice.bytes()));
        let keys = self.any_keys(14);
        let request = Phone::new(&mut self.dice, SET).request(RequestKind::Dummy, grant, keys);
        self.ask("dummy", &request);
    }

    pub(super) fn add_provider(&mut self, number: usize) {
        let key = (number > 0).then(|| self.fresh_key());
        let name = format!("provider {number}");
        let added = self.world.turn(Input::AddProvider { name, issuer: None, key });
        assert!(matches!(added, Ok(Reply::Provider { .. })));
        self.learn(false);
    }

    fn fresh_key(&mut self) -> ProviderKey {
        let (now, life) = (self.world.now.unix, 86_400 * (1 + self.dice.below(60) as u64));
        let from = if self.dice.one_in(4) { now + self.dice.below(86_400) as u64 } else { now };
        ProviderKey::named_by_fingerprint(KeyMaterial::Ed25519(self.dice.bytes()), from, from + life)
    }

    fn any_provider(&mut self) -> u32 {
        let numbers: Vec<u32> = self.model.desk.providers.keys().copied().collect();
        self.dice.pick(&numbers)
    }

    pub(super) fn issue(&mut self) {
        let order = CodeOrder {
            provider: self.any_provider(),
            set: if self.dice.one_in(8) { 1 } else { SET },
            count: 1 + self.dice.below(12) as u32,
            report_type: self.dice.pick(&BEGINNING),
            onset_day: self.any_onset(),
            lifetime_s: self.dice.pick(&[60, 3600, 86_400, 7 * 86_400]),
        };
        let standing = self.model.desk.providers[&order.provider].standing;
        let issued = self.world.issue(order);
        self.count("issue", if issued.is_ok() { "done" } else { "refused" });
        let issued = match issued {
            Ok(issued) => issued,
            Err(Refusal::NotActive { .. }) => return assert!(standing != Standing::Active),
            Err(other) => panic!("{other}"),
        };
        assert_eq!((standing, issued.codes.len()), (Standing::Active, order.count as usize));
        self.learn(false);
        for (index, code) in (0..).zip(issued.codes) {
            let before = self.model.desk.codes.insert(code, (issued.batch, index));
            assert_eq!(before, None, "no code is given out twice");
        }
        self.unspent(issued.batch.saturating_sub(2));
    }

    /// What is left of a batch can be printed once more, and nothing else.
    fn unspent(&self, number: u32) {
        let registry = self.world.origin.state().registry();
        let found = self.world.origin.writer().codes().unspent(registry, number);
        let desk = &self.model.desk;
        let left = desk.batches.get(&number).map(|batch| {
            let mut left: Vec<(u32, Code)> = desk
                .codes
                .iter()
                .filter(|(_, (of, index))| *of == number && !batch.spent.contains(index))
                .map(|(code, (_, index))| (*index, *code))
                .collect();
            left.sort_unstable();
            left.into_iter().map(|(_, code)| code).collect::<Vec<Code>>()
        });
        assert!(found == left, "the codes that are left of batch {number}");
    }

    /// Operators take claims back, by every scope there is.
    pub(super) fn withdraw(&mut self) {
        let scope = self.any_scope();
        let (name, nothing) = match scope {
            Scope::Key { set, .. } => ("withdraw key", Refusal::NoKey { set }),
            Scope::Report { .. } => ("withdraw report", Refusal::NothingLeft),
            Scope::Batch { .. } => ("withdraw batch", Refusal::NothingLeft),
            Scope::Provider { .. } => ("withdraw provider", Refusal::NothingLeft),
            Scope::After { .. } => ("withdraw after", Refusal::NothingLeft),
            Scope::Signer { .. } => ("withdraw signer", Refusal::NothingLeft),
        };
        let claims = self.model.count(&self.model.covered(&scope), None);
        let urgent = self.dice.one_in(5);
        let reason = || REASON.to_owned();
        let input = |dry_run| Input::Withdraw { scope, urgent, reason: reason(), dry_run };
        let done = self.foreseen_count(name, claims, nothing.clone(), &input);
        if done {
            assert_eq!(self.world.counted(input(false)), Err(nothing), "there is nothing left to withdraw");
        }
    }

    /// First a dry run, then the deed; whether it was done.
    fn foreseen_count(
        &mut self,
        name: &str,
        claims: ClaimCount,
        nothing: Refusal,
        input: &dyn Fn(bool) -> Input,
    ) -> bool {
        let seq = self.world.origin.state().seq();
        let dry = self.world.counted(input(true));
        assert_eq!(self.world.origin.state().seq(), seq, "a dry run decides nothing");
        let done = self.world.counted(input(false));
        self.count(name, if done.is_ok() { "done" } else { "nothing" });
        match (dry, done) {
            (Ok(dry), Ok(done)) => {
                assert_eq!((dry.claims, dry.seq), (claims, None), "{name}");
                assert_eq!((done.claims, done.seq), (claims, Some(seq + 1)), "{name}");
                self.count_changes(&claims, "taken back");
                self.taken.push(seq + 1);
                self.learn(false);
                true
            }
            (Err(dry), Err(done)) => {
                assert_eq!((claims.is_empty(), &dry, &done), (true, &nothing, &nothing), "{name}");
                false
            }
            other => panic!("{name}: {other:?}"),
        }
    }

    fn count_changes(&mut self, claims: &ClaimCount, how: &'static str) {
        if claims.changes > 0 {
            self.count("change of type", how);
        }
    }

    fn any_scope(&mut self) -> Scope {
        let (now, seq) = (self.world.now.unix, self.world.origin.state().seq());
        let claimed = self.model.claimed();
        let reports: Vec<u64> = self.model.reports.iter().map(|r| r.seq).collect();
        let batches: Vec<u32> = self.model.desk.batches.keys().copied().collect();
        if let Some((event, None)) = self.model.last_change()
            && self.dice.one_in(12)
        {
            return Scope::After { seq: event - 1, provider: None };
        }
        match self.dice.below(10) {
            0..4 if !claimed.is_empty() => Scope::Key { set: SET, key: self.dice.pick(&claimed) },
            4..7 if !reports.is_empty() => Scope::Report { report: self.dice.pick(&reports) },
            7 if !batches.is_empty() => Scope::Batch { batch: self.dice.pick(&batches) },
            8 => {
                let since = now - self.dice.below(20_000) as u64;
                Scope::Provider { provider: self.any_provider(), since }
            }
            9 if self.dice.one_in(2) => {
                let (provider, since) = (self.any_provider(), now - self.dice.below(20_000) as u64);
                let keys = &self.model.desk.providers[&provider].keys;
                let key = (!keys.is_empty()).then(|| keys[self.dice.below(keys.len())].0.fingerprint());
                Scope::Signer { provider, signer: key.unwrap_or_default(), since }
            }
            _ => {
                let provider = self.dice.one_in(2).then(|| self.any_provider());
                Scope::After { seq: seq - self.dice.below(seq.min(20) as usize) as u64, provider }
            }
        }
    }

    pub(super) fn reinstate(&mut self) {
        let n = self.taken.len();
        let newest = self.world.origin.state().seq();
        let any = 1 + self.dice.below(newest as usize) as u64;
        let recent = (n > 0).then(|| self.taken[n - 1 - self.dice.below(n.min(6))]);
        let undone = self.model.last_change().and_then(|(_, undone)| undone).filter(|_| self.dice.one_in(4));
        let seq = undone.or(recent.filter(|_| !self.dice.one_in(6))).unwrap_or(any);
        let meant = self.model.taken_by(seq);
        let claims = self.model.count(&meant, Some(seq));
        let done = self.world.counted(Input::Reinstate { seq });
        self.count("reinstate", if done.is_ok() { "done" } else { "nothing" });
        match done {
            Ok(done) => {
                self.count_changes(&done.claims, "made again");
                assert_eq!((done.claims, done.seq), (claims, Some(newest + 1)));
            }
            Err(refusal) => {
                assert_eq!((refusal, meant), (Refusal::NothingTaken { seq }, Meant::default()));
            }
        }
    }

    /// A provider is suspended, resumed or revoked, perhaps after the fact.
    pub(super) fn stand(&mut self) {
        use Standing::{Active, Revoked, Suspended};
        let provider = self.any_provider();
        let standing = self.dice.pick(&[Active, Active, Active, Suspended, Revoked]);
        let since = (standing == Revoked && self.dice.one_in(2))
            .then(|| self.world.now.unix - self.dice.below(90_000) as u64);
        let was = self.model.desk.providers[&provider].standing;
        let scope = since.map(|since| Scope::Provider { provider, since });
        let covered = scope.map_or_else(Meant::default, |scope| self.model.covered(&scope));
        let claims = self.model.count(&covered, None);
        let may = (was != standing || !claims.is_empty()) && (was, standing) != (Revoked, Suspended);
        let reason = || REASON.to_owned();
        let input = |dry_run| Input::SetStanding { provider, standing, since, reason: reason(), dry_run };
        let refused = Refusal::StandsAlready { provider, standing: was.name() };
        let name = if since.is_some() { "revoke since" } else { "stand" };
        let claims = if may { claims } else { ClaimCount::default() };
        assert_eq!(self.foreseen_count(name, claims, refused, &input), may);
    }

    pub(super) fn revoke_batch(&mut self) {
        let batches: Vec<u32> = self.model.desk.batches.keys().copied().collect();
        if batches.is_empty() {
            return;
        }
        let (batch, retroactive) = (self.dice.pick(&batches), self.dice.one_in(2));
        let covered =
            if retroactive { self.model.covered(&Scope::Batch { batch }) } else { Meant::default() };
        let (claims, reason) = (self.model.count(&covered, None), || REASON.to_owned());
        let may = !self.model.desk.batches[&batch].revoked || !claims.is_empty();
        let refused = Refusal::BatchStands { batch, standing: "revoked" };
        let input = |dry_run| Input::RevokeBatch { batch, retroactive, reason: reason(), dry_run };
        let name = if retroactive { "revoke batch retroactively" } else { "revoke batch" };
        assert_eq!(self.foreseen_count(name, claims, refused, &input), may);
    }

    /// A provider gets a key or loses one, perhaps with what it signed for.
    pub(super) fn provider_key(&mut self) {
        let provider = self.any_provider();
        let keys = self.model.desk.providers[&provider].keys.clone();
        if keys.len() == 16 || !keys.is_empty() && self.dice.one_in(2) {
            return self.revoke_provider_key(provider, &keys);
        }
        let input = Input::AddProviderKey { provider, key: self.fresh_key() };
        self.count("provider key", "added");
        assert!(matches!(self.world.turn(input), Ok(Reply::Provider { .. })));
    }

    fn revoke_provider_key(&mut self, provider: u32, keys: &[(ProviderKey, bool)]) {
        let (key, revoked) = &keys[self.dice.below(keys.len())];
        let (fingerprint, reason) = (key.fingerprint(), || REASON.to_owned());
        let since = self.dice.one_in(2).then(|| self.world.now.unix - self.dice.below(90_000) as u64);
        let scope = since.map(|since| Scope::Signer { provider, signer: fingerprint, since });
        let covered = scope.map_or_else(Meant::default, |scope| self.model.covered(&scope));
        let claims = self.model.count(&covered, None);
        let refused = Refusal::NoProviderKey { provider, fingerprint: hex::encode(fingerprint) };
        let input =
            |dry_run| Input::RevokeProviderKey { provider, fingerprint, since, reason: reason(), dry_run };
        let name = if since.is_some() { "revoke key since" } else { "revoke key" };
        let may = !*revoked || !claims.is_empty();
        assert_eq!(self.foreseen_count(name, claims, refused, &input), may);
    }
}
