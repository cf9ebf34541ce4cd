//! The keys that reports are sealed to: made weekly, their secrets kept and removed.

use super::super::keys::Keys;
use super::{Origin, OriginError, SEAL_KEY_WEEK_S};
use crate::authority::seal::SealSecret;
use crate::engine::{Input, MAX_JUMP_S, MAX_SEAL_KEYS, SealKey};

impl Origin {
    /// A new seal key if one is due; `secret`: 32 fresh random bytes.
    ///
    /// # Errors
    /// If a key file cannot be written.
    pub fn next_seal_key(&self, now: u64, secret: [u8; 32]) -> Result<Option<Input>, OriginError> {
        self.seal_key_is_due(now).then(|| self.make_seal_key(secret)).transpose()
    }

    /// Keeps `secret`, 32 fresh random bytes, as that of a new seal key; the input then tells the writer of
    /// it. Removes nothing: another key of the same group may not be in the state yet.
    ///
    /// # Errors
    /// If a key file cannot be written.
    pub fn make_seal_key(&self, secret: [u8; 32]) -> Result<Input, OriginError> {
        let keys = Keys::open(&*self.options.disk, &self.options.dir)?;
        // The secret is safe before anybody is told of its key.
        let public = keys.keep_seal(&secret)?.public();
        Ok(Input::AddSealKey { public })
    }

    /// Whether it is time for a new seal key: there is none that has begun, is less than a week old and can
    /// be opened, or who seals would prefer one that cannot. A clock that is not believed makes none: they
    /// would be over too early or too late, and push out those that hold.
    pub fn seal_key_is_due(&self, now: u64) -> bool {
        let keys = self.state().seal_keys();
        if self.writer.clock_alarm().is_some() || self.state().seal_keys_at(now) >= MAX_SEAL_KEYS {
            return false;
        }
        // While there is one, what room is left is for what comes sealed to it: withdrawals.
        if self.full && keys.iter().any(|key| (key.not_before..=key.not_after).contains(&now)) {
            return false;
        }
        let lost = |key: &&SealKey| self.lost_seals.contains(&key.id);
        let preferred =
            keys.iter().filter(|key| lost(key) && key.not_before <= now).map(|key| key.not_before);
        let preferred = preferred.max().unwrap_or(0);
        // A key that a clock a little ahead made has begun for all who know it (spec 4.2.1).
        let begun = |key: &&SealKey| key.not_before <= now.saturating_add(MAX_JUMP_S);
        let young = |key: &&SealKey| now < key.not_before.saturating_add(SEAL_KEY_WEEK_S);
        let serves = |key: &&SealKey| begun(key) && young(key) && key.not_before >= preferred && !lost(key);
        !keys.iter().any(|key| serves(&key))
    }

    /// Notes which seal keys cannot be opened: after a backup that is newer in one part than in another.
    pub(super) fn find_lost_seals(&mut self) {
        let keys = Keys::look(&*self.options.disk, &self.options.dir);
        let lost = self.state().seal_keys().iter().map(|key| key.id).filter(|id| !keys.may_have_seal(*id));
        let lost: Vec<[u8; 8]> = lost.collect();
        for id in &lost {
            tracing::warn!("the secret of seal key {} is not in DIR/keys: nothing opens it", hex::encode(id));
        }
        self.lost_seals = lost;
    }

    /// Removes the secrets of all seal keys but these from `DIR/keys`: of those that are over, and of those
    /// that no event names, which a crash left there. Those of inputs that are not decided yet must be among
    /// `kept`.
    ///
    /// # Errors
    /// If a key file cannot be removed; the others are.
    pub fn forget_seals(&self, kept: &[[u8; 8]]) -> Result<(), OriginError> {
        let keys = Keys::look(&*self.options.disk, &self.options.dir);
        let removed =
            |name: &str| tracing::info!("keys/{name} was removed: nothing is sealed to it any more");
        Ok(keys.forget_seals(kept, removed)?)
    }

    /// The secret of a seal key, if it is here.
    ///
    /// # Errors
    /// If its file is unreadable.
    pub fn seal_secret(&self, id: [u8; 8]) -> Result<Option<SealSecret>, OriginError> {
        Ok(Keys::look(&*self.options.disk, &self.options.dir).seal(id)?)
    }
}
