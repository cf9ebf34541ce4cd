//! One interface: its program attached, a socket on each of its queues. Whoever drops the [`Attachment`]
//! takes the program off again, as the kernel does when the process ends.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

use super::addresses::{Addresses, Change};
use super::bpf::{self, NotLoaded, QueueSockets};
use super::interface::{Interface, addresses_of};
use super::program::{Wanted, assemble};
use super::rings::{FRAME_BYTES, FRAMES, XdpSocket};

/// Queues of an interface that are served, at most; frames of the others go to the kernel.
pub const MAX_QUEUES: u32 = 64;
/// How long is waited for queues that are taken, or for memory that may not be locked. The kernel frees the
/// queue of a closed socket and its locked memory some milliseconds later, so a server that has just been
/// started again finds its own still taken.
const TAKEN: Duration = Duration::from_secs(2);
const TAKEN_STEP: Duration = Duration::from_millis(20);

/// What was to be done when it went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Find,
    Upper,
    Addresses,
    Queues,
    Maps,
    Program,
    Attach,
    Socket(u32),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Find => f.write_str("cannot be used"),
            Step::Upper => f.write_str("has another interface on top of it"),
            Step::Addresses => f.write_str("has no address that is served"),
            Step::Queues => f.write_str("has no queue that can be served"),
            Step::Maps => f.write_str("no map could be made for its XDP program"),
            Step::Program => f.write_str("its XDP program was not taken"),
            Step::Attach => f.write_str("its XDP program could not be attached"),
            Step::Socket(queue) => write!(f, "no AF_XDP socket could be opened on its queue {queue}"),
        }
    }
}

/// Why an interface is not served by AF_XDP. Its text is one line that says what to do.
#[derive(Debug)]
pub struct XdpError {
    interface: String,
    step: Step,
    source: io::Error,
    verdict: String,
}

impl XdpError {
    fn new(interface: &str, step: Step, source: io::Error) -> Self {
        XdpError { interface: interface.to_owned(), step, source, verdict: String::new() }
    }

    fn advice(&self) -> String {
        let name = &self.interface;
        match (self.source.raw_os_error(), self.step) {
            (Some(libc::EPERM | libc::EACCES), _) => {
                "give tekd the capabilities CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF, or run it as root".to_owned()
            }
            (Some(libc::ENOENT), Step::Find) => "`ip link` lists the interfaces there are".to_owned(),
            (_, Step::Upper) => {
                "a card may take tags of VLANs off before AF_XDP sees a frame, so answers would leave without them: \
                 use sockets there, or another interface"
                    .to_owned()
            }
            (_, Step::Find) => "name an interface of Ethernet, such as a network card".to_owned(),
            (_, Step::Addresses) => {
                format!("give {name} the address that udp of [listen] names, or name another interface")
            }
            (Some(libc::EBUSY | libc::EEXIST), Step::Attach) => {
                format!("another XDP program is there, which `ip link set dev {name} xdp off` takes off")
            }
            (Some(libc::EOPNOTSUPP), Step::Attach) => "its driver has no XDP: name another interface".to_owned(),
            (_, Step::Attach | Step::Queues) => {
                "its driver refuses it as it is set up: a smaller MTU, or as many queues to send as to receive, may \
                 help"
                    .to_owned()
            }
            (Some(libc::EBUSY), Step::Socket(_)) => {
                let waited = TAKEN.as_secs();
                format!("another program has had that queue for {waited} s: stop it, then start tekd again")
            }
            (Some(libc::ENOBUFS | libc::ENOMEM), Step::Socket(_)) => {
                let mebibytes = (FRAMES * FRAME_BYTES) >> 20;
                format!("let tekd lock {mebibytes} MiB of memory for each queue: LimitMEMLOCK of its unit")
            }
            _ => "Linux 5.11 or later, built with XDP_SOCKETS and BPF_SYSCALL, is needed".to_owned(),
        }
    }
}

impl fmt::Display for XdpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.interface, self.step, self.source)?;
        if !self.verdict.is_empty() {
            write!(f, " ({})", self.verdict)?;
        }
        write!(f, "; {}", self.advice())
    }
}

impl std::error::Error for XdpError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// A program that is attached. Dropping it takes the program off: the kernel then has every frame again.
#[derive(Debug)]
pub struct Attachment {
    interface: String,
    index: u32,
    zero_copy: bool,
    unserved: Unserved,
    addresses: Addresses,
    // What holds it comes first.
    _link: OwnedFd,
    _program: OwnedFd,
    _sockets: QueueSockets,
}

/// What was left to the kernel because there is too much of it.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Unserved {
    /// Queues beyond [`MAX_QUEUES`].
    pub queues: u32,
    /// Addresses beyond [`MAX_ADDRESSES`](super::MAX_ADDRESSES), when it was attached.
    pub addresses: usize,
}

impl Attachment {
    /// The name of the interface.
    pub fn interface(&self) -> &str {
        &self.interface
    }

    /// Whether all sockets are without a copy.
    pub fn zero_copy(&self) -> bool {
        self.zero_copy
    }

    /// What was left to the kernel.
    pub fn unserved(&self) -> Unserved {
        self.unserved
    }

    /// Has the addresses that the interface has now answered, and no others.
    ///
    /// # Errors
    /// The system's; the addresses that have not been changed yet stay as they were.
    pub fn follow(&mut self) -> io::Result<Change> {
        self.addresses.become_those_of(&addresses_of(self.index)?)
    }
}

