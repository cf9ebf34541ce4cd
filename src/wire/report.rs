//! The numbers of reporting: kinds of requests, report types, verdicts, outcomes, states (spec page 7).
//!
//! Each is one byte on the wire and one word everywhere else. What stands around them is laid out elsewhere;
//! what they mean for a report is decided floors above.

use zerocopy::{Immutable, IntoBytes, KnownLayout, TryFromBytes, Unaligned};

/// Most keys a request can carry (spec 7.2.1).
pub const MAX_SENT_KEYS: usize = 36;
/// Longest value of a grant in bytes (spec 7.2.1).
pub const MAX_GRANT: usize = 1024;
/// Bytes of a report id (spec 7.2.3).
pub const REPORT_ID_LEN: usize = 16;
/// Bytes of a report's secret, and of its hash (spec 7.2.3).
pub const SECRET_LEN: usize = 32;

/// Makes an enum of one byte with its numbers, words and a way back from each.
macro_rules! numbered {
    ($(#[$doc:meta])* $name:ident {
        $($(#[$variant_doc:meta])* $variant:ident = $number:literal, $word:literal;)*
    }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[derive(TryFromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
        #[repr(u8)]
        pub enum $name { $($(#[$variant_doc])* $variant = $number,)* }

        impl $name {
            /// All of them, by number.
            pub const ALL: &'static [$name] = &[$($name::$variant,)*];

            /// The one with this number.
            #[must_use]
            pub fn from_number(number: u8) -> Option<Self> {
                match number { $($number => Some($name::$variant),)* _ => None }
            }

            /// Its number on the wire.
            #[must_use]
            pub fn number(self) -> u8 {
                self as u8
            }

            /// Its word in answers, counts, metrics and commands.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $($name::$variant => $word,)* }
            }

            /// The one with this word.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|one| one.name() == name)
            }
        }
    };
}

numbered! {
    /// What a request wants (spec 7.2.1).
    RequestKind {
        /// A report (spec 7.3.1).
        Submit = 1, "submit";
        /// More keys, or another report type (spec 7.3.4).
        Amend = 2, "amend";
        /// How a report stands (spec 7.3.6).
        Status = 3, "status";
        /// A report taken back by its author (spec 7.3.5).
        Cancel = 4, "cancel";
        /// Nothing, in the form of a report (spec 7.1.8).
        Dummy = 5, "dummy";
    }
}

numbered! {
    /// What a report says of its author (spec 3.1.2, 7.8.1).
    ReportType {
        /// A confirmed test.
        Confirmed = 1, "confirmed";
        /// A confirmed clinical diagnosis.
        Likely = 2, "likely";
        /// The author's own word.
        SelfReport = 3, "self-report";
        /// Not infected after all: takes a report back, begins none.
        Negative = 5, "negative";
    }
}

numbered! {
    /// What became of one key of a request (spec 7.4.1).
    Verdict {
        /// It is stored.
        Accepted = 0, "accepted";
        /// It has another length than the set's keys.
        Malformed = 1, "malformed";
        /// Its rolling period is outside the limits.
        Period = 2, "period";
        /// Its rolling start lies too far ahead.
        Future = 3, "future";
        /// Its validity ended before the horizon.
        Expired = 4, "expired";
        /// A field has a value the schema does not know.
        Field = 5, "field";
        /// It stands twice in what was sent, or is in the report already.
        Duplicate = 6, "duplicate";
        /// Too many keys of the report have its start.
        Start = 7, "start";
        /// The report has too many keys.
        Count = 8, "count";
        /// Its day is too far from the onset of symptoms.
        Onset = 9, "onset";
    }
}

numbered! {
    /// How a request ended (spec 7.6.3).
    Outcome {
        /// As asked.
        Done = 0, "done";
        /// The request cannot be read.
        Malformed = 1, "malformed";
        /// No key was accepted; nothing is spent.
        Nothing = 2, "nothing";
        /// The code's check symbol, length or alphabet is wrong.
        Mistyped = 3, "mistyped";
        /// No such code, provider or key of a provider.
        Unknown = 4, "unknown";
        /// The grant is not valid yet.
        Early = 5, "early";
        /// The grant is valid no more.
        Expired = 6, "expired";
        /// The grant was used for another report.
        Spent = 7, "spent";
        /// The grant or its provider was revoked.
        Revoked = 8, "revoked";
        /// The provider is suspended.
        Suspended = 9, "suspended";
        /// The grant is for another set.
        Set = 10, "set";
        /// The grant does not allow this report type.
        Type = 11, "type";
        /// The certificate is over other keys.
        Keys = 12, "keys";
        /// The certificate is not signed by the key it names.
        Signature = 13, "signature";
        /// The certificate is for another audience.
        Audience = 14, "audience";
        /// A grant type that is not known.
        Kind = 15, "kind";
        /// The grant cannot be read.
        Grant = 16, "grant";
        /// A puzzle has to be solved first.
        Puzzle = 17, "puzzle";
        /// No such report, or not this secret.
        Report = 18, "report";
        /// More than 48 hours after the report.
        Late = 19, "late";
        /// This change of report type is not allowed.
        Change = 20, "change";
        /// The report id stands for other content.
        Conflict = 21, "conflict";
        /// Nothing is left of the report.
        Withdrawn = 22, "withdrawn";
        /// Not now.
        Busy = 23, "busy";
    }
}

numbered! {
    /// Where a report stands (spec 7.6.2).
    ReportState {
        /// Stored; nothing of it was ever live.
        Accepted = 1, "accepted";
        /// A key of it is or was live.
        Released = 2, "released";
        /// No key of it is claimed any more.
        Withdrawn = 3, "withdrawn";
    }
}

numbered! {
    /// Where a confirmed report is stored (spec 7.7.1).
    Durability {
        /// One disk.
        Disk = 1, "disk";
        /// Two disks.
        Mirror = 2, "mirror";
        /// Several sites.
        Sites = 3, "sites";
    }
}

/// A grant of a code (spec 7.8.2).
pub const GRANT_CODE: u16 = 1;
/// A grant of a certificate (spec 7.8.5).
pub const GRANT_CERTIFICATE: u16 = 2;
/// A grant of the field's JWT (spec 7.8.7).
pub const GRANT_JWT: u16 = 3;

/// A key as it is sent: not judged, not coarsened.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SentKey<'a> {
    /// 16 or 32 bytes.
    pub key: &'a [u8],
    /// Rolling start interval number.
    pub start: u32,
    /// Rolling period, in intervals.
    pub period: u32,
    /// Transmission risk level.
    pub risk: u8,
}

impl core::fmt::Debug for SentKey<'_> {
    // no-trace: a key that is not published is nobody's to read.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "SentKey({} bytes, {} + {})", self.key.len(), self.start, self.period)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_words_lead_back_to_what_they_name() {
        for outcome in Outcome::ALL {
            assert_eq!(Outcome::from_number(outcome.number()), Some(*outcome));
            assert_eq!(Outcome::from_name(outcome.name()), Some(*outcome));
        }
        assert_eq!(Outcome::from_number(24), None);
        assert_eq!(ReportType::from_number(4), None);
        assert!(Verdict::ALL.windows(2).all(|pair| pair[0].number() + 1 == pair[1].number()));
    }
}
