//! tekd: a backend for exposure notification.
pub mod time;
pub mod wire;
pub mod authority;
pub mod release;
#[cfg(feature = "net")]
pub mod store;
#[cfg(feature = "net")]
pub mod gaen;
#[cfg(feature = "net")]
pub mod engine;
#[cfg(feature = "net")]
pub mod transport;
#[cfg(feature = "net")]
//C pub mod client;
#[cfg(feature = "net")]
pub mod service;
#[cfg(feature = "net")]
pub mod node;
