//! Keys of patients who do not exist, and their way into a server.

use std::time::{SystemTime, UNIX_EPOCH};

use tekd::engine::{Random, Seeded};
use tekd::service::control::{Base64, ControlReply, ControlRequest, ImportKey, SignatureState};
use tekd::wire::Key;

use super::server::Server;

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

/// A seed of this run, printed.
pub(crate) fn fresh_seed(of: &str) -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let seed = u64::from(since.subsec_nanos()) ^ since.as_secs() << 30;
    println!("seed of {of}: {seed}");
    seed
}

/// `count` keys of a seed.
pub(crate) fn keys(seed: u64, count: usize) -> Vec<Key> {
    let mut random = Seeded::new(seed);
    let mut key = [0; 16];
    let next = || {
        random.fill(&mut key);
        Key::from_slice(&key).expect("16 bytes")
    };
    std::iter::repeat_with(next).take(count).collect()
}

/// Imports keys whose validity ended yesterday at the latest: past their embargo, far from their end.
pub(crate) fn import(server: &Server, keys: &[Key]) -> Result<ControlReply, String> {
    let start = u32::try_from(now() / 86_400 - 2).expect("days fit") * 144;
    let sent = |key: &Key| ImportKey {
        key: Base64(key.as_bytes().to_vec()),
        rolling_start_number: start,
        rolling_period: 144,
        report_type: Some(1),
        transmission_risk: Some(3),
        days_since_onset: None,
    };
    let mut control =
        tekd::service::control::ControlClient::connect(&server.ready.control).map_err(|e| e.to_string())?;
    let mut call = |request| control.call(&request, |_| ()).map_err(|e| e.to_string());
    let begin =
        ControlRequest::ImportBegin { set: 1, source: "test".into(), signature: SignatureState::Unchecked };
    let import = call(begin)?.result.and_then(|r| r["import"].as_u64()).ok_or("no import was begun")?;
    for chunk in keys.chunks(10_000) {
        call(ControlRequest::ImportKeys { import, keys: chunk.iter().map(sent).collect() })?;
    }
    call(ControlRequest::ImportCommit { import })
}
