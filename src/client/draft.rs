//! What an author reports, and what makes the report the author's own.
//!
//! An [`Author`] is made before the first question and kept as long as the report is needed: with it the same
//! request can be repeated until its answer arrives, and nobody else can change or take back the report (spec
//! 7.2.3). Nothing here asks anybody.

use std::fmt;

use sha2::{Digest, Sha256};

use super::asking::Random;
use crate::time;
use crate::wire::report::{MAX_SENT_KEYS, REPORT_ID_LEN, ReportType, RequestKind, SECRET_LEN, SentKey};
use crate::wire::request::{Request, RequestError};

/// Report id and secret of one report (spec 7.2.3).
#[derive(Clone, PartialEq, Eq)]
pub struct Author {
    /// Report id.
    pub report: [u8; REPORT_ID_LEN],
    /// What proves the author; the server gets its hash, and itself only to amend, ask and cancel.
    pub secret: [u8; SECRET_LEN],
}

impl fmt::Debug for Author {
    // no-trace: who holds these holds the report.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Author(..)")
    }
}

impl Author {
    /// The author of a new report, of 48 random bytes.
    pub fn new(random: &mut Random<'_>) -> Self {
        let mut author = Self { report: [0; REPORT_ID_LEN], secret: [0; SECRET_LEN] };
        random(&mut author.report);
        random(&mut author.secret);
        author
    }

    /// H(secret).
    #[must_use]
    pub fn secret_hash(&self) -> [u8; SECRET_LEN] {
        Sha256::digest(self.secret).into()
    }

    /// A request about this report that proves its author.
    pub(super) fn request<'a>(&self, kind: RequestKind) -> Request<'a> {
        Request::about(kind, self.report, self.secret)
    }
}

/// What is reported, or added to a report.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct ReportDraft<'a> {
    /// Type and value of the grant (spec 7.8). A new report needs one.
    pub grant: Option<(u16, &'a [u8])>,
    /// At most 36 keys of one length.
    pub keys: &'a [SentKey<'a>],
    /// The report type asked for; `None`: that of the grant.
    pub report_type: Option<ReportType>,
    /// Day on which symptoms began, in days since 1970-01-01.
    pub onset_day: Option<u32>,
}

impl fmt::Debug for ReportDraft<'_> {
    // no-trace: neither grant nor keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReportDraft({} keys)", self.keys.len())
    }
}

impl<'a> ReportDraft<'a> {
    /// The draft as a new report.
    pub(super) fn submission(&self, author: &Author) -> Request<'a> {
        let hash = author.secret_hash();
        self.within(Request::about(RequestKind::Submit, author.report, hash))
    }

    /// The draft as an addition to the author's report.
    pub(super) fn amendment(&self, author: &Author) -> Request<'a> {
        self.within(author.request(RequestKind::Amend))
    }

    fn within(&self, request: Request<'a>) -> Request<'a> {
        let ReportDraft { grant, keys, report_type, onset_day } = *self;
        Request { grant, keys, report_type, onset_day, ..request }
    }
}

/// What a report that is none looks like (spec 7.1.8): like those of its app.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct DummyForm<'a> {
    /// Type and value of a grant in the form of real ones.
    pub grant: (u16, &'a [u8]),
    /// As many keys as reports of the app have, at most 36.
    pub keys: usize,
    /// Bytes of each key: 16 or 32.
    pub key_len: usize,
}

impl fmt::Debug for DummyForm<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DummyForm({} keys)", self.keys)
    }
}

/// Random keys of the days before `now` (Unix seconds), one a day, one after the other.
pub(super) struct DummyKeys {
    bytes: Vec<u8>,
    key_len: usize,
    today: u32,
}

impl DummyKeys {
    /// The keys of a form.
    ///
    /// # Errors
    /// [`RequestError`] if no request can carry them.
    pub(super) fn draw(
        form: &DummyForm<'_>,
        now: u64,
        random: &mut Random<'_>,
    ) -> Result<Self, RequestError> {
        // bounded: no more are drawn than a request carries.
        if form.keys > MAX_SENT_KEYS {
            return Err(RequestError::Keys(form.keys));
        }
        let key_len = form.key_len.clamp(1, SECRET_LEN + 1);
        let mut bytes = vec![0; form.keys * key_len];
        random(&mut bytes);
        let today = time::interval_of(now) / time::INTERVALS_PER_DAY * time::INTERVALS_PER_DAY;
        Ok(Self { bytes, key_len, today })
    }

    /// As they are sent.
    pub(super) fn sent(&self) -> Vec<SentKey<'_>> {
        let day = time::INTERVALS_PER_DAY;
        let keys = self.bytes.chunks_exact(self.key_len).zip(1u32..);
        let sent = keys.map(|(key, ago)| {
            let start = self.today.saturating_sub(ago * day);
            SentKey { key, start, period: day, risk: 0 }
        });
        sent.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_author_is_made_of_48_random_bytes_and_not_printed() {
        let mut next = 0;
        let author = Author::new(&mut |bytes| {
            bytes.fill_with(|| {
                next += 1;
                next
            });
        });
        assert_eq!((author.report[0], author.secret[0], author.secret[31]), (1, 17, 48));
        assert_eq!(format!("{author:?}"), "Author(..)");
    }

    #[test]
    fn dummy_keys_are_of_the_days_before() {
        let form = DummyForm { grant: (1, b"x"), keys: 3, key_len: 16 };
        let drawn = DummyKeys::draw(&form, 1_600_000_000, &mut |bytes| bytes.fill(7)).unwrap();
        let today = time::interval_of(1_600_000_000) / 144 * 144;
        let starts: Vec<_> = drawn.sent().iter().map(|key| (key.start, key.period)).collect();
        assert_eq!(starts, [(today - 144, 144), (today - 288, 144), (today - 432, 144)]);
        let many = DummyForm { keys: 37, ..form };
        let refused = DummyKeys::draw(&many, 0, &mut |_| ()).map(|_| ());
        assert_eq!(refused, Err(RequestError::Keys(37)));
    }
}
