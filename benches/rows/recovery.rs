//! All leases of a process are gone at once: how soon its records stand again, and how hard it tries.

use std::time::{Duration, Instant};

use etcd_client::{Client, GetOptions, PutOptions, Txn, TxnOp, WatchOptions, WatchStream};
use portolan::{RegistrationState, Status, Tuning};
use portolan_benches::{GROUP, instance, record};
use tokio::task::JoinSet;

use super::{PREFIX, median, millis, ratio, raw, registry, runtime, start};
use crate::Row;

const COUNT: u64 = 10_000;
/// Keys of one lease, as the library's default has it.
const PER_LEASE: u64 = 1_000;
const ROUNDS: usize = 3;

pub fn all() -> Vec<Row> {
    runtime().block_on(async {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            theirs.push(by_hand().await);
            ours.push(by_itself(None).await);
        }
        let mut peak = 0;
        let watched = by_itself(Some(&mut peak)).await;
        ours.push(watched);
        rows(&ours, median(theirs), peak)
    })
}

fn rows(ours: &[Recovery], theirs: Duration, peak: usize) -> Vec<Row> {
    let tuning = Tuning::default();
    let timed = &ours[..ROUNDS];
    let busy = median(timed.iter().map(|recovery| recovery.busy).collect());
    let whole = median(timed.iter().map(|recovery| recovery.whole).collect());
    let measured = ratio(busy, theirs);
    let notice = tuning.lease_ttl / tuning.renewals_per_ttl;
    let under_way = ours.iter().map(|recovery| recovery.under_way).max().unwrap_or_default();
    let leases = (COUNT / PER_LEASE) as usize;
    vec![
        Row {
            what: "10,000 records back after all their leases were revoked, while a loss is known",
            against: "raw batched puts",
            aim: "≤ 1.5",
            measured: format!("{measured:.2} ({} / {})", millis(busy), millis(theirs)),
            met: Some(measured <= 1.5),
        },
        Row {
            what: "the same from the revokes on, with the time until they are noticed",
            against: "–",
            aim: "≤ TTL / 3 + 1.5 × the puts",
            measured: millis(whole),
            met: Some(whole <= notice + theirs.mul_f64(1.5)),
        },
        Row {
            what: "the same, requests under way at most; puts in 100 ms at most",
            against: "–",
            aim: "≤ 8 batches, 4 grants, 1 for each lease",
            measured: format!("{under_way}; {peak}"),
            met: Some(under_way <= BATCHES + GRANTS + leases),
        },
    ]
}

/// What the library has under way at once: batches of up to 126 keys, and grants.
const BATCHES: usize = 8;
const GRANTS: usize = 4;

/// Ten leases and the same records in transactions of as many puts as etcd takes, some under way at
/// once, after all that stood before was revoked.
async fn by_hand() -> Duration {
    let etcd = start();
    let mut client = raw(&etcd).await;
    publish(&client).await;
    revoke_all(&client).await;
    let started = Instant::now();
    publish(&client).await;
    let took = started.elapsed();
    assert_eq!(standing(&mut client).await, COUNT, "all stand");
    took
}

async fn publish(client: &Client) {
    let mut granting = JoinSet::new();
    for _ in 0..COUNT / PER_LEASE {
        let mut client = client.clone();
        granting.spawn(async move { client.lease_grant(15, None).await.expect("granted").id() });
    }
    let leases = granting.join_all().await;
    let mut putting = JoinSet::new();
    let numbers: Vec<u64> = (0..COUNT).collect();
    for (lease, numbers) in leases.iter().zip(numbers.chunks(PER_LEASE as usize)) {
        for some in numbers.chunks(128) {
            let options = PutOptions::new().with_lease(*lease);
            let puts = some.iter().map(|&number| {
                let (key, value) = record(number, 1);
                TxnOp::put(key, value, Some(options.clone()))
            });
            let txn = Txn::new().and_then(puts.collect::<Vec<_>>());
            let mut client = client.clone();
            if putting.len() >= BATCHES {
                putting.join_next().await;
            }
            putting.spawn(async move { client.txn(txn).await.expect("they are put") });
        }
    }
    putting.join_all().await;
}

