//! What a QUIC server counts, and the ways its connections and streams end.

use std::sync::atomic::Ordering;

use quinn::{ConnectionError, ReadError, VarInt, WriteError};

use super::counters::counters;
use super::frame::FrameError;
use super::quic_config::{CLOSE_BUSY, CLOSE_FRAME, CLOSE_SLOW};

counters! {
    /// What a QUIC server has done. Every connection accepted ends in exactly one counter from `refused` to
    /// `aborted`, or is open. Every stream ends in exactly one from `answered` to `panicked`, or is open, or
    /// went with a connection that was aborted.
    pub QuicCounters,
    /// A reading of [`QuicCounters`].
    QuicCounts {
        /// First packets from addresses that were told to prove themselves.
        retried,
        /// Connections begun from an address that has proved itself, or while the server stops.
        accepted,
        /// Connections over the limit or after the stop, refused at once.
        refused,
        /// Handshakes that failed.
        handshake_failed,
        /// Handshakes that took too long.
        handshake_timeout,
        /// Connections ended by the client.
        closed,
        /// Connections ended because the server stops.
        stopped,
        /// Connections ended because no question came, or nothing at all.
        idle_timeout,
        /// Connections ended by an error of the network or of the client's QUIC.
        io_error,
        /// Connections cut off when the server stopped and the drain deadline came.
        aborted,
        /// Streams opened by clients.
        streams,
        /// Whole requests received.
        requests,
        /// Requests whose answer was promised for later.
        deferred,
        /// Bytes of requests, before encryption.
        bytes_in,
        /// Bytes of answers, before encryption.
        bytes_out,
        /// Answers that the client did not acknowledge in time; counted as answered too.
        unacknowledged,
        /// Streams answered.
        answered,
        /// Streams that got no answer because the answerer said so.
        ignored,
        /// Streams whose request did not arrive whole in time.
        frame_timeout,
        /// Streams whose client did not take its answer in time.
        write_timeout,
        /// Streams whose promised answer did not come in time.
        later_timeout,
        /// Streams whose promised answer was given up.
        later_lost,
        /// Streams with a request over 4096 bytes.
        long_request,
        /// Streams with a length under 64 bytes.
        short_request,
        /// Streams with a first byte that is not tekd's.
        first_byte,
        /// Streams with more than one frame.
        second_frame,
        /// Streams that the client finished within a request, or before it.
        truncated,
        /// Streams that the client took back.
        withdrawn,
        /// Streams whose connection ended before them.
        lost,
        /// Streams for which the answerer gave a frame of impossible length: a defect.
        bad_answer,
        /// Streams unanswered because too many bytes of answers were on their way.
        over_budget,
        /// Streams ended by a panic of the answerer: a defect.
        panicked,
        /// Times that the system took the socket away, after which nothing is served.
        socket_lost,
    }
}

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    HandshakeFailed,
    HandshakeTimeout,
    Closed,
    Stopped,
    IdleTimeout,
    IoError,
}

impl From<ConnectionError> for End {
    fn from(error: ConnectionError) -> Self {
        match error {
            ConnectionError::ApplicationClosed(_) => End::Closed,
            ConnectionError::TimedOut => End::IdleTimeout,
            ConnectionError::LocallyClosed => End::Stopped,
            _ => End::IoError,
        }
    }
}

/// Why a stream ended without the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StreamEnd {
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

impl StreamEnd {
    /// What the client is told (spec 1.5.7).
    pub(super) fn code(self) -> VarInt {
        match self {
            Self::LongRequest
            | Self::ShortRequest
            | Self::FirstByte
            | Self::SecondFrame
            | Self::Truncated => CLOSE_FRAME,
            Self::FrameTimeout | Self::WriteTimeout => CLOSE_SLOW,
            Self::LaterTimeout
            | Self::LaterLost
            | Self::Withdrawn
            | Self::Lost
            | Self::BadAnswer
            | Self::OverBudget => CLOSE_BUSY,
        }
    }
}

impl From<FrameError> for StreamEnd {
    fn from(error: FrameError) -> Self {
        match error {
            FrameError::FirstByte { .. } => Self::FirstByte,
            FrameError::Short { .. } => Self::ShortRequest,
            FrameError::Long { .. } => Self::LongRequest,
        }
    }
}

impl From<ReadError> for StreamEnd {
    fn from(error: ReadError) -> Self {
        if matches!(error, ReadError::Reset(_)) { Self::Withdrawn } else { Self::Lost }
    }
}

impl From<WriteError> for StreamEnd {
    fn from(error: WriteError) -> Self {
        if matches!(error, WriteError::Stopped(_)) { Self::Withdrawn } else { Self::Lost }
    }
}

impl QuicCounters {
    /// Counts how a connection ended.
    pub(super) fn count_end(&self, end: End) {
        let counter = match end {
            End::HandshakeFailed => &self.handshake_failed,
            End::HandshakeTimeout => &self.handshake_timeout,
            End::Closed => &self.closed,
            End::Stopped => &self.stopped,
            End::IdleTimeout => &self.idle_timeout,
            End::IoError => &self.io_error,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts how a stream ended without the answer.
    pub(super) fn count_stream_end(&self, end: StreamEnd) {
        let counter = match end {
            StreamEnd::FrameTimeout => &self.frame_timeout,
            StreamEnd::WriteTimeout => &self.write_timeout,
            StreamEnd::LaterTimeout => &self.later_timeout,
            StreamEnd::LaterLost => &self.later_lost,
            StreamEnd::LongRequest => &self.long_request,
            StreamEnd::ShortRequest => &self.short_request,
            StreamEnd::FirstByte => &self.first_byte,
            StreamEnd::SecondFrame => &self.second_frame,
            StreamEnd::Truncated => &self.truncated,
            StreamEnd::Withdrawn => &self.withdrawn,
            StreamEnd::Lost => &self.lost,
            StreamEnd::BadAnswer => &self.bad_answer,
            StreamEnd::OverBudget => &self.over_budget,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}
