//! Datagrams past the kernel's network stack: AF_XDP (feature `xdp`, and only where it is configured).
//!
//! *One question's way*: the driver runs `program` on its frame, which sends it to the socket of its queue;
//! `rings` takes it over with the batch; `frame` finds the question; the responder writes the answer into
//! another frame, where `frame` puts headers in front of it; `rings` hands it to the kernel to be sent.
//!
//! The sockets of UDP stay bound beside: what the program passes on, what comes by another interface, and
//! everything once the program is gone, is answered by them. So falling back needs nothing to be done.
//!
//! What goes this way passes no packet filter of the kernel, and no check of the path back to its source.

mod frame;
mod interface;
mod program;
mod bpf;
mod addresses;
mod rings;
mod attach;
mod worker;

pub use addresses::{Change, MAX_ADDRESSES};
pub use attach::{Attachment, MAX_QUEUES, Unserved, XdpError, attach};
pub use frame::{HEAD, MAX_FRAME, Question};
pub use interface::{MAX_NAME, network_cards};
pub use rings::{FRAME_BYTES, FRAMES, Mishaps, XdpSocket};
pub use worker::{XdpCounters, XdpCounts, XdpWorker, XdpWorkerError};
