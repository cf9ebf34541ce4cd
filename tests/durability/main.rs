//! What was confirmed is there: the real binary killed, its disk failing, full and damaged, its clock wrong.
//!
//! A ledger has every receipt and every reply that went out. After whatever was done to the server, each of
//! them must still hold, and nothing may be there twice or that nobody sent. What was measured by hand stands
//! in RESULTS.md.

#[path = "../real/server.rs"]
mod server;
#[path = "../real/keys.rs"]
mod keys;
#[path = "../real/servers.rs"]
mod servers;
#[path = "../real/clients.rs"]
mod clients;
#[path = "../real/tree.rs"]
mod tree;
mod dice;
mod shim;
mod tekctl;
mod ledger;
mod phone;
mod operator;
mod account;
mod sigkill;
mod injected;
mod generations;
mod damaged;
mod mounted;
mod full;
mod clock;
mod ownership;
