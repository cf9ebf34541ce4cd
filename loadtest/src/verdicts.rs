//! Judged answers, counted; of each bad kind the first is kept to be told.

use std::time::Duration;

use crate::report::Tally;
use crate::traffic::Judged;

/// What the answers of a run were worth.
#[derive(Debug)]
pub(crate) struct Verdicts {
    pub(crate) tally: Tally,
    wrong: Option<Judged>,
    refused: Option<Judged>,
}

impl Verdicts {
    pub(crate) fn new() -> Self {
        Verdicts { tally: Tally::new(), wrong: None, refused: None }
    }

    /// An answer at `now` to a question that was due at `due`.
    pub(crate) fn take(&mut self, judged: Judged, due: Duration, now: Duration) {
        match judged {
            Judged::Right => self.tally.answered(due, now),
            judged @ Judged::Refused(_) => {
                self.tally.refused += 1;
                self.refused.get_or_insert(judged);
            }
            judged => {
                self.tally.wrong += 1;
                self.wrong.get_or_insert(judged);
            }
        }
    }

    /// Says on stderr what was wrong first, and what was refused first.
    pub(crate) fn tell(&self) {
        if let Some(wrong) = self.wrong {
            eprintln!("the first wrong answer: {wrong}");
        }
        if let Some(refused) = self.refused {
            eprintln!("the first refusal: {refused}");
        }
    }
}