/// Has datagrams to `local` that come by the interface `name` brought to sockets, one for each of its queues.
///
/// An unspecified address is every address of the interface and of the loopback, `[::]` of both families;
/// they are those it has now, until the attachment is told to [`follow`](Attachment::follow). With
/// `zero_copy`, sockets are opened without a copy if the driver offers it.
///
/// # Errors
/// [`XdpError`]; then nothing is attached.
pub fn attach(
    name: &str,
    local: SocketAddr,
    zero_copy: bool,
) -> Result<(Attachment, Vec<XdpSocket>), XdpError> {
    let failed = |step| move |source| XdpError::new(name, step, source);
    let interface = Interface::find(name).map_err(failed(Step::Find))?;
    if let Some(upper) = &interface.upper {
        return Err(failed(Step::Upper)(io::Error::other(upper.clone())));
    }
    let owns = addresses_of(interface.index).map_err(failed(Step::Addresses))?;
    let queues = interface.queues.min(MAX_QUEUES);
    if queues == 0 {
        return Err(failed(Step::Queues)(io::ErrorKind::Unsupported.into()));
    }
    let mut addresses = Addresses::none(local.ip()).map_err(failed(Step::Maps))?;
    let change = addresses.become_those_of(&owns).map_err(failed(Step::Maps))?;
    if change.served == 0 {
        return Err(failed(Step::Addresses)(io::ErrorKind::AddrNotAvailable.into()));
    }
    let sockets = QueueSockets::create(queues).map_err(failed(Step::Maps))?;
    let wanted = Wanted {
        station: interface.station,
        port: local.port(),
        addresses: addresses.asked(),
        broadcasts: addresses.broadcasts(),
        sockets: sockets.as_fd(),
    };
    let program = bpf::load(&assemble(&wanted)).map_err(|NotLoaded { source, verdict }| XdpError {
        verdict,
        ..XdpError::new(name, Step::Program, source)
    })?;
    // A driver lends frames only under a program; without a socket it passes everything on.
    let link = bpf::attach(program.as_fd(), interface.index).map_err(failed(Step::Attach))?;
    let opened = open_all(&interface, queues, zero_copy)?;
    for (queue, socket) in (0..).zip(&opened) {
        sockets.set(queue, socket.as_fd()).map_err(failed(Step::Socket(queue)))?;
    }
    let attachment = Attachment {
        interface: interface.name,
        index: interface.index,
        zero_copy: opened.iter().all(XdpSocket::zero_copy),
        unserved: Unserved { queues: interface.queues - queues, addresses: change.unserved },
        addresses,
        _link: link,
        _program: program,
        _sockets: sockets,
    };
    Ok((attachment, opened))
}

/// Opens a socket on each queue, all alike: with a copy if the driver offers nothing else.
fn open_all(interface: &Interface, queues: u32, zero_copy: bool) -> Result<Vec<XdpSocket>, XdpError> {
    let deadline = Instant::now() + TAKEN;
    let open = |zero_copy: bool| -> Result<Vec<XdpSocket>, XdpError> {
        let socket = |queue| {
            open_when_free(interface, queue, zero_copy, deadline)
                .map_err(|source| XdpError::new(&interface.name, Step::Socket(queue), source))
        };
        (0..queues).map(socket).collect()
    };
    if zero_copy && let Ok(opened) = open(true) {
        return Ok(opened);
    }
    open(false)
}

fn open_when_free(
    interface: &Interface,
    queue: u32,
    zero_copy: bool,
    deadline: Instant,
) -> io::Result<XdpSocket> {
    loop {
        match XdpSocket::open(interface.index, queue, zero_copy) {
            Err(e)
                if matches!(e.raw_os_error(), Some(libc::EBUSY | libc::ENOBUFS))
                    && Instant::now() < deadline =>
            {
                thread::sleep(TAKEN_STEP);
            }
            end => return end,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn an_interface_that_is_not_there_is_told_with_what_to_do() {
        let error = attach("nosuch0", local("[::]:8353"), false).expect_err("there is none");
        let expected = "nosuch0 cannot be used: No such file or directory (os error 2); `ip link` lists the \
                        interfaces there are";
        assert_eq!(error.to_string(), expected);
        let error = attach("lo", local("[::]:8353"), false).expect_err("it is not of Ethernet");
        assert!(error.to_string().starts_with("lo cannot be used: it is not"), "{error}");
    }

    #[test]
    fn every_failure_is_one_line_with_an_advice() {
        let steps = [
            Step::Find,
            Step::Addresses,
            Step::Queues,
            Step::Maps,
            Step::Program,
            Step::Attach,
            Step::Socket(3),
        ];
        let codes = [libc::EPERM, libc::EBUSY, libc::EOPNOTSUPP, libc::ENOBUFS, libc::ENOSYS, libc::EINVAL];
        for step in steps {
            for code in codes {
                let error = XdpError::new("eth0", step, io::Error::from_raw_os_error(code));
                let text = error.to_string();
                assert!(text.starts_with("eth0 ") && text.contains("; ") && !text.contains('\n'), "{text}");
            }
        }
        let busy = XdpError::new("eth0", Step::Attach, io::Error::from_raw_os_error(libc::EBUSY));
        assert!(busy.to_string().contains("`ip link set dev eth0 xdp off`"), "{busy}");
        let denied = XdpError::new("eth0", Step::Maps, io::Error::from_raw_os_error(libc::EPERM));
        assert!(denied.to_string().contains("CAP_NET_ADMIN"), "{denied}");
    }
}
