//! Frames of streams, answered from the view of the moment they arrive.

use std::sync::Arc;

use super::clock::Clock;
use crate::engine::{Gate, Outcome, Peer, Ticket, View};
use crate::store::Published;
use crate::transport::AnswerFrame;

/// Answers stream frames through a gate.
pub(crate) struct FrameAnswers {
    gate: Gate,
    view: Arc<Published<View>>,
    clock: Arc<dyn Clock>,
}

impl FrameAnswers {
    pub(crate) fn new(gate: Gate, view: Arc<Published<View>>, clock: Arc<dyn Clock>) -> Self {
        FrameAnswers { gate, view, clock }
    }
}

impl AnswerFrame for FrameAnswers {
    fn answer_frame(&self, peer: Peer, request: &[u8], answer: &mut Vec<u8>) -> Outcome {
        // one-release-at-a-time: this frame keeps its view, whatever is published meanwhile.
        let view = self.view.load();
        self.gate.answer_frame(&view, self.clock.now(), peer, request, answer)
    }

    fn later(&self, _: Ticket) -> tokio::sync::oneshot::Receiver<Vec<u8>> {
        // No operation of this version is answered later: a receiver whose sender is gone ends the wait at
        // once.
        tokio::sync::oneshot::channel().1
    }
}
