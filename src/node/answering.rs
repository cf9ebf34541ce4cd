//! Frames of streams and of the datagrams of QUIC, answered from the view of the moment they arrive.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::clock::Clock;
use super::private::PrivateHalf;
use crate::engine::{Gate, Outcome, Peer, Slot, TakeSealed, Ticket, View};
use crate::store::Published;
use crate::transport::AnswerFrame;
use crate::wire::is_repeatable;

/// Answers stream frames through a gate.
pub(crate) struct FrameAnswers {
    gate: Gate,
    view: Arc<Published<View>>,
    clock: Arc<dyn Clock>,
    private: Option<Arc<PrivateHalf>>,
}

impl FrameAnswers {
    pub(crate) fn new(gate: Gate, view: Arc<Published<View>>, clock: Arc<dyn Clock>) -> Self {
        FrameAnswers { gate, view, clock, private: None }
    }

    /// Has sealed questions answered by a private half, which goes by the same clock.
    pub(crate) fn with_private(self, private: &Arc<PrivateHalf>) -> Self {
        let taking = Arc::clone(private) as Arc<dyn TakeSealed>;
        FrameAnswers { gate: self.gate.with_desk(taking), private: Some(Arc::clone(private)), ..self }
    }
}

impl AnswerFrame for FrameAnswers {
    fn is_repeatable(&self, request: &[u8]) -> bool {
        is_repeatable(request)
    }

    fn answer_frame(&self, peer: Peer, request: &[u8], answer: &mut Vec<u8>) -> Outcome {
        // one-release-at-a-time: this frame keeps its view, whatever is published meanwhile.
        let view = self.view.pin();
        self.gate.answer_frame(&view, self.clock.now(), peer, request, answer)
    }

    fn answer_datagrams(&self, slots: &mut [Slot<'_>]) {
        // one-release-at-a-time: one view for the whole batch.
        let view = self.view.pin();
        self.gate.answer_datagrams(&view, self.clock.now(), slots);
    }

    fn later(&self, ticket: Ticket) -> oneshot::Receiver<Vec<u8>> {
        // Without a private half nothing is answered later.
        self.private.as_ref().map_or_else(|| oneshot::channel().1, |private| private.later(ticket))
    }
}