async fn revoke_all(client: &Client) {
    let leases = client.clone().leases().await.expect("listed");
    let mut revoking = JoinSet::new();
    for lease in leases.leases() {
        let (mut client, id) = (client.clone(), lease.id());
        revoking.spawn(async move { client.lease_revoke(id).await.expect("revoked") });
    }
    revoking.join_all().await;
}

async fn standing(client: &mut Client) -> u64 {
    let options = GetOptions::new().with_prefix().with_count_only();
    let reply = client.get(PREFIX, Some(options)).await.expect("counted");
    reply.count().unsigned_abs()
}

#[derive(Clone, Copy)]
struct Recovery {
    /// From the revokes on, until all stood.
    whole: Duration,
    /// As long of that as the process knew that something did not stand.
    busy: Duration,
    under_way: usize,
}

/// The library's part. With `peak` its puts are watched and counted.
async fn by_itself(peak: Option<&mut usize>) -> Recovery {
    let etcd = start();
    let mut client = raw(&etcd).await;
    let registry = registry(&etcd);
    let group = registry.group(GROUP).expect("a name");
    let registrations: Vec<_> = (0..COUNT)
        .map(|number| group.register(instance(number)).expect("it can be registered"))
        .collect();
    let mut last = 0;
    for registration in &registrations {
        last = registration.ready().await.expect("it stands").0.max(last);
    }
    // A store that loses leases soon after it granted them is given pauses.
    tokio::time::sleep(Tuning::default().healthy_after + Duration::from_secs(1)).await;
    let mut statuses = registry.status_changes();
    let seeing = tokio::spawn(async move {
        let mut seen = Vec::new();
        while let Some(status) = statuses.next().await {
            seen.push((Instant::now(), status));
        }
        seen
    });
    let counting = if peak.is_some() {
        let options = WatchOptions::new().with_prefix();
        let watch = client.watch(PREFIX, Some(options)).await.expect("it is watched");
        Some(tokio::spawn(most_puts(watch)))
    } else {
        None
    };
    let started = Instant::now();
    revoke_all(&client).await;
    for registration in &registrations {
        let again = |state: &RegistrationState| matches!(state, RegistrationState::Registered { revision, .. } if revision.0 > last);
        registration.wait_for(again).await;
    }
    let whole = started.elapsed();
    assert_eq!(standing(&mut client).await, COUNT, "all stand");
    registry.abandon().await;
    let seen = seeing.await.expect("it does not panic");
    if let (Some(peak), Some(counting)) = (peak, counting) {
        *peak = counting.await.expect("it does not panic");
    }
    let under_way = seen.iter().map(|(_, status)| status.in_flight).max().unwrap_or_default();
    Recovery { whole, busy: busy(&seen), under_way }
}

/// How long, in all, something that is registered was known not to stand.
fn busy(seen: &[(Instant, Status)]) -> Duration {
    let spans = seen.windows(2).filter(|pair| {
        let status = &pair[0].1;
        status.registered < status.registrations
    });
    spans.map(|pair| pair[1].0 - pair[0].0).sum()
}

/// The most puts that came within 100 ms, once each key was put.
async fn most_puts(mut watch: WatchStream) -> usize {
    let mut arrivals = Vec::new();
    while (arrivals.len() as u64) < COUNT {
        let message = watch.message().await.expect("open").expect("open");
        let puts = message
            .events()
            .iter()
            .filter(|event| event.event_type() == etcd_client::EventType::Put);
        arrivals.extend(std::iter::repeat_n(Instant::now(), puts.count()));
    }
    let within = Duration::from_millis(100);
    let from = |first: usize| arrivals.partition_point(|&at| at < arrivals[first] + within) - first;
    (0..arrivals.len()).map(from).max().unwrap_or_default()
}
