//! What was confirmed is there: the real binary killed, its disk failing, full and damaged, its clock wrong.
//!
//! A ledger has every receipt and every reply that went out. After whatever was done to the server, each of
//! them must still hold, and nothing may be there twice or that nobody sent. What was measured by hand stands
//! in RESULTS.md.

#[allow(dead_code)] // the tests of `real` use all of these
#[path = "../real/server.rs"]
mod server;
#[allow(dead_code)]
#[path = "../real/keys.rs"]
mod keys;
#[allow(dead_code)]
#[path = "../real/asker.rs"]
mod asker;
#[allow(dead_code)]
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
