//! The thread that has AF_XDP follow the addresses of its interfaces, and holds what is attached to them.
//!
//! A new address is answered by AF_XDP without a restart, and one that was taken away no more. Until the
//! thread has looked, sockets answer at a new one.

use std::io;
use std::sync::mpsc::{self, RecvTimeoutError, SyncSender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::transport::xdp::{Attachment, Change, MAX_ADDRESSES};

/// Between two looks.
const LOOK_PAUSE: Duration = Duration::from_secs(2);

/// The running thread. Dropping it gives every frame to the kernel again.
#[derive(Debug)]
pub(super) struct AddressFollower {
    stop: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl AddressFollower {
    /// Follows the addresses of what is attached.
    ///
    /// # Errors
    /// When the system gives no thread; then nothing is attached any more.
    pub(super) fn start(mut attachments: Vec<Attachment>) -> io::Result<Self> {
        let (stop, stopped) = mpsc::sync_channel(1);
        let thread = thread::Builder::new().name("tekd-addresses".to_owned()).spawn(move || {
            let mut failing = vec![false; attachments.len()];
            while stopped.recv_timeout(LOOK_PAUSE) == Err(RecvTimeoutError::Timeout) {
                for (attachment, failing) in attachments.iter_mut().zip(&mut failing) {
                    look(attachment, failing);
                }
            }
        })?;
        Ok(AddressFollower { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for AddressFollower {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(Err(_)) = self.thread.take().map(JoinHandle::join) {
            tracing::error!("the thread that follows addresses for AF_XDP panicked");
        }
    }
}

/// Looks once, and says what has changed.
fn look(attachment: &mut Attachment, failing: &mut bool) {
    let outcome = attachment.follow();
    let name = attachment.interface();
    let failed = std::mem::replace(failing, outcome.is_err());
    match outcome {
        Ok(change) => announce(name, change),
        Err(e) if !failed => tracing::warn!(
            "the addresses of {name} cannot be followed: {e}; AF_XDP answers at those it had, sockets at all others, \
             and tekd looks again every {} s",
            LOOK_PAUSE.as_secs()
        ),
        Err(_) => {}
    }
}

fn announce(name: &str, change: Change) {
    let Change { added, removed, served, unserved } = change;
    if added == 0 && removed == 0 {
        return;
    }
    tracing::info!("addresses of {name}: {added} came, {removed} went, AF_XDP answers at {served}");
    if unserved > 0 {
        tracing::warn!(
            "{name} has {unserved} addresses more than the {MAX_ADDRESSES} served: sockets answer there"
        );
    }
}
