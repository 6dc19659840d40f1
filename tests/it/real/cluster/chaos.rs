//! The leader killed, again and again, and what an independent client reads of it afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

use portolan_kit::{Cluster, Etcd};

use super::super::history::{Event, Kv};

/// Kills the leader of a cluster every few seconds, and starts it again a bit later; never are two
/// down.
pub struct Chaos {
    thread: JoinHandle<(Cluster, Report)>,
    over: Arc<AtomicBool>,
}

#[derive(Debug, Default)]
pub struct Report {
    pub kills: u64,
    /// Requests that the killed members had begun to serve in their lives, streams included.
    pub served: u64,
}

impl Chaos {
    pub fn begin(mut cluster: Cluster, lasting: Duration) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let told = over.clone();
        let thread = std::thread::spawn(move || {
            let end = Instant::now() + lasting;
            let mut report = Report::default();
            while Instant::now() < end {
                let leader = cluster.leader(PATIENCE).unwrap_or_else(|error| panic!("{error}"));
                report.served += served(&cluster[leader]);
                cluster[leader].kill().expect("it runs");
                report.kills += 1;
                // Not in step with any timer of etcd's or ours.
                sleep(Duration::from_millis(700 + report.kills * 531 % 2_000));
                cluster[leader].restart().unwrap_or_else(|error| panic!("{error}"));
                sleep(Duration::from_millis(500 + report.kills * 797 % 2_500));
            }
            report.served += cluster.members().iter().map(served).sum::<u64>();
            told.store(true, Ordering::Relaxed);
            (cluster, report)
        });
        Self { thread, over }
    }

    /// Whether the last one that was killed is up again, and nobody will be killed any more.
    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed) || self.thread.is_finished()
    }

    pub fn end(self) -> (Cluster, Report) {
        self.thread.join().expect("the cluster can be killed and restarted")
    }
}

/// What is wrong with a history, in which each record has its owner's `mark` in its value, and only
/// those of `removed` were removed by their owners.
pub fn faults(
    history: &[Event],
    marks: &BTreeMap<String, String>,
    removed: &BTreeSet<String>,
) -> Vec<String> {
    let mut faults = Vec::new();
    let mut gone = BTreeSet::new();
    for event in history {
        let Event { revision, key, now, before } = event;
        let mut fault = |what: &str| faults.push(format!("{what}: {key} at {revision}"));
        let Some(now) = now else {
            if !gone.insert(key.clone()) || !removed.contains(key) {
                fault("absent, and its owner did not remove it");
            }
            continue;
        };
        if gone.contains(key) {
            fault("written after it was removed");
        }
        if !marks.get(key).is_some_and(|mark| now.value.contains(mark)) {
            fault("written by another than its owner");
        }
        if now.lease == 0 {
            fault("on no lease");
        }
        if before
            .as_ref()
            .is_some_and(|before| before.value == now.value && before.lease == now.lease)
        {
            fault("written twice");
        }
    }
    faults
}

/// How many requests of clients a member has begun to serve since it was started.
pub fn served(etcd: &Etcd) -> u64 {
    let ours = ["etcdserverpb.KV\"", "etcdserverpb.Lease\"", "etcdserverpb.Watch\""];
    let started = etcd.counted(|line| {
        line.starts_with("grpc_server_started_total") && ours.iter().any(|name| line.contains(name))
    });
    started.unwrap_or_else(|error| panic!("{}: {error}", etcd.name()))
}

/// For elections and starts on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn faults_of_a_history_are_found() {
    let times = (1, 1, 1);
    let kv = |value: &str, lease| Some(Kv { value: value.to_owned(), lease, times });
    let (mine, other, none) = (|| kv("mine", 1), || kv("other", 2), || None);
    type Make<'a> = &'a dyn Fn() -> Option<Kv>;
    type Steps<'a> = &'a [(Make<'a>, Make<'a>)];
    let cases: [(&str, Steps<'_>, bool); 8] = [
        ("", &[(&none, &mine)], false),
        ("", &[(&none, &mine), (&mine, &none)], true),
        ("", &[(&none, &mine), (&mine, &|| kv("mine", 2))], false),
        ("absent, and its owner did not remove it", &[(&none, &mine), (&mine, &none)], false),
        ("written after it was removed", &[(&mine, &none), (&none, &mine)], true),
        ("written by another than its owner", &[(&mine, &other)], false),
        ("on no lease", &[(&none, &|| kv("mine", 0))], false),
        ("written twice", &[(&none, &mine), (&mine, &mine)], false),
    ];
    let marks = BTreeMap::from([("a".to_owned(), "mine".to_owned())]);
    for (fault, steps, removed) in cases {
        let steps = (1..).zip(steps);
        let history: Vec<_> = steps
            .map(|(revision, (before, now))| Event {
                revision,
                key: "a".to_owned(),
                now: now(),
                before: before(),
            })
            .collect();
        let removed = if removed { BTreeSet::from(["a".to_owned()]) } else { BTreeSet::new() };
        let found = faults(&history, &marks, &removed);
        let expected = if fault.is_empty() {
            Vec::new()
        } else {
            vec![format!("{fault}: a at {}", history.len())]
        };
        assert_eq!(found, expected, "{history:?}");
    }
}
