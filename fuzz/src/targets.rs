//! The targets, one file each.

pub mod engine;
pub mod model;
pub mod plans;
pub mod records;
pub mod wire;
pub mod words;
pub mod world;
