//! The carrier against real etcd servers, where what it does itself is at stake: connections,
//! tokens, queues, streams, failures. What etcd answers is the conformance suite's.

mod auth;
mod errors;
mod failures;
mod harness;
mod renewals;
mod streams;
mod tls;
mod ways;
