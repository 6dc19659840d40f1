//! The library on clusters of three, whose members are killed, paused, and cut off.
//!
//! All in modules `alone`: nothing runs beside them.

mod alone;
mod chaos;
mod figures;
mod peers;

use portolan::RegistryBuilder;
use portolan_kit::Cluster;

use super::*;

/// Three members with etcd's own timers: an election takes one to two seconds.
fn cluster() -> Cluster {
    Cluster::start(Release::V3_5).unwrap_or_else(|error| panic!("{error}"))
}

/// An attempt that a dying or a new leader took along costs 3 s, and a removal may meet several: the
/// usual limits may be too short to have it confirmed.
fn patient() -> RegistryBuilder {
    Registry::builder().call_within(SOON).shutdown_within(SOON / 2)
}

fn registry_of(cluster: &Cluster, ttl: Duration) -> Registry {
    patient().endpoints(cluster.client_urls()).ttl(ttl).build().expect("addresses")
}

async fn stands(registrations: &[Registration]) {
    for registration in registrations {
        soon("registered", registration.ready()).await.expect("it stands");
    }
}

fn instances(group: &Group, count: usize) -> Vec<Registration> {
    (0..count).map(|number| register(group, &format!("i{number}"))).collect()
}

/// Waits until a directory has, live, what a raw client reads below `prefix`. Read again and again:
/// what was lost may still be coming back.
async fn agrees(url: &str, directory: &Directory, prefix: &str) -> Snapshot {
    let agreeing = async {
        loop {
            let truth: BTreeMap<_, _> = history::content(url, prefix).await.into_iter().collect();
            let snapshot = directory.snapshot();
            if snapshot.is_live() && shown(&snapshot) == truth {
                return snapshot;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    soon(prefix, agreeing).await
}

/// How often a record below `prefix` vanished.
async fn absences(url: &str, prefix: &str) -> usize {
    let history = history::history(url, prefix).await;
    history.iter().filter(|event| event.now.is_none()).count()
}
