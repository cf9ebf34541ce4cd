//! Cuts a byte stream into frames. Pure: no socket, no clock, no allocation per frame.
//!
//! Frames follow one another with no other prefix. Of each only two things are read: the
//! first byte, which tells tekd from anything else, and `length: u32`, little-endian at
//! offset 4, which counts the whole frame, header included. Both are judged as soon as
//! they have arrived, so junk is never waited for.

use std::ops::{Range, RangeInclusive};

/// The header every frame begins with, bytes; no frame is shorter.
pub const HEADER_BYTES: usize = crate::wire::HEADER_LEN;
/// The longest request on a stream, bytes: a sealed report.
pub const MAX_REQUEST: usize = crate::wire::MAX_QUESTION_STREAM;
/// The longest answer on a stream, bytes.
pub const MAX_ANSWER: usize = crate::wire::MAX_ANSWER_STREAM;
/// What a frame's first byte may be; anything else closes the stream.
pub const FIRST_BYTES: RangeInclusive<u8> = 0x80..=0xBF;
/// Where the length stands in the header.
const LENGTH_FIELD: Range<usize> = 4..8;

const _: () = assert!(HEADER_BYTES <= MAX_REQUEST && MAX_REQUEST <= MAX_ANSWER);
const _: () = assert!(LENGTH_FIELD.end <= HEADER_BYTES && MAX_ANSWER <= u32::MAX as usize);

/// Why a stream cannot be cut any further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The stream is not tekd's, or has lost its frames.
    #[error("frame begins with {byte:#04x}, not 0x80 to 0xbf")]
    FirstByte {
        /// What stood there.
        byte: u8,
    },
    /// The length does not even cover the header.
    #[error("frame of {length} bytes, at least {limit} needed")]
    Short {
        /// The length field.
        length: u32,
        /// The shortest frame.
        limit: usize,
    },
    /// The length is over the limit of this stream.
    #[error("frame of {length} bytes, at most {limit} allowed")]
    Long {
        /// The length field.
        length: u32,
        /// The longest frame here.
        limit: usize,
    },
}

/// The whole length of the frame that begins `bytes`; `None` while that is not known yet.
///
/// # Errors
/// [`FrameError`] as soon as the bytes seen cannot begin a frame of at most `limit` bytes.
pub(super) fn frame_length(bytes: &[u8], limit: usize) -> Result<Option<usize>, FrameError> {
    match bytes.first() {
        None => return Ok(None),
        Some(byte) if !FIRST_BYTES.contains(byte) => return Err(FrameError::FirstByte { byte: *byte }),
        Some(_) => {}
    }
    let Some(field) = bytes.get(LENGTH_FIELD).and_then(<[u8]>::first_chunk) else { return Ok(None) };
    let length = u32::from_le_bytes(*field);
    match length as usize {
        l if l < HEADER_BYTES => Err(FrameError::Short { length, limit: HEADER_BYTES }),
        l if l > limit => Err(FrameError::Long { length, limit }),
        l => Ok(Some(l)),
    }
}

/// Collects bytes of one stream, at most one longest frame of them, and cuts frames off.
///
/// Alternate [`space`](Self::space)/[`filled`](Self::filled) and [`cut`](Self::cut)
/// until the latter gives `None`.
#[derive(Debug)]
pub struct FrameBuffer {
    bytes: Box<[u8]>,
    held: Range<usize>,
}

impl FrameBuffer {
    /// A buffer for frames of at most `limit` bytes, and not less than a header.
    pub fn new(limit: usize) -> Self {
        FrameBuffer { bytes: vec![0; limit.max(HEADER_BYTES)].into_boxed_slice(), held: 0..0 }
    }

    /// Where the next bytes of the stream go. Never empty after [`cut`](Self::cut) gave `None`.
    pub fn space(&mut self) -> &mut [u8] {
        if self.held.start > 0 {
            self.bytes.copy_within(self.held.clone(), 0);
            self.held = 0..self.held.len();
        }
        &mut self.bytes[self.held.end..]
    }

    /// Notes that `count` bytes were put into [`space`](Self::space).
    pub fn filled(&mut self, count: usize) {
        self.held.end = (self.held.end + count).min(self.bytes.len());
    }

