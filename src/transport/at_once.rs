//! Asks a future once: what is ready is taken, nothing is waited for and nobody is woken for it later.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// What `future` gives at once; it is given up otherwise.
pub(super) fn at_once<F: Future>(future: F) -> Option<F::Output> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}
