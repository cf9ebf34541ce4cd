//! Who may report and who may not, through the whole way of a sealed question: every fault of a grant, every
//! fault of a request, and that none of it shows from outside.
#![cfg(feature = "net")]

mod world;
mod codes;
mod vouched;
mod guessing;
mod bad_input;
mod changes;
mod alike;