    /// Whether nothing is held: the stream is between two frames.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// The next whole frame, cut off; `None` when more bytes are needed.
    ///
    /// # Errors
    /// [`FrameError`] when what follows is no frame; the stream must be closed.
    pub fn cut(&mut self) -> Result<Option<&[u8]>, FrameError> {
        let held = &self.bytes[self.held.clone()];
        let Some(length) = frame_length(held, self.bytes.len())?.filter(|l| *l <= held.len()) else {
            return Ok(None);
        };
        let start = self.held.start;
        self.held.start += length;
        Ok(Some(&self.bytes[start..start + length]))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(length: usize, fill: u8) -> Vec<u8> {
        let mut frame = vec![fill; length];
        frame[0] = 0x80 | (fill & 0x3F);
        frame[LENGTH_FIELD].copy_from_slice(&(length as u32).to_le_bytes());
        frame
    }

    /// Feeds `stream` in pieces; returns the frames and the error that ended it.
    fn cut_all(stream: &[u8], pieces: &[usize], limit: usize) -> (Vec<Vec<u8>>, Option<FrameError>) {
        let (mut buffer, mut frames) = (FrameBuffer::new(limit), Vec::new());
        let (mut rest, mut pieces) = (stream, pieces.iter().cycle());
        loop {
            match buffer.cut() {
                Ok(Some(frame)) => frames.push(frame.to_vec()),
                Err(error) => return (frames, Some(error)),
                Ok(None) if rest.is_empty() => return (frames, None),
                Ok(None) => {
                    let space = buffer.space();
                    assert!(!space.is_empty(), "a buffer without a whole frame has room");
                    let piece = *pieces.next().expect("the cycle of pieces");
                    let count = piece.clamp(1, rest.len()).min(space.len());
                    space[..count].copy_from_slice(&rest[..count]);
                    buffer.filled(count);
                    rest = &rest[count..];
                }
            }
        }
    }

    proptest! {
        #[test]
        fn frames_come_out_as_they_went_in_however_the_stream_is_split(
            lengths in proptest::collection::vec((HEADER_BYTES..=512, any::<u8>()), 0..20),
            pieces in proptest::collection::vec(1usize..700, 1..20),
        ) {
            let frames: Vec<Vec<u8>> = lengths.iter().map(|(length, fill)| frame(*length, *fill)).collect();
            prop_assert_eq!(cut_all(&frames.concat(), &pieces, 512), (frames, None));
        }

        #[test]
        fn any_bytes_give_frames_within_the_limits_or_an_error(
            stream in proptest::collection::vec(any::<u8>(), 0..2000),
            pieces in proptest::collection::vec(1usize..300, 1..20),
        ) {
            for frame in cut_all(&stream, &pieces, 300).0 {
                prop_assert!((HEADER_BYTES..=300).contains(&frame.len()) && FIRST_BYTES.contains(&frame[0]));
            }
        }
    }

    #[test]
    fn the_limits_are_exact_and_told() {
        for length in [HEADER_BYTES, MAX_REQUEST] {
            assert_eq!(cut_all(&frame(length, 1), &[4096], MAX_REQUEST), (vec![frame(length, 1)], None));
        }
        assert_eq!(frame_length(&frame(MAX_ANSWER, 1), MAX_ANSWER), Ok(Some(MAX_ANSWER)));
        let long = FrameError::Long { length: 4097, limit: MAX_REQUEST };
        assert_eq!(cut_all(&frame(MAX_REQUEST + 1, 1)[..8], &[8], MAX_REQUEST).1, Some(long));
        assert_eq!(long.to_string(), "frame of 4097 bytes, at most 4096 allowed");
        let mut short = frame(HEADER_BYTES, 1);
        short[4] = 63;
        assert_eq!(cut_all(&short, &[64], MAX_REQUEST).1, Some(FrameError::Short { length: 63, limit: 64 }));
    }

    #[test]
    fn a_wrong_first_byte_is_refused_before_anything_else_arrives() {
        for byte in 0..=u8::MAX {
            let expected = (!FIRST_BYTES.contains(&byte)).then_some(FrameError::FirstByte { byte });
            assert_eq!(cut_all(&[byte], &[1], MAX_REQUEST).1, expected);
        }
    }

    #[test]
    fn frames_before_a_bad_one_are_still_cut() {
        let stream = [frame(100, 2), vec![0x00; 10]].concat();
        assert_eq!(
            cut_all(&stream, &[33], 512),
            (vec![frame(100, 2)], Some(FrameError::FirstByte { byte: 0 }))
        );
    }
}
