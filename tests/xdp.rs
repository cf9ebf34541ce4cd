//! AF_XDP, whole: the real binary in one network namespace, its clients in another, a veth pair of two queues
//! between them.
//!
//! Each test makes namespaces of its own and runs itself a second time inside the clients'. Making them needs
//! root: without it, a test says that it skips and why. As root it has to work.

#[path = "xdp/network.rs"]
mod network;
#[path = "real/server.rs"]
mod server;
#[path = "real/keys.rs"]
mod keys;
#[path = "real/imported.rs"]
mod imported;
#[path = "real/asker.rs"]
mod asker;
#[path = "xdp/phone.rs"]
mod phone;
#[path = "xdp/answers.rs"]
mod answers;
#[path = "xdp/passing.rs"]
mod passing;
#[path = "xdp/falling_back.rs"]
mod falling_back;
#[path = "udp_alloc/counting.rs"]
mod counting;
#[path = "udp_alloc/echo.rs"]
mod echo;
#[path = "xdp/worker.rs"]
mod worker;
