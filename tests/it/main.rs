//! All integration tests of the workspace, in one binary: it links once.

mod channels;
mod conformance;
mod follow;
mod guard;
mod house;
mod library;
mod observing;
mod real;
mod testing;
mod wire;
