//! One suite on the waist, for every store: the model, and real etcd of several releases.
//!
//! | file | what it holds |
//! |---|---|
//! | `cases` | a case for each row of `docs/etcd.md`, or why there is none |
//! | `releases` | what older releases do differently, asserted both ways |
//! | `random` | drawn sequences of requests, put to the model and to real etcd side by side |
//! | `client` | what a case asks with |
//! | `store`, `model`, `wire`, `real` | the stores |
//! | `codes` | gRPC's codes on the wire, held against ours |
//!
//! Real etcd decides: where the model differs, the model is wrong. Without an etcd these tests
//! fail and say how to get one.

mod cases;
mod client;
mod codes;
mod model;
mod random;
mod real;
mod releases;
mod rows;
mod store;
mod wire;
