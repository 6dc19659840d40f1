//! A deterministic, fault-injecting simulator for the portolan service registry.

#![warn(clippy::float_arithmetic)]
