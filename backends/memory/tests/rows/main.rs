//! The rows of `docs/etcd.md`, each with a test named after it, and the laws that hold for any
//! sequence.
//!
//! | module | rows |
//! |---|---|
//! | `kv` | R1 to R7, K1 to K5, G1 to G6, G8 |
//! | `txn` | T1 to T7, T9 |
//! | `lease` | L1 to L12 |
//! | `watch` | W1 to W13, W16, W18 |
//! | `limits` | W14, E1 to E3, C1, C2 |
//! | `flow` | W3, W8, W16 of streams that are not read |
//! | `space` | C3, E2 where there are limits of our own |
//! | `faults` | R8, R9, G7, L8, L10, L11, W17; what the log says |
//! | `members` | G7, T9, L8, L10, W2, W17, W18 where several members see different things |
//! | `leaders` | who leads, and what is sent to whom that does not answer |
//! | `quirks` | released servers |
//! | `users` | A1 to A8 |
//! | `operations` | what operators ask |
//! | `view` | what can be looked at |
//! | `laws` | any sequence |

mod faults;
mod flow;
mod kit;
mod kv;
mod laws;
mod leaders;
mod lease;
mod limits;
mod members;
mod operations;
mod quirks;
mod space;
mod txn;
mod users;
mod view;
mod watch;
