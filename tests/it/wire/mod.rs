//! An etcd in memory, asked by the real etcd-client: how connections to it begin, break and end, and
//! what operators are told. What else it answers is for `conformance`.

mod connections;
mod hostile;
mod operators;
