//! What sealed questions are opened with, on its way from the origin to whoever opens.
//!
//! The origin's thread looks after each turn whether seal keys or providers have changed and publishes a new
//! whole; openers keep the one they began with. A seal key that is over for more than a day is dropped here
//! and its file removed (spec 7.1.4), and so is what a crash left of a key that no event names; but not by a
//! clock that nobody believes, and what cannot be removed keeps nobody from the keys that hold.

use std::sync::{Arc, PoisonError, RwLock};

use super::origin::{Origin, OriginError};
use crate::authority::Keyring;
use crate::authority::seal::SealSecret;
use crate::engine::{OpeningKeys, SealKey, SealRing, opens_until};

/// How long after a file could not be removed it is tried again, in seconds.
const FORGET_AGAIN_S: u64 = 60;

/// Where openers find the newest keys.
#[derive(Debug)]
pub struct Keyhole(RwLock<Arc<OpeningKeys>>);

impl Keyhole {
    /// The newest keys.
    pub fn look(&self) -> Arc<OpeningKeys> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Keeps a [`Keyhole`] up to date.
#[derive(Debug)]
pub(crate) struct KeyWatch {
    keyhole: Arc<Keyhole>,
    /// Ids of the seal keys that were published.
    seals: Vec<[u8; 8]>,
    /// The state's mark of the providers that were published.
    mark: u64,
    /// Whether the last attempt failed: the log says it once.
    failing: bool,
    leftover: Leftover,
}

/// Secrets in `DIR/keys` that open nothing any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leftover {
    /// None.
    Nothing,
    /// There may be some.
    Some,
    /// Some could not be removed at this time, Unix seconds.
    Stuck(u64),
}

impl KeyWatch {
    /// Publishes the keys of an origin as it is, and removes what is left of others.
    pub(crate) fn new(origin: &Origin, now: u64) -> Result<Self, OriginError> {
        let (seals, mark) = (seals_at(origin, now), origin.state().keyring_mark());
        let (secrets, unread) = collect(origin, &seals, &SealRing::default());
        if let Some(e) = unread {
            return Err(e);
        }
        let keyhole = Arc::new(Keyhole(RwLock::new(Arc::new(opening_keys(origin, secrets)))));
        let mut watch = KeyWatch { keyhole, seals, mark, failing: false, leftover: Leftover::Some };
        watch.forget(origin, now);
        Ok(watch)
    }

    pub(crate) fn keyhole(&self) -> &Arc<Keyhole> {
        &self.keyhole
    }

    /// Publishes what has changed. A secret that cannot be read is tried again at the next turn; all others
    /// are there.
    pub(crate) fn refresh(&mut self, origin: &Origin, now: u64) {
        let (seals, mark) = (seals_at(origin, now), origin.state().keyring_mark());
        if seals != self.seals || mark != self.mark {
            if seals != self.seals {
                self.leftover = Leftover::Some;
            }
            self.publish(origin, seals, mark);
        }
        self.forget(origin, now);
    }

    fn publish(&mut self, origin: &Origin, seals: Vec<[u8; 8]>, mark: u64) {
        let (secrets, unread) = collect(origin, &seals, &self.keyhole.look().ring);
        let published = secrets.iter().map(|secret| secret.id()).collect();
        *self.keyhole.0.write().unwrap_or_else(PoisonError::into_inner) =
            Arc::new(opening_keys(origin, secrets));
        let was_failing = std::mem::replace(&mut self.failing, unread.is_some());
        if let Some(e) = unread.as_ref().filter(|_| !was_failing) {
            tracing::error!("a seal key that clients know cannot be opened: {e}");
        }
        self.seals = if unread.is_none() { seals } else { published };
        self.mark = mark;
    }

    /// Removes what opens nothing any more. What an event may still name is kept: between two turns every
    /// secret that was kept is in the state, or was refused.
    fn forget(&mut self, origin: &Origin, now: u64) {
        let again = match self.leftover {
            Leftover::Nothing => false,
            Leftover::Some => true,
            Leftover::Stuck(tried) => now.abs_diff(tried) >= FORGET_AGAIN_S,
        };
        if !again || origin.writer().clock_alarm().is_some() {
            return;
        }
        self.leftover = match (origin.forget_seals(&seals_at(origin, now)), self.leftover) {
            (Ok(()), _) => Leftover::Nothing,
            (Err(_), Leftover::Stuck(_)) => Leftover::Stuck(now),
            (Err(e), _) => {
                tracing::error!("a secret that opens nothing any more is still in DIR/keys: {e}");
                Leftover::Stuck(now)
            }
        };
    }
}

/// The seal keys with which questions are opened at `now`.
fn seals_at(origin: &Origin, now: u64) -> Vec<[u8; 8]> {
    let believed = origin.writer().clock_alarm().is_none();
    let opens = |key: &&SealKey| !believed || now <= opens_until(key);
    origin.state().seal_keys().iter().filter(opens).map(|key| key.id).collect()
}

/// The secrets of `seals` that are here, from `before` or from their files, and why one could not be read.
fn collect(
    origin: &Origin,
    seals: &[[u8; 8]],
    before: &SealRing,
) -> (Vec<Arc<SealSecret>>, Option<OriginError>) {
    let (mut secrets, mut unread) = (Vec::new(), None);
    for id in seals {
        match before.secret(id).map_or_else(|| Ok(origin.seal_secret(*id)?.map(Arc::new)), |s| Ok(Some(s))) {
            Ok(secret) => secrets.extend(secret),
            Err(e) => unread = Some(e),
        }
    }
    (secrets, unread)
}

fn opening_keys(origin: &Origin, secrets: Vec<Arc<SealSecret>>) -> OpeningKeys {
    OpeningKeys {
        service: origin.identity().service_id,
        ring: SealRing::new(secrets, origin.state().seal_keys()),
        providers: Keyring::of(origin.state().registry()),
    }
}
