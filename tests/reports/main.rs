//! Reports from end to end: the client library on one side, the origin on the other, time and disk in hand.
//!
//! Every frame is one that could have crossed a network; what is between both ends loses, garbles, records or
//! cuts the power as a test wants. What is asserted is what authors, operators and other phones rely on.

mod world;
mod life;
mod retry;
mod races;
mod epochs;
mod claims;
mod revoked_grants;
mod blind;
