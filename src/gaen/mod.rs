//! gaen
