//! The shopping API: the Universal Commerce Protocol over HTTP. One module for each wire version; the domain knows
//! none of them.

pub mod v2026_04_08;
