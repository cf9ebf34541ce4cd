//! What a server of TLS or QUIC counts, and the ways its connections and streams end, in the same words.

use std::sync::atomic::Ordering;

use super::counters::counters;
use super::frame::FrameError;

counters! {
    /// What a server of TLS or QUIC has done.
    ///
    /// Over TLS a question that fails ends its connection: every connection accepted is open or has ended in
    /// exactly one counter after `unacknowledged`, save `answered` and `ignored`. Over QUIC it ends its
    /// stream alone: every connection accepted is open or has ended in exactly one counter from `refused` to
    /// `aborted`; every stream is open, went with a connection that was aborted, or has ended in exactly one
    /// from `answered` to `panicked`. What is said to be of QUIC stays 0 over TLS.
    pub StreamCounters,
    /// A reading of [`StreamCounters`].
    StreamCounts {
        /// First packets of QUIC from addresses that were told to prove themselves.
        retried,
        /// Connections accepted by the system; of QUIC, begun from an address that has proved itself, or
        /// while the server stops.
        accepted,
        /// Accept calls of TCP that failed.
        accept_errors,
        /// Times that the system took the socket of QUIC away, after which nothing is served.
        socket_lost,
        /// Packets of QUIC that were dropped because they are longer than any that is asked for.
        too_long,
        /// Streams of QUIC opened by clients.
        streams,
        /// Of these, those that began before the handshake was complete.
        early,
        /// Datagrams of QUIC that were read; each ended in one of the next three, or in `bad_answer`.
        datagrams,
        /// Datagrams of QUIC that were answered.
        datagrams_answered,
        /// Datagrams of QUIC that got no answer because the answerer said so.
        datagrams_ignored,
        /// Datagrams of QUIC whose answer was dropped, for want of room or because the client takes none.
        datagrams_unsent,
        /// Datagrams of QUIC that were dropped unread because too many came.
        datagrams_lost,
        /// Whole requests received.
        requests,
        /// Requests whose answer was promised for later.
        deferred,
        /// Bytes of requests, before encryption.
        bytes_in,
        /// Bytes of answers, before encryption.
        bytes_out,
        /// Answers that the client of QUIC did not acknowledge in time; counted as answered too.
        unacknowledged,
        /// Connections over the limit or, of QUIC, after the stop, ended at once.
        refused,
        /// Handshakes that failed.
        handshake_failed,
        /// Handshakes that took too long.
        handshake_timeout,
        /// Connections ended by the client between two requests.
        closed,
        /// Connections ended because the server stops.
        stopped,
        /// Connections ended because no request came.
        idle_timeout,
        /// Connections ended by an error of the network, of TLS or of QUIC.
        io_error,
        /// Connections cut off when the server stopped and the drain deadline came.
        aborted,
        /// Answers sent.
        answered,
        /// Requests that got no answer because the answerer said so.
        ignored,
        /// Ended because a request did not arrive whole in time.
        frame_timeout,
        /// Ended because the client did not take its answer in time.
        write_timeout,
        /// Ended because a promised answer did not come in time.
        later_timeout,
        /// Ended because a promised answer was given up.
        later_lost,
        /// Ended by a request over 4096 bytes.
        long_request,
        /// Ended by a length under 64 bytes.
        short_request,
        /// Ended by a first byte that is not tekd's.
        first_byte,
        /// Streams of QUIC with more than one frame.
        second_frame,
        /// Ended by the client within a request; of QUIC, before it too.
        truncated,
        /// Streams of QUIC that the client took back.
        withdrawn,
        /// Streams of QUIC whose connection ended before them.
        lost,
        /// Ended because the answerer gave a frame of impossible length: a defect.
        bad_answer,
        /// Ended because too many bytes of answers over 16 KiB were on their way.
        over_budget,
        /// Ended by a panic of the answerer: a defect.
        panicked,
    }
}

/// Why a connection ended, or a stream of QUIC without its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    HandshakeFailed,
    HandshakeTimeout,
    Closed,
    Stopped,
    IdleTimeout,
    IoError,
    FrameTimeout,
    WriteTimeout,
    LaterTimeout,
    LaterLost,
    LongRequest,
    ShortRequest,
    FirstByte,
    SecondFrame,
    Truncated,
    Withdrawn,
    Lost,
    BadAnswer,
    OverBudget,
}

impl From<FrameError> for End {
    fn from(error: FrameError) -> Self {
        match error {
            FrameError::FirstByte { .. } => End::FirstByte,
            FrameError::Short { .. } => End::ShortRequest,
            FrameError::Long { .. } => End::LongRequest,
        }
    }
}

impl StreamCounters {
    /// Counts how a connection or a stream ended.
    pub(super) fn count_end(&self, end: End) {
        let counter = match end {
            End::HandshakeFailed => &self.handshake_failed,
            End::HandshakeTimeout => &self.handshake_timeout,
            End::Closed => &self.closed,
            End::Stopped => &self.stopped,
            End::IdleTimeout => &self.idle_timeout,
            End::IoError => &self.io_error,
            End::FrameTimeout => &self.frame_timeout,
            End::WriteTimeout => &self.write_timeout,
            End::LaterTimeout => &self.later_timeout,
            End::LaterLost => &self.later_lost,
            End::LongRequest => &self.long_request,
            End::ShortRequest => &self.short_request,
            End::FirstByte => &self.first_byte,
            End::SecondFrame => &self.second_frame,
            End::Truncated => &self.truncated,
            End::Withdrawn => &self.withdrawn,
            End::Lost => &self.lost,
            End::BadAnswer => &self.bad_answer,
            End::OverBudget => &self.over_budget,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}
