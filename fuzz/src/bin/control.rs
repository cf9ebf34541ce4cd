//! Requests on the control socket: lines of JSON, one after the other.
//!
//! Beside not panicking: memory stays within a multiple of what arrived, a request that was read is
//! written and read again as it was, and a malformed line does not hide the next.

#![no_main]

use std::io::BufReader;

use libfuzzer_sys::fuzz_target;
use tekd::service::control::{ControlError, ControlRequest, ImportKey, SetSettings, SignatureState};
use tekd::service::control::{read_request, write_request};
use tekd_fuzz::bounded;

fuzz_target!(init: tekd_fuzz::seeds::offer(seeds), |input: &[u8]| {
    bounded::within((256 << 10) + 64 * input.len(), || {
        let mut reader = BufReader::with_capacity(64, input);
        let mut lines = 0;
        loop {
            match read_request(&mut reader) {
                Ok(None) => break,
                Ok(Some(request)) => again(&request),
                Err(ControlError::Malformed { why, .. }) => assert!(!why.is_empty()),
                Err(_) => return,
            }
            lines += 1;
        }
        assert_eq!(lines, input.iter().filter(|byte| **byte == b'\n').count());
    });
});

fn again(request: &ControlRequest) {
    let mut line = Vec::new();
    write_request(&mut line, request).expect("what was read can be written");
    let read = read_request(&mut &line[..]).expect("what was written can be read");
    assert_eq!(read.as_ref(), Some(request));
}

fn seeds() -> Vec<Vec<u8>> {
    let keys = import_keys();
    let settings = SetSettings { interval_s: Some(900), decoys: Some(true), ..SetSettings::default() };
    let requests = [
        ControlRequest::Status {},
        ControlRequest::SetCreate { set: 2, settings },
        ControlRequest::ProviderList {},
        ControlRequest::ImportBegin { set: 1, source: "s".to_owned(), signature: SignatureState::Valid },
        ControlRequest::ImportKeys { import: 1, keys },
        ControlRequest::ReleaseHeld { set: None },
        ControlRequest::ReleaseNow { set: 1, allow_small: true },
        ControlRequest::Shutdown {},
    ];
    let mut seeds = Vec::new();
    let mut all = Vec::new();
    for request in &requests {
        let mut line = Vec::new();
        write_request(&mut line, request).expect("few bytes");
        all.extend_from_slice(&line);
        seeds.push(line);
    }
    seeds.push(all);
    seeds.push(b"{\"command\":\"key-withdraw\",\"set\":1,\"key\":\"AAECAwQFBgcICQoLDA0ODw==\",\"reason\":\"r\"}\n{\n".to_vec());
    seeds
}

fn import_keys() -> Vec<ImportKey> {
    let key = tekd::service::control::Base64(vec![5; 16]);
    vec![ImportKey {
        key,
        rolling_start_number: 2_900_016,
        rolling_period: 144,
        report_type: Some(1),
        transmission_risk: None,
        days_since_onset: Some(-3),
    }]
}
