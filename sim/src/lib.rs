//! A deterministic, fault-injecting simulator for the portolan service registry.
//!
//! Many engines, one store, one virtual clock, one wire that delays, loses, cuts and breaks; the
//! engines are the ones that production runs, the store is the model of etcd. Beside them, or in their
//! place, clients of other fleets can stand ([`plan::Fleet`]). What happens in a
//! world is a [`Plan`], which is data: written by hand or drawn from a seed. What happened is a
//! trace of [`Entry`]s, one line each, and scans of it hold every run to the registry's
//! properties (`docs/properties.md`).
//!
//! | module | what it holds |
//! |---|---|
//! | [`plan`] | plans: the world, and what happens in it, as JSON |
//! | [`World`] | engines, store, wire, clock; one [`step`](World::step) at a time |
//! | [`trace`] | what happened |
//! | [`check`] | the properties, as scans of the trace |
//! | [`scenario`] | plans with a name: each shows one thing |
//! | [`batch`] | many drawn plans, and what they came to |
//! | [`canary`] | what is broken on purpose, and the checks that must notice |
//! | [`run`] | runs a plan under all checks, and makes failing ones small |
//! | [`walk`] | every order of what can happen, in small worlds |

mod app;
pub mod batch;
pub mod canary;
mod chance;
pub mod check;
mod draw;
mod link;
mod naive;
pub mod plan;
mod process;
mod queue;
pub mod run;
pub mod scenario;
mod subject;
pub mod trace;
pub mod walk;
mod world;

pub use batch::Batch;
pub use canary::Canary;
pub use check::{Checks, Property, Violation};
pub use draw::{Class, Mix};
pub use link::{Carried, LinkView, Travelling};
pub use plan::Plan;
pub use process::{Clock, Process};
pub use run::{Runner, TooLate};
pub use scenario::Scenario;
pub use trace::{Entry, Run, TraceHash, What};
pub use walk::{Walk, Walked};
pub use world::{Choice, Timer, World};
