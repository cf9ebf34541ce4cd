//! The origin on one thread, for the demo, tools and simulation.
//!
//! Writer, builder and readers of one data directory, driven turn by turn on whatever clock it is given: the
//! same parts that [`OriginHandle`](super::OriginHandle) runs on threads of their own, without the threads.

use std::sync::Arc;

use super::builder::{BuildError, Builder, SetNews, TableStore};
use super::clock::Clock;
use super::entropy::{self, SystemRandom};
use super::handle::{StartError, bring_up};
use super::origin::{NOBODY, Origin, OriginError, OriginOptions};
use crate::engine::{Committed, Input, Random, Refusal, ReleaseOutcome, Reply, Ticket, View, Work};
use crate::store::{MemoryMode, Published};

/// The ticket of the one input of a turn.
const ASKED: Ticket = Ticket(1);

const _: () = assert!(ASKED.0 != NOBODY.0);

/// Why a turn did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum TurnError {
    /// The writer refuses; nothing was changed.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The journal failed: the origin must not be used any more (fail-stop).
    #[error(transparent)]
    Origin(#[from] OriginError),
    /// A table or an object cannot be made.
    #[error(transparent)]
    Build(#[from] BuildError),
}

/// An origin with its builder, on the thread of whoever calls it.
pub struct SingleOrigin {
    origin: Origin,
    builder: Builder,
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for SingleOrigin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SingleOrigin").field("origin", &self.origin).finish_non_exhaustive()
    }
}

/// What one turn let out.
#[derive(Default)]
struct Turned {
    reply: Option<Reply>,
    releases: Vec<ReleaseOutcome>,
}

impl SingleOrigin {
    /// Opens or founds the origin of a data directory and shows its newest release to readers.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn open(
        options: OriginOptions,
        mode: MemoryMode,
        clock: Arc<dyn Clock>,
        random: Box<dyn Random>,
    ) -> Result<Self, StartError> {
        let store = TableStore { disk: Arc::clone(&options.disk), dir: Some(options.dir.clone()), mode };
        let mut origin = Origin::open(options, clock.now(), random)?;
        let view = Arc::new(Published::new(Arc::new(View::empty(origin.identity().service_id, 0))));
        let mut builder = Builder::new(store, view);
        bring_up(&mut origin, &mut builder, &*clock)?;
        Ok(SingleOrigin { origin, builder, clock })
    }

    /// Decides about `input`, makes the decision durable, and finishes all work that follows from it, up to
    /// what readers see. The reply to a release comes when it is published.
    ///
    /// # Errors
    /// [`TurnError`].
    pub fn turn(&mut self, input: Input) -> Result<Reply, TurnError> {
        Ok(self.run(ASKED, input)?.reply.unwrap_or(Reply::Done))
    }

    /// Lets the writer look at the clock. Returns the releases that were due, all of them published.
    ///
    /// # Errors
    /// [`TurnError`].
    pub fn tick(&mut self) -> Result<Vec<ReleaseOutcome>, TurnError> {
        let secret = entropy::bytes(&mut SystemRandom);
        if let Some(input) = self.origin.next_seal_key(self.clock.now().unix, secret)? {
            self.run(NOBODY, input)?;
        }
        Ok(self.run(NOBODY, Input::Tick)?.releases)
    }

    fn run(&mut self, ticket: Ticket, input: Input) -> Result<Turned, TurnError> {
        let mut turned = Turned::default();
        let mut inputs = vec![(ticket, input)];
        while !inputs.is_empty() {
            let now = self.clock.now();
            let Committed { replies, work } = self.origin.step(now, std::mem::take(&mut inputs))?;
            for (ticket, reply) in replies {
                let reply = reply?;
                if ticket == ASKED {
                    turned.reply = Some(reply);
                }
            }
            for work in work {
                match work {
                    Work::Build(context, outcome) => {
                        inputs.push((NOBODY, Input::Built(self.builder.build(&context, &outcome)?)));
                        turned.releases.push(outcome);
                    }
                    Work::Publish { set, .. } | Work::Show { set } => {
                        if let Some(news) = SetNews::of(self.origin.state(), set, now.unix) {
                            self.builder.show(&news)?;
                        }
                    }
                }
            }
        }
        self.builder.view().collect();
        Ok(turned)
    }

    /// Makes the objects that readers asked for and did not get.
    ///
    /// # Errors
    /// If an object cannot be made.
    pub fn grant_wishes(&mut self) -> Result<usize, BuildError> {
        self.builder.grant_wishes()
    }

    /// Notes the journal's head where other readers of the directory find it.
    ///
    /// # Errors
    /// If the journal fails.
    pub fn idle(&mut self) -> Result<(), OriginError> {
        self.origin.idle()
    }

    /// The origin, for looking at its state.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// What readers see.
    pub fn view(&self) -> &Arc<Published<View>> {
        self.builder.view()
    }
}
