//! The pure engine of the portolan service registry.
//!
//! Everything that decides lives here, as plain machines driven from outside: no async, no
//! thread, no clock, no entropy. A driver feeds [`Engine`] with inputs and the time, carries the
//! requests it puts out to a store, and tells the application the events.
//!
//! | module | what it holds |
//! |---|---|
//! | [`waist`] | etcd's vocabulary as plain data, and the [`Backend`](waist::Backend) trait |
//! | [`name`], [`instance`] | the registry's vocabulary: names, endpoints, labels, instances |
//! | [`layout`] | which keys and values stand for what |
//! | [`engine`] | the machines, and the one door to them |
//! | [`map`] | the persistent ordered map that snapshots share |
//! | [`selector`] | which instances are meant |
//! | [`picker`] | which instance to call next |
//! | [`time`], [`rng`], [`tuning`] | time, chance and constants, all handed in |

#![warn(clippy::float_arithmetic)]

pub mod engine;
pub mod instance;
mod json;
pub mod layout;
pub mod map;
pub mod name;
pub mod picker;
pub mod rng;
pub mod selector;
pub mod time;
pub mod tuning;
pub mod waist;

pub use engine::{Command, Engine, Event, Input, Output};
pub use rng::Rng;
pub use time::Time;
pub use tuning::Tuning;
