//! Keys of the service: listed, exported, made anew.

use std::path::PathBuf;

use serde_json::json;

use super::super::entropy::{self, SystemRandom};
use super::super::keys::Keys;
use super::super::listing;
use super::super::origin::Origin;
use super::{Commands, Done, asked, failed};
use crate::engine::{MAX_SEAL_KEYS, Refusal, SealKey};
use crate::service::control::ControlReply;

/// Seal keys at a time that operators may make, those that ended within a day among them; the rest is for
/// those that are made by themselves. Two are usual.
const MAX_BY_HAND: usize = 16;

const _: () = assert!(MAX_BY_HAND + 4 <= MAX_SEAL_KEYS);

fn newest_seal_key(origin: &Origin) -> Option<SealKey> {
    origin.state().seal_keys().last().cloned()
}

/// Why no seal key is made by hand now.
fn no_seal_key(origin: &Origin, now: u64) -> Option<ControlReply> {
    if let Some(alarm) = origin.writer().clock_alarm() {
        return Some(asked(Refusal::ClockHeld(alarm.clone()).into()));
    }
    let keys = origin.state().seal_keys_at(now);
    (keys >= MAX_BY_HAND).then(|| {
        ControlReply::refused(format!(
            "{keys} seal keys are in force or were within a day, {MAX_BY_HAND} are the most allowed; nothing was \
             changed: `tekctl keys list` shows when the oldest ends"
        ))
    })
}

impl Commands {
    fn keys(&self) -> Result<Keys<'_>, ControlReply> {
        Keys::open(&*self.disk, &self.data).map_err(failed)
    }

    pub(super) fn list_keys(&self) -> Done {
        let keys = self.keys()?;
        let files = keys.names().map_err(failed)?;
        let root_here = files.iter().any(|name| name == "root.key");
        let root = if root_here { "here" } else { "exported" };
        if self.private.is_none() {
            return Ok(json!({ "files": files, "online": null, "root": root }));
        }
        let origin = self.origin()?;
        let now = self.clock.now().unix;
        let look = move |o: &Origin| {
            let codes = listing::codes_key(o, now);
            (listing::delegation(o), o.state().seal_keys().to_vec(), codes)
        };
        let (online, seal_keys, codes) = origin.look(look).map_err(asked)?;
        let mut seal = Vec::new();
        for key in &seal_keys {
            let here = keys.seal(key.id).map_err(failed)?.is_some();
            seal.push(listing::seal_key(key, here));
        }
        Ok(json!({ "files": files, "online": online, "root": root, "seal": seal, "codes": codes }))
    }

    pub(super) fn export_root(&self, path: PathBuf) -> Done {
        self.origin()?;
        let keys = self.keys()?;
        if keys.root().map_err(failed)?.is_none() {
            let why = "the root key is not on this machine: it was exported already";
            return Err(ControlReply::refused(why));
        }
        keys.export_root(&path).map_err(failed)?;
        Ok(json!({ "exported": path }))
    }

    pub(super) fn export_codes(&self, path: PathBuf) -> Done {
        self.origin()?;
        let keys = self.keys()?;
        let Some(codes) = keys.codes().map_err(failed)? else {
            return Err(asked(Refusal::NoCodesKey.into()));
        };
        keys.export_codes(&path).map_err(failed)?;
        Ok(json!({ "exported": path, "codes_key": hex::encode(codes.id()) }))
    }

    pub(super) fn rotate_seal(&self) -> Done {
        let origin = self.origin()?;
        let now = self.clock.now().unix;
        let look = move |o: &Origin| (newest_seal_key(o), no_seal_key(o, now));
        let (before, refused) = origin.look(look).map_err(asked)?;
        if let Some(refused) = refused {
            return Err(refused);
        }
        let acted = origin.act(|o, _| match o.make_seal_key(entropy::bytes(&mut SystemRandom)) {
            Ok(input) => vec![input],
            Err(e) => {
                tracing::error!("no new seal key: {e}");
                Vec::new()
            }
        });
        acted.map_err(asked)?;
        self.note_head()?;
        match origin.look(newest_seal_key).map_err(asked)? {
            Some(key) if before.is_none_or(|before| before.id != key.id) => {
                Ok(json!({ "seal": listing::seal_key(&key, true) }))
            }
            _ => Err(failed("no new seal key was made, the newest one goes on; the log says why")),
        }
    }

    pub(super) fn rotate_online(&self) -> Done {
        let origin = self.origin()?;
        let has_root = self.keys()?.root().map_err(failed)?.is_some();
        if !has_root {
            let why = "the root key is not on this machine, so no delegation can be signed here: \
                       put keys/root.key back for this command";
            return Err(ControlReply::refused(why));
        }
        let doubt = origin.look(|o| o.writer().clock_alarm().cloned()).map_err(asked)?;
        if let Some(alarm) = doubt {
            return Err(asked(Refusal::ClockHeld(alarm).into()));
        }
        let before = origin.look(|o| o.state().key_epoch()).map_err(asked)?;
        let acted = origin.act(|o, clock| match o.next_online(clock.now().unix, &mut SystemRandom) {
            Ok(input) => input.into_iter().collect(),
            Err(e) => {
                tracing::error!("no new online key: {e}");
                Vec::new()
            }
        });
        acted.map_err(asked)?;
        self.note_head()?;
        if origin.look(|o| o.state().key_epoch()).map_err(asked)? == before {
            return Err(failed(format!(
                "no new online key was made, epoch {before} goes on; the log says why"
            )));
        }
        let online = origin.look(listing::delegation).map_err(asked)?;
        Ok(json!({ "online": online }))
    }

    pub(super) fn rotate_tls(&self) -> Done {
        self.keys()?.rotate_tls().map_err(failed)?;
        Ok(json!({ "rotated": true, "in_force": "after a restart" }))
    }
}
