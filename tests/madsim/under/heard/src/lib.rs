//! `portolan-core`, with an engine that can be listened to.
//!
//! The library is built on this crate under core's name. All types are core's own; only the engine is
//! wrapped, so that what it hears and says can be told to the checks of the simulator.

pub use portolan_core::*;

pub use engine::Engine;

mod ear;

pub use ear::{Ear, Heard, listen, nobody_listens};

/// Core's engine, listened to.
pub mod engine {
    pub use portolan_core::engine::*;

    pub use crate::ear::Engine;
}
