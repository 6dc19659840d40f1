//! The rows of the table, and how they are measured.

mod etcd;
mod faults;
mod idle;
mod leases;
mod pure;
mod readers;
mod recovery;
mod sim;
mod wire;

use std::time::{Duration, Instant};

use etcd_client::Client;
use portolan::Registry;
use portolan_kit::{Etcd, Release};
use tokio::runtime::{Builder, Runtime};

use crate::Row;

/// What can be measured on its own: its name, and what measures it.
pub type Subject = (&'static str, fn() -> Vec<Row>);

pub const SUBJECTS: [Subject; 9] = [
    ("pure", pure::all),
    ("etcd", etcd::all),
    ("leases", leases::all),
    ("recovery", recovery::all),
    ("faults", faults::all),
    ("readers", readers::all),
    ("idle", idle::all),
    ("sim", sim::all),
    ("wire", wire::all),
];

/// Where the records of the group of all rows are.
pub const PREFIX: &str = "/portolan/instances/checkout/";

pub fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

pub fn start() -> Etcd {
    Etcd::start(Release::V3_5).unwrap_or_else(|error| panic!("{error}"))
}

pub async fn raw(etcd: &Etcd) -> Client {
    Client::connect([etcd.client_url()], None).await.expect("etcd is there")
}

pub fn registry(etcd: &Etcd) -> Registry {
    Registry::builder().endpoints([etcd.client_url()]).build().expect("an address")
}

/// The middle one.
pub fn median<T: Ord + Copy>(mut samples: Vec<T>) -> T {
    samples.sort_unstable();
    samples[samples.len() / 2]
}

/// How long it takes.
pub fn time<T>(work: impl FnOnce() -> T) -> Duration {
    let started = Instant::now();
    std::hint::black_box(work());
    started.elapsed()
}

pub fn ratio(ours: Duration, theirs: Duration) -> f64 {
    ours.as_secs_f64() / theirs.as_secs_f64()
}

pub fn micros(time: Duration) -> String {
    format!("{:.1} µs", time.as_secs_f64() * 1e6)
}

pub fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}
