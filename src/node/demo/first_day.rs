//! Monday: an origin is founded, takes a package in, releases it; phones fetch, look up and demand proof.

use super::door::Sockets;
use super::error::{DemoError, equal, failed, must};
use super::life::{HOUR, Life, must_be_bare, way};
use super::story::{count, counted, per_key, short};
use super::world::{SET, START};
use crate::client::{Client, SyncMode, SyncReport};
use crate::engine::{
    DEFAULT_PARAMS, Input, MAX_KEYS_PER_REPORT, ParamsChange, Random, ReleaseSummary, Reply, Seeded,
};
use crate::node::keys::Keys;
use crate::wire::Key;

/// Keys in one LOOKUP datagram.
const ASKED: usize = 32;
/// Seed of keys that nobody reported.
const STRANGER_SEED: u64 = 4;
/// Longest retention in days a package can ask for.
const RETENTION_MOST: u16 = 365;

impl Life<'_> {
    /// Founds and configures.
    pub(super) fn found(&mut self) -> Result<(), DemoError> {
        let days = self.package.retention_days(START, DEFAULT_PARAMS.retention_days, RETENTION_MOST);
        let change =
            ParamsChange { retention_days: Some(days), decoys: Some(false), ..ParamsChange::default() };
        let reply = self.world.ask("configuring set 1", Input::Configure { set: SET, change })?;
        let Reply::Configured { params, .. } = reply else {
            return Err(DemoError::DoesNotHold(format!(
                "configuring answers with parameters, not {reply:?}"
            )));
        };
        equal("retention in days", params.retention_days.into(), days.into())?;
        let text = format!(
            "an origin: root key, online key, journal; set {SET} releases every {} min",
            params.interval_s / 60
        );
        self.story.tell(START, "founded", text)?;
        self.story.and(format!("and keeps keys for {days} days; decoys stay off until Tuesday"))
    }

    /// Imports the package and releases it.
    pub(super) fn import(&mut self) -> Result<ReleaseSummary, DemoError> {
        let keys = self.package.keys.clone();
        let input = Input::Import { set: SET, provider: "import".to_owned(), keys };
        let reply = self.world.ask("the import", input)?;
        let Reply::Imported(counts) = reply else {
            return Err(DemoError::DoesNotHold(format!("an import answers with counts, not {reply:?}")));
        };
        let mut refused: Vec<String> = counts.rejected.iter().map(|(why, n)| format!("{n} {why}")).collect();
        let malformed = self.package.total - counts.keys;
        refused.extend((malformed > 0).then(|| format!("{malformed} malformed")));
        let refused = refused.join(", ");
        if counts.accepted == 0 {
            return Err(DemoError::NoKeys(refused));
        }
        let rest = if refused.is_empty() { String::new() } else { format!(", refused: {refused}") };
        let text = format!(
            "{} of {} keys from {}{rest};",
            count(counts.accepted),
            count(self.package.total),
            self.package.origin,
        );
        self.story.tell(START, "imported", text)?;
        let days = counted(self.package.moved_days.unsigned_abs(), "day");
        self.story.and(format!("moved by {days}, so that the newest ended yesterday"))?;

        let reports = counts.accepted.div_ceil(MAX_KEYS_PER_REPORT as u64);
        let allow_small = reports < DEFAULT_PARAMS.min_reports.into();
        let reply = self.world.ask("the first release", Input::Release { set: SET, allow_small })?;
        let Reply::Released(summary) = reply else {
            return Err(DemoError::DoesNotHold(format!("a release answers with its counts, not {reply:?}")));
        };
        equal("keys of the first release", summary.live, counts.accepted)?;
        let keys = self.package.keys.clone();
        self.model.reported(&keys);
        self.model.released(&summary.changes);
        let text = format!(
            "serial {}: {}, root {}; durable and signed before anyone sees it",
            summary.serial,
            counted(summary.live, "key"),
            short(&summary.root)
        );
        self.story.tell(START, "released", text)?;
        Ok(summary)
    }

    /// Two phones fetch the whole set, over UDP and over TLS, on real sockets.
    pub(super) fn fetch(&mut self, released: &ReleaseSummary) -> Result<(), DemoError> {
        let files = Keys::open(&*self.world.disk, &self.world.data()).and_then(|keys| keys.tls());
        let sockets = Sockets::open(self.world.door(), &files.map_err(failed("making a TLS certificate"))?)?;
        let a = self.near.sync(&mut sockets.over_udp(self.world.door(), SET))?;
        let b = self.far.sync(&mut sockets.over_tls(self.world.door(), SET))?;
        sockets.close()?;
        self.model.keep_only(&self.near.set);
        for (report, phone) in [(&a, &self.near), (&b, &self.far)] {
            must(report.mode == SyncMode::Full, || format!("{} fetched the full set", phone.name))?;
            must(report.root == released.root, || format!("the root of {} is the released one", phone.name))?;
            let decoys = self.model.check(phone.name, &phone.set)?;
            equal("keys nobody reported", decoys, 0)?;
        }
        self.first = self.near.set.checkpoint().copied();
        let zip = per_key(self.package.zip_bytes, self.package.total);
        let text = format!(
            "full set over UDP and TLS sockets: {} bytes, {} a key (zip: {zip});",
            count(a.bytes),
            per_key(a.bytes, a.live)
        );
        self.story.tell(START, self.near.name, text)?;
        self.story.and("the root computed from what came is the one that was signed")?;
        equal("bytes of the full set over TLS alone", b.bytes, a.bytes)?;
        self.story.tell(START, self.far.name, "over TLS alone: the same bytes, keys and root")
    }

    /// LOOKUP and BUCKET, in memory from here on.
    pub(super) fn look_up(&mut self) -> Result<(), DemoError> {
        let mut client = self.world.client();
        let bits = client.checkpoint().map_err(failed("CHECKPOINT"))?.bits();
        let (here, strangers) = (self.model.first(ASKED), self.strangers());
        let (found, bytes) = self.present(&mut client, &here)?;
        equal("reported keys that LOOKUP finds", found, here.len() as u64)?;
        let (strange, _) = self.present(&mut client, &strangers)?;
        equal("keys nobody reported that LOOKUP finds", strange, 0)?;
        let text = format!(
            "{} by one datagram of {} bytes each way: all found; {} random: none",
            counted(here.len() as u64, "key"),
            count(bytes),
            strangers.len()
        );
        self.story.tell(START, "LOOKUP", text)?;

        let (key, stranger) = (here[0], strangers[0]);
        let with = self.bucket(&mut client, &key, bits)?;
        must(with.contains(&key), || "the bucket of a reported key holds it".to_owned())?;
        let without = self.bucket(&mut client, &stranger, bits)?;
        must(!without.contains(&stranger), || "the bucket of a random key does not hold it".to_owned())?;
        let text = format!(
            "{} under a {bits}-bit prefix prove one present, {} another one absent",
            counted(with.len() as u64, "key"),
            counted(without.len() as u64, "key"),
        );
        self.story.tell(START, "BUCKET", text)
    }

    /// How many of `keys` LOOKUP finds, and the bytes of the one datagram each way that it took.
    fn present(&self, client: &mut Client<'_>, keys: &[Key]) -> Result<(u64, u64), DemoError> {
        let traffic = &self.world.door().traffic;
        traffic.take();
        let report = client.lookup(keys).map_err(failed("LOOKUP"))?;
        let (questions, asked, answered) = traffic.take();
        equal("datagrams of a LOOKUP", questions, 1)?;
        must(answered <= asked, || "an answer is not longer than its question".to_owned())?;
        Ok((report.keys.iter().flatten().count() as u64, asked))
    }

    fn bucket(&self, client: &mut Client<'_>, key: &Key, bits: u8) -> Result<Vec<Key>, DemoError> {
        let prefix: [u8; 16] = key.as_bytes().try_into().expect("keys of gaen-minimal have 16 bytes");
        let report = client.bucket(&prefix, bits).map_err(failed("BUCKET"))?;
        Ok(report.keys.into_iter().map(|(key, _)| key).collect())
    }

    fn strangers(&self) -> Vec<Key> {
        let mut random = Seeded::new(STRANGER_SEED);
        let mut keys = Vec::with_capacity(ASKED);
        while keys.len() < ASKED {
            let mut bytes = [0; 16];
            random.fill(&mut bytes);
            keys.extend(Key::from_slice(&bytes).filter(|key| !self.model.knows(key)));
        }
        keys
    }

    /// An hour without news.
    pub(super) fn quiet_hour(&mut self) -> Result<(), DemoError> {
        let from = self.serial() + 1;
        let sum = self.pass(HOUR)?;
        equal("keys added in a quiet hour", sum.added + sum.decoys, 0)?;
        let report: SyncReport = self.sync_near()?;
        must_be_bare(&report)?;
        let text = format!(
            "releases {from} to {} have no news; phone A: {} of {} bytes, its bare header",
            self.serial(),
            way(&report),
            report.bytes
        );
        self.story.tell(self.world.now(), "quiet", text)
    }
}
