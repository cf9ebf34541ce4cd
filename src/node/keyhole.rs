//! What sealed questions are opened with, on its way from the origin to whoever opens.
//!
//! The origin's thread looks after each turn whether seal keys or providers have changed and publishes a new
//! whole; openers keep the one they began with. A seal key that is over for more than a day is dropped here
//! and its file removed (spec 7.1.4), but not by a clock that nobody believes.

use std::sync::{Arc, PoisonError, RwLock};

use super::origin::{Origin, OriginError};
use crate::authority::Keyring;
use crate::engine::{OpeningKeys, SealRing, opens_until};

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
}

impl KeyWatch {
    /// Publishes the keys of an origin as it is.
    pub(crate) fn new(origin: &Origin, now: u64) -> Result<Self, OriginError> {
        let (seals, mark) = (seals_at(origin, now), origin.state().keyring_mark());
        let keys = read(origin, &seals)?;
        Ok(KeyWatch { keyhole: Arc::new(Keyhole(RwLock::new(Arc::new(keys)))), seals, mark, failing: false })
    }

    pub(crate) fn keyhole(&self) -> &Arc<Keyhole> {
        &self.keyhole
    }

    /// Publishes what has changed. If that fails the keys before stay, and the next turn tries again.
    pub(crate) fn refresh(&mut self, origin: &Origin, now: u64) {
        let (seals, mark) = (seals_at(origin, now), origin.state().keyring_mark());
        if seals == self.seals && mark == self.mark {
            return;
        }
        match read(origin, &seals) {
            Ok(keys) => {
                *self.keyhole.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
                (self.seals, self.mark, self.failing) = (seals, mark, false);
            }
            Err(e) => {
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::error!("sealed questions are opened with the keys before: {e}");
                }
            }
        }
    }
}

/// The seal keys with which questions are opened at `now`.
fn seals_at(origin: &Origin, now: u64) -> Vec<[u8; 8]> {
    let believed = origin.writer().clock_alarm().is_none();
    let opens = |key: &&crate::engine::SealKey| !believed || now <= opens_until(key);
    origin.state().seal_keys().iter().filter(opens).map(|key| key.id).collect()
}

fn read(origin: &Origin, seals: &[[u8; 8]]) -> Result<OpeningKeys, OriginError> {
    let mut secrets = origin.seal_secrets()?;
    // What cannot be removed is tried again at the next change; it opens nothing meanwhile.
    if seals.len() < origin.state().seal_keys().len()
        && let Err(e) = origin.forget_seals(seals)
    {
        tracing::error!("the secret of a seal key that is over is still in DIR/keys: {e}");
    }
    secrets.retain(|secret| seals.contains(&secret.id()));
    Ok(OpeningKeys {
        service: origin.identity().service_id,
        ring: SealRing::new(secrets, origin.state().seal_keys()),
        providers: Keyring::of(origin.state().registry()),
    })
}
