//! Keys that a server has to accept.

use tekd::wire::Key;

use super::keys::import;
use super::server::Server;

/// Imports keys that have to be accepted, all of them.
#[track_caller]
pub(crate) fn import_all(server: &Server, keys: &[Key]) {
    let reply = import(server, keys).expect("a reply");
    let accepted = reply.result.as_ref().and_then(|r| r["accepted"].as_u64());
    assert_eq!(accepted, Some(keys.len() as u64), "{reply:?}");
}
