//! Frames of streams, answered from the view of the moment they arrive.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::clock::Clock;
use super::desk::Desk;
use crate::engine::{Gate, Outcome, Peer, TakeSealed, Ticket, View};
use crate::store::Published;
use crate::transport::AnswerFrame;

/// Answers stream frames through a gate.
pub(crate) struct FrameAnswers {
    gate: Gate,
    view: Arc<Published<View>>,
    clock: Arc<dyn Clock>,
    desk: Option<Arc<Desk>>,
}

impl FrameAnswers {
    pub(crate) fn new(gate: Gate, view: Arc<Published<View>>, clock: Arc<dyn Clock>) -> Self {
        FrameAnswers { gate, view, clock, desk: None }
    }

    /// Has sealed questions answered at `desk`, which goes by the same clock.
    pub(crate) fn with_desk(self, desk: &Arc<Desk>) -> Self {
        let taking = Arc::clone(desk) as Arc<dyn TakeSealed>;
        FrameAnswers { gate: self.gate.with_desk(taking), desk: Some(Arc::clone(desk)), ..self }
    }
}

impl AnswerFrame for FrameAnswers {
    fn answer_frame(&self, peer: Peer, request: &[u8], answer: &mut Vec<u8>) -> Outcome {
        // one-release-at-a-time: this frame keeps its view, whatever is published meanwhile.
        let view = self.view.load();
        self.gate.answer_frame(&view, self.clock.now(), peer, request, answer)
    }

    fn later(&self, ticket: Ticket) -> oneshot::Receiver<Vec<u8>> {
        // Without a desk nothing is answered later.
        self.desk.as_ref().map_or_else(|| oneshot::channel().1, |desk| desk.later(ticket))
    }
}
