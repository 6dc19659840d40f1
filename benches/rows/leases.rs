//! What keeping many registrations costs.

use std::time::Duration;

use portolan::Tuning;
use portolan_benches::{GROUP, instance};
use portolan_kit::Etcd;

use super::{registry, runtime, start};
use crate::Row;

pub fn all() -> Vec<Row> {
    vec![runtime().block_on(renewals())]
}

/// etcd's own count of the messages that ask for a renewal, over two whole times to live.
async fn renewals() -> Row {
    const COUNT: u64 = 10_000;
    const TTLS: u32 = 2;
    let tuning = Tuning::default();
    let etcd = start();
    let registry = registry(&etcd);
    let group = registry.group(GROUP).expect("a name");
    let registrations: Vec<_> = (0..COUNT)
        .map(|number| group.register(instance(number)).expect("it can be registered"))
        .collect();
    for registration in &registrations {
        registration.ready().await.expect("it stands");
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before = (asked(&etcd, "\"LeaseKeepAlive\""), asked(&etcd, "etcdserverpb."));
    tokio::time::sleep(tuning.lease_ttl * TTLS).await;
    let after = (asked(&etcd, "\"LeaseKeepAlive\""), asked(&etcd, "etcdserverpb."));
    assert_eq!(registry.status().registered as u64, COUNT, "all stand");
    registry.abandon().await;
    let renewals = (after.0 - before.0) as f64 / f64::from(TTLS);
    let messages = (after.1 - before.1) as f64 / f64::from(TTLS);
    // A lease is renewed each third of its time, from when it was last asked for: so often in a
    // span of some whole times, and once more if the span begins with a renewal.
    let leases = COUNT.div_ceil(u64::from(tuning.max_keys_per_lease));
    let each = f64::from(tuning.renewals_per_ttl) + 1.0 / f64::from(TTLS);
    let bound = leases as f64 * each;
    Row {
        what: "renewals of 10,000 registrations in one TTL",
        against: "–",
        aim: "≤ 3 for each of 10 leases; ≤ 35 counted over 2 TTLs",
        measured: format!("{renewals} of {messages} messages in all"),
        met: Some(0.0 < renewals && renewals <= bound),
    }
}

/// Messages of clients whose line on etcd's page has this label in it.
fn asked(etcd: &Etcd, label: &str) -> u64 {
    let counted = etcd
        .counted(|line| line.starts_with("grpc_server_msg_received_total") && line.contains(label));
    counted.unwrap_or_else(|error| panic!("{error}"))
}
