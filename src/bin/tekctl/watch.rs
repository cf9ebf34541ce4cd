//! Carriers that show how far a sync has come: they hear the lengths of the objects and of the parts that
//! came.

use std::sync::{Arc, Mutex, PoisonError};

use tekd::client::{Ask, Asking, Carrier, CarrierError, Random, Reply};
use tekd::wire::AnswerBody;

use crate::progress::Progress;

/// Bytes of objects announced and fetched.
struct Meter {
    announced: u64,
    fetched: u64,
    progress: Progress,
}

/// What the carriers of one client add up to.
#[derive(Clone)]
pub(crate) struct Fetched(Arc<Mutex<Meter>>);

impl Fetched {
    /// Nothing yet.
    pub(crate) fn nothing() -> Self {
        let progress = Progress::of_bytes("fetched");
        Self(Arc::new(Mutex::new(Meter { announced: 0, fetched: 0, progress })))
    }

    /// `carrier`, listened to.
    pub(crate) fn by<C: Carrier>(&self, carrier: C) -> Watched<C> {
        Watched { carrier, fetched: self.clone() }
    }

    /// Reads what a reply says of objects; whether it is true is judged by who asked.
    fn heard(&self, ask: &Ask<'_>, reply: &Reply) {
        let mut meter = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match (ask, reply.view().body) {
            (Ask::Sync(asked), AnswerBody::Sync(answer)) => {
                let objects = answer.read(*asked).unwrap_or_default();
                meter.announced = objects.iter().map(|object| u64::from(object.length.get())).sum();
                meter.fetched = 0;
            }
            (Ask::Fetch(asked), AnswerBody::Fetch(answer)) => {
                meter.fetched += answer.read(asked).map_or(0, |part| part.bytes.len() as u64);
            }
            _ => return,
        }
        let (fetched, total) = (meter.fetched, Some(meter.announced).filter(|total| *total > 0));
        meter.progress.at(fetched, total);
    }
}

/// A carrier that is listened to.
pub(crate) struct Watched<C> {
    carrier: C,
    fetched: Fetched,
}

impl<C: Carrier> Carrier for Watched<C> {
    fn is_stream(&self) -> bool {
        self.carrier.is_stream()
    }

    fn ask(&mut self, asking: &Asking<'_>, random: &mut Random<'_>) -> Result<Reply, CarrierError> {
        let reply = self.carrier.ask(asking, random)?;
        self.fetched.heard(&asking.ask, &reply);
        Ok(reply)
    }

    fn verified(&mut self, held: bool) {
        self.carrier.verified(held);
    }
}
