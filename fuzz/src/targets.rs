//! The targets, one file each.

pub mod wire;
