//! A member of a cluster dies: when writes go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use etcd_client::Client;
use portolan::{Data, Group, Registry};
use portolan_benches::GROUP;
use portolan_kit::{Cluster, Release};
use tokio::time::{sleep, timeout};

use super::{median, millis, runtime};
use crate::Row;

pub fn all() -> Vec<Row> {
    let follower = Fault {
        what: "writes go on, none failing any more, after the member in use was killed: a follower",
        leads: false,
        rounds: 5,
        window: Duration::from_secs(5),
    };
    // What is under way at the leader's end fails after 7 s at the other members.
    let leader = Fault {
        what: "the same, the leader (an election takes 1 to 2 s)",
        leads: true,
        rounds: 3,
        window: Duration::from_secs(9),
    };
    runtime().block_on(async { vec![follower.row().await, leader.row().await] })
}

/// Kills one member of three, and looks on for a while.
struct Fault {
    what: &'static str,
    leads: bool,
    rounds: usize,
    window: Duration,
}

/// What came of one kill, all counted from it.
#[derive(Clone, Copy)]
struct Outcome {
    /// The end of the first write that was begun after it and succeeded.
    first: Duration,
    /// As much for the first after which none failed; the window if they failed to its end.
    steady: Duration,
    failing: usize,
    writes: usize,
}

/// One write.
struct Write {
    begun: Instant,
    ended: Instant,
    done: bool,
}

enum Writer {
    /// Updates a group's configuration: a read and a guarded write.
    Ours(Group),
    /// Puts.
    Theirs(Box<Client>),
}

impl Fault {
    async fn row(self) -> Row {
        let mut cluster = Cluster::start(Release::V3_5).unwrap_or_else(|error| panic!("{error}"));
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..self.rounds {
            let registry = self.registry(&cluster).await;
            let used = usize::from(registry.status().member);
            let writer = Writer::Ours(registry.group(GROUP).expect("a name"));
            ours.push(self.strike(&mut cluster, used, writer).await);
            registry.shutdown().await;

            let client = Client::connect(cluster.client_urls(), None).await.expect("addresses");
            // It uses them all.
            let used = if self.leads { leader(&cluster) } else { (leader(&cluster) + 1) % 3 };
            theirs.push(self.strike(&mut cluster, used, Writer::Theirs(Box::new(client))).await);
        }
        let of = |outcomes: &[Outcome], part: fn(&Outcome) -> Duration| {
            median(outcomes.iter().map(part).collect())
        };
        let both = |part| (of(&ours, part), of(&theirs, part));
        let (steady, their_steady) = both(|outcome| outcome.steady);
        let (first, their_first) = both(|outcome| outcome.first);
        let failing = |outcomes: &[Outcome]| {
            let sum = |part: fn(&Outcome) -> usize| outcomes.iter().map(part).sum::<usize>();
            100.0 * sum(|outcome| outcome.failing) as f64 / sum(|outcome| outcome.writes) as f64
        };
        let shown = |time| match time {
            time if time >= self.window => format!("> {} s", self.window.as_secs()),
            time => millis(time),
        };
        Row {
            what: self.what,
            against: "raw puts, `etcd-client`'s own balancer",
            aim: "sooner, and none failing",
            measured: format!(
                "{} / {}; the first that succeeds {} / {}; failing {:.1} % / {:.1} %",
                shown(steady),
                shown(their_steady),
                shown(first),
                shown(their_first),
                failing(&ours),
                failing(&theirs),
            ),
            met: Some(steady < their_steady && failing(&ours) == 0.0),
        }
    }

    /// One that uses a member such as is to be killed; they begin with any.
    async fn registry(&self, cluster: &Cluster) -> Registry {
        loop {
            let leader = leader(cluster);
            let registry = Registry::builder().endpoints(cluster.client_urls()).build();
            let registry = registry.expect("addresses");
            registry.ready(Duration::from_secs(10)).await.expect("etcd is there");
            if (usize::from(registry.status().member) == leader) == self.leads {
                return registry;
            }
            registry.shutdown().await;
        }
    }

    async fn strike(&self, cluster: &mut Cluster, dies: usize, writer: Writer) -> Outcome {
        let over = Arc::new(AtomicBool::new(false));
        let writing = tokio::spawn(writes(writer, over.clone()));
        sleep(WARM_UP).await;
        let died = Instant::now();
        cluster[dies].kill().expect("it runs");
        sleep(self.window).await;
        over.store(true, Ordering::Relaxed);
        let mut writes = writing.await.expect("it does not panic");
        cluster[dies].restart().expect("it starts again");
        assert!(writes.iter().any(|write| write.done && write.ended < died), "it wrote before");
        writes.retain(|write| write.ended >= died);
        let done_from = |at: Instant| {
            let done = writes.iter().find(|write| write.done && write.begun >= at);
            done.map_or(self.window, |write| write.ended - died).min(self.window)
        };
        let failures = || writes.iter().filter(|write| !write.done);
        let last_failure = failures().map(|write| write.begun).max();
        // Who failed to the end was only lucky in between.
        let to_the_end = last_failure.is_some_and(|at| at + TO_THE_END > died + self.window);
        let steady = done_from(last_failure.map_or(died, |at| at.max(died)));
        Outcome {
            first: done_from(died),
            steady: if to_the_end { self.window } else { steady },
            failing: failures().count(),
            writes: writes.len(),
        }
    }
}

/// One after the other, at an even pace while they are quick.
async fn writes(mut writer: Writer, over: Arc<AtomicBool>) -> Vec<Write> {
    let mut writes = Vec::new();
    while !over.load(Ordering::Relaxed) {
        let begun = Instant::now();
        let done = writer.write(writes.len()).await;
        writes.push(Write { begun, ended: Instant::now(), done });
        sleep(PACE).await;
    }
    writes
}

impl Writer {
    /// Within the time that the library gives a call.
    async fn write(&mut self, number: usize) -> bool {
        match self {
            Self::Ours(group) => {
                let data = Data::parse(&format!(r#"{{"n":{number}}}"#)).expect("a document");
                group.update(move |_| Some(data.clone())).await.is_ok()
            }
            Self::Theirs(client) => {
                let put = client.put("/beside/checkout", number.to_string(), None);
                timeout(Duration::from_secs(10), put).await.is_ok_and(|put| put.is_ok())
            }
        }
    }
}

fn leader(cluster: &Cluster) -> usize {
    cluster.leader(Duration::from_secs(60)).unwrap_or_else(|error| panic!("{error}"))
}

const WARM_UP: Duration = Duration::from_millis(500);
const PACE: Duration = Duration::from_millis(10);
/// A failure this shortly before the end of the window says that they go on.
const TO_THE_END: Duration = Duration::from_millis(500);
