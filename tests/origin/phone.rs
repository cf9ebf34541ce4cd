//! A phone: it makes a report id and a secret, and asks with them. What it sends is what an opener makes of a
//! sealed request (spec 7.2).

use sha2::{Digest, Sha256};
use tekd::authority::Code;
use tekd::engine::{Presented, PresentedKey, ReportRequest};
use tekd::wire::Key;
use tekd::wire::report::{ReportType, RequestKind};

use super::world::{Dice, day_start};

/// What a phone keeps of a report.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Phone {
    pub(crate) set: u32,
    pub(crate) report: [u8; 16],
    pub(crate) secret: [u8; 32],
}

impl Phone {
    pub(crate) fn new(dice: &mut Dice, set: u32) -> Phone {
        Phone { set, report: dice.bytes(), secret: dice.bytes() }
    }

    pub(crate) fn submit(&self, code: Code, keys: Vec<PresentedKey>) -> ReportRequest {
        self.request(RequestKind::Submit, Presented::Code(code), keys)
    }

    /// More keys under the grant of the report.
    pub(crate) fn amend(&self, keys: Vec<PresentedKey>) -> ReportRequest {
        self.request(RequestKind::Amend, Presented::None, keys)
    }

    pub(crate) fn cancel(&self) -> ReportRequest {
        self.request(RequestKind::Cancel, Presented::None, Vec::new())
    }

    pub(crate) fn status(&self) -> ReportRequest {
        self.request(RequestKind::Status, Presented::None, Vec::new())
    }

    pub(crate) fn request(
        &self,
        kind: RequestKind,
        grant: Presented,
        keys: Vec<PresentedKey>,
    ) -> ReportRequest {
        let fresh = matches!(kind, RequestKind::Submit | RequestKind::Dummy);
        let grant_bytes = match &grant {
            Presented::None => Vec::new(),
            Presented::Code(code) => code.to_text().into_bytes(),
            Presented::Vouched(vouched) => vouched.identity.to_vec(),
            Presented::Faulty(outcome, _) => vec![outcome.number()],
        };
        sealed_over(ReportRequest {
            set: self.set,
            kind,
            report: self.report,
            secret: if fresh { Sha256::digest(self.secret).into() } else { self.secret },
            report_type: None,
            onset_day: None,
            grant,
            puzzle: ([0; 16], 0),
            grant_bytes,
            keys,
            content: [0; 32],
        })
    }
}

/// The request with a type asked for and a day of onset.
pub(crate) fn saying(
    request: ReportRequest,
    report_type: Option<ReportType>,
    onset_day: Option<u32>,
) -> ReportRequest {
    sealed_over(ReportRequest { report_type, onset_day, ..request })
}

/// The request with a content that follows from everything it says. As its layout in the frame is not at
/// hand here, the digest is over the same parts in another order than spec 7.2.5 gives.
fn sealed_over(mut r: ReportRequest) -> ReportRequest {
    let mut hash = Sha256::new();
    hash.update(r.set.to_le_bytes());
    hash.update([r.kind.number(), r.report_type.map_or(0, ReportType::number)]);
    hash.update(r.onset_day.unwrap_or(0).to_le_bytes());
    hash.update([r.report.as_slice(), &r.secret, &r.grant_bytes].concat());
    for k in &r.keys {
        hash.update(k.key.as_bytes());
        hash.update(
            [k.start.to_le_bytes(), k.period.to_le_bytes(), u32::from(k.risk).to_le_bytes()].concat(),
        );
    }
    r.content = hash.finalize().into();
    r
}

/// Whole days, one fresh key each, the last of them the day that ended `ago` days before today.
pub(crate) fn days(dice: &mut Dice, unix: u64, ago: u64, n: u64) -> Vec<PresentedKey> {
    let day = |i| PresentedKey { key: dice.key(16), start: day_start(unix, ago + i), period: 144, risk: 3 };
    (0..n).map(day).collect()
}

pub(crate) fn presented(key: Key, start: u32, period: u32, risk: u8) -> PresentedKey {
    PresentedKey { key, start, period, risk }
}
