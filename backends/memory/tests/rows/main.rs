//! The rows of `docs/etcd.md`, one test or table each, and the laws that hold for any sequence.

mod kit;
mod kv;
