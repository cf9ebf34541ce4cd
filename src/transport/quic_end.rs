//! How what QUIC says of its connections and streams is counted, and what their clients are told.

use quinn::{ConnectionError, ReadError, VarInt, WriteError};

use super::quic_config::{CLOSE_BUSY, CLOSE_FRAME, CLOSE_SLOW};
use super::stream_counters::End;

impl End {
    /// What the client of a stream is told (spec 1.5.7).
    pub(super) fn code(self) -> VarInt {
        match self {
            Self::LongRequest
            | Self::ShortRequest
            | Self::FirstByte
            | Self::SecondFrame
            | Self::Truncated => CLOSE_FRAME,
            Self::FrameTimeout | Self::WriteTimeout => CLOSE_SLOW,
            _ => CLOSE_BUSY,
        }
    }
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

impl From<ReadError> for End {
    fn from(error: ReadError) -> Self {
        if matches!(error, ReadError::Reset(_)) { Self::Withdrawn } else { Self::Lost }
    }
}

impl From<WriteError> for End {
    fn from(error: WriteError) -> Self {
        if matches!(error, WriteError::Stopped(_)) { Self::Withdrawn } else { Self::Lost }
    }
}
