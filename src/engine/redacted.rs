//! What is printed of reports when somebody prints them: how much there is, and nothing of it.
//!
//! no-trace: a request, a reply and an event hold ids, secrets, grants and keys; a message, a panic or a
//! failed test that shows one of them must not tell whose it is.

use std::fmt;

use super::event::{Amended, Authored, Reported};
use super::input::{ReportReply, ReportRequest};
use super::told::Told;

impl fmt::Debug for ReportRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReportRequest")
            .field("set", &self.set)
            .field("kind", &self.kind)
            .field("grant_bytes", &self.grant_bytes.len())
            .field("keys", &self.keys.len())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ReportReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReportReply")
            .field("outcome", &self.outcome)
            .field("standing", &self.standing)
            .field("verdicts", &self.verdicts)
            .field("puzzle_bits", &self.puzzle.map(|(_, bits)| bits))
            .field("wait_s", &self.wait_s)
            .field("time", &self.time)
            .field("receipt", &self.receipt.is_some())
            .finish()
    }
}

impl fmt::Debug for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Told").field("verdicts", &self.verdicts).finish_non_exhaustive()
    }
}

impl fmt::Debug for Authored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authored").field("told", &self.told).finish_non_exhaustive()
    }
}

impl fmt::Debug for Reported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reported")
            .field("set", &self.set)
            .field("provider", &self.provider)
            .field("authored", &self.authored)
            .field("keys", &self.keys.len())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Amended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Amended")
            .field("set", &self.set)
            .field("report", &self.report)
            .field("provider", &self.provider)
            .field("keys", &self.keys.len())
            .field("told", &self.told)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD_NO_PAD;

    use crate::authority::seal::{SealSecret, associated_data, seal};
    use crate::authority::{Code, CodesKey, Grant, Keyring, Registry, Vouched};
    use crate::engine::{
        Amended, Authored, Event, ImportedKey, Input, IssuedCodes, Opened, OpeningKeys, Presented,
        PresentedKey, Reply, ReportReply, ReportRequest, Reported, ReportedKey, SealKey, SealRing, Secrets,
        Told, Withdrawn,
    };
    use crate::release::{Fields, SigningKey};
    use crate::store::journal::Record;
    use crate::wire::Key;
    use crate::wire::outcome::ReceiptBytes;
    use crate::wire::report::{Durability, Outcome, ReportType, RequestKind, Verdict};
    use crate::wire::request::REQUEST_LEN;

    /// Each secret consists of these.
    const MARK: [u8; 2] = [0xa7, 0xbd];

    fn marked<const N: usize>() -> [u8; N] {
        std::array::from_fn(|i| MARK[i % 2])
    }

    fn key() -> Key {
        Key::from_slice(&marked::<16>()).unwrap()
    }

    fn told() -> Told {
        let verdicts = vec![Verdict::Accepted, Verdict::Malformed];
        Told {
            content: marked(),
            verdicts,
            durability: Durability::Disk,
            incarnation: 1,
            key_epoch: 1,
            signature: marked(),
        }
    }

    fn reported() -> Reported {
        let authored = Authored {
            secret_hash: marked(),
            onset_day: Some(20_001),
            report_type: ReportType::Confirmed,
            told: told(),
        };
        let keys = vec![ReportedKey { key: key(), fields: Fields::default(), embargo_end: 3 }];
        let grant = Grant::Certificate { signer: [3; 8], identity: marked(), until: 4 };
        Reported { set: 1, provider: 2, report: marked(), grant, authored: Some(authored), keys }
    }

    fn amended() -> Amended {
        let grant = Grant::Certificate { signer: [3; 8], identity: marked(), until: 4 };
        Amended {
            set: 1,
            report: 9,
            report_type: None,
            grant,
            provider: 2,
            keys: reported().keys,
            told: told(),
        }
    }

    fn request(grant: Presented) -> ReportRequest {
        ReportRequest {
            set: 1,
            kind: RequestKind::Submit,
            report: marked(),
            secret: marked(),
            report_type: None,
            onset_day: Some(20_001),
            grant,
            puzzle: (marked(), u64::from_le_bytes(marked())),
            grant_bytes: marked::<64>().to_vec(),
            keys: vec![PresentedKey { key: key(), start: 1, period: 144, risk: 1 }],
            content: marked(),
        }
    }

    fn vouched() -> Vouched {
        Vouched {
            provider: 2,
            key: marked(),
            set: None,
            report_type: ReportType::Confirmed,
            onset_day: Some(20_001),
            not_before: 1,
            not_after: 2,
            identity: marked(),
        }
    }

    /// The marks in every form in which bytes are printed.
    fn forms() -> Vec<String> {
        let (code, wide) = (Code::from_first_bits(marked()), marked::<12>());
        let text = code.to_text();
        let mut forms = vec![
            "167, 189".to_owned(),
            "167,189".to_owned(),
            "a7bd".to_owned(),
            "20001".to_owned(),
            text[..4].to_ascii_lowercase(),
            text.replace('-', "")[4..8].to_ascii_lowercase(),
            u64::from_le_bytes(marked()).to_string(),
            u64::from_be_bytes(marked()).to_string(),
            (u64::from_be_bytes(marked()) >> 9).to_string(),
        ];
        forms.extend((0..3).map(|at| STANDARD_NO_PAD.encode(&wide[at..at + 6]).to_ascii_lowercase()));
        forms
    }

    #[test]
    fn no_secret_is_printed() {
        let code = Code::from_first_bits(marked());
        let secret = SealSecret::from_bytes(&marked());
        let (public, associated) = (secret.public(), associated_data(0x81, &[1; 8], 1));
        let fill = |bytes: &mut [u8]| bytes.copy_from_slice(&marked::<64>()[..bytes.len()]);
        let (_, answer_key) = seal(&public, &associated, &marked::<REQUEST_LEN>(), fill).unwrap();
        let opened = Opened { request: Ok(request(Presented::Code(code))), answer_key };
        let known = SealKey { public, id: secret.id(), not_before: 0, not_after: 9 };
        let ring = SealRing::new(vec![secret], &[known]);
        let opening = OpeningKeys { service: [1; 8], ring, providers: Keyring::of(&Registry::default()) };
        let online = || SigningKey::from_secret(marked());
        let secrets = Secrets { online: online(), codes: Some(CodesKey::new(marked())) };
        let reply = ReportReply {
            puzzle: Some((marked(), 20)),
            receipt: Some(ReceiptBytes::new(marked(), marked(), &marked::<200>())),
            ..ReportReply::of(Outcome::Done, 5)
        };
        let codes = IssuedCodes { batch: 1, provider: 2, expires: 3, codes: vec![code] };
        let scope = crate::authority::Scope::Key { set: 1, key: key() };
        let withdrawn = Withdrawn { scope, urgent: false, reason: String::new(), told: Some(told()) };
        let imported = ImportedKey { key: key(), fields: Fields::default(), period: 144 };
        let record = Record { kind: 1, version: 0, seq: 1, time_s: 2, payload: marked::<40>().to_vec() };
        let printed = [
            format!("{:?}", request(Presented::Code(code))),
            format!("{:#?}", Input::Report(Box::new(request(Presented::Vouched(vouched()))))),
            format!("{:?} {:?}", Presented::Code(code), Presented::Vouched(vouched())),
            format!("{:?}", Input::Delegate { delegation: Vec::new(), key: online() }),
            format!("{:?}", Input::Import { set: 1, provider: "a".to_owned(), keys: vec![imported] }),
            format!("{:?} {:#?}", reply.clone(), Reply::Report(Box::new(reply))),
            format!("{:?}", Reply::Codes(codes)),
            format!("{:?} {:#?}", reported(), Event::Reported(reported())),
            format!("{:?} {:#?}", amended(), Event::Amended(amended())),
            format!("{:?} {:#?}", withdrawn.clone(), Event::Withdrawn(withdrawn)),
            format!("{:?} {:?}", told(), reported().authored),
            format!("{opening:?} {secrets:?} {opened:?}"),
            format!("{record:?}"),
        ];
        for text in &printed {
            let lower = text.to_ascii_lowercase();
            // A list of bytes on lines of their own is one on a single line too.
            let flat = lower.split_whitespace().collect::<Vec<_>>().join(" ");
            for form in forms() {
                assert!(!lower.contains(&form) && !flat.contains(&form), "{form} in {text}");
            }
            assert!(!text.is_empty());
        }
        assert!(printed[0].contains("keys: 1") && printed[7].contains("provider: 2"), "{printed:?}");
    }
}
