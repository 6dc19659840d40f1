//! The wire server beside real etcd, each in a process of its own, asked by the same client.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use etcd_client::{Client, GetOptions, WatchOptions};
use portolan_kit::Etcd;
use tokio::task::JoinSet;

use super::{median, micros, ratio, runtime, start};
use crate::Row;

/// Calls under way at a time.
const AT_ONCE: usize = 64;
/// Both sides take turns so often.
const ROUNDS: usize = 5;

pub fn all() -> Vec<Row> {
    runtime().block_on(async {
        let mut pair = Pair::start().await;
        let mut rows = vec![
            rate(&mut pair, "wire server: puts", 20_000, 2.0, puts).await,
            rate(&mut pair, "wire server: ranges of 1,000 records", 500, 1.0, ranges).await,
            rate(&mut pair, "wire server: events to 1,000 watches", 100 * WATCHES, 1.0, fan_out)
                .await,
            rate(&mut pair, "wire server: renewals of leases", 20_000, 1.0, renewals).await,
        ];
        // What was allocated before and is free again would not show.
        rows.push(memory(&Pair::start().await).await);
        rows
    })
}

/// Both servers, and a client of each.
struct Pair {
    ours: Client,
    theirs: Client,
    served: Served,
    etcd: Etcd,
}

impl Pair {
    async fn start() -> Self {
        let (served, etcd) = (Served::start(), start());
        let connect =
            async |address: &str| Client::connect([address], None).await.expect("it is there");
        let (ours, theirs) = (connect(&served.address).await, connect(&etcd.client_url()).await);
        Self { ours, theirs, served, etcd }
    }

    /// Their processes.
    fn pids(&self) -> (u32, u32) {
        (self.served.child.id(), self.etcd.pid().expect("it runs"))
    }
}

/// A wire server that ends with this.
struct Served {
    child: Child,
    address: String,
}

impl Served {
    fn start() -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_serve"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let mut line = String::new();
        let out = child.stdout.take().expect("it is piped");
        BufReader::new(out).read_line(&mut line).expect("it tells its address");
        Self { child, address: line.trim().to_owned() }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// How fast `count` of something are done, ours against etcd's; and what each of them costs the
/// server alone, since the client takes its share of the same processors.
async fn rate<F: Future<Output = Duration>>(
    pair: &mut Pair,
    what: &'static str,
    count: u32,
    aim: f64,
    work: impl Fn(Client, u32) -> F,
) -> Row {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let (our_pid, their_pid) = pair.pids();
    let before = (processor_time(our_pid), processor_time(their_pid));
    for _ in 0..ROUNDS {
        ours.push(work(pair.ours.clone(), count).await);
        theirs.push(work(pair.theirs.clone(), count).await);
    }
    let (ours, theirs) = (median(ours), median(theirs));
    let faster = 1.0 / ratio(ours, theirs);
    let per_sec = |time: Duration| f64::from(count) / time.as_secs_f64();
    let all = count * u32::try_from(ROUNDS).expect("few");
    let cost = |pid, before| micros((processor_time(pid) - before) / all);
    let measured = format!(
        "{faster:.2}× ({:.0} /s / {:.0} /s); the server's own time for each {} / {}",
        per_sec(ours),
        per_sec(theirs),
        cost(our_pid, before.0),
        cost(their_pid, before.1),
    );
    let is_aim = aim > 1.0;
    Row {
        what,
        against: "etcd, same client",
        aim: if is_aim { "≥ 2×" } else { "report" },
        measured,
        met: is_aim.then_some(faster >= aim),
    }
}

async fn puts(client: Client, count: u32) -> Duration {
    let value = vec![b'v'; 100];
    at_once(count, |number| {
        let (mut client, value) = (client.clone(), value.clone());
        async move {
            let key = format!("puts/{:04}", number % 1_000);
            client.put(key, value, None).await.expect("it is put");
        }
    })
    .await
}

async fn ranges(client: Client, count: u32) -> Duration {
    let mut first = client.clone();
    for number in 0..1_000 {
        let value = vec![b'v'; 100];
        first.put(format!("ranges/{number:04}"), value, None).await.expect("it is put");
    }
    at_once(count, |_| {
        let mut client = client.clone();
        async move {
            let options = GetOptions::new().with_prefix();
            let read = client.get("ranges/", Some(options)).await.expect("it is read");
            assert_eq!(read.kvs().len(), 1_000);
        }
    })
    .await
}

const WATCHES: u32 = 1_000;

/// From the first put until each watch, on streams of a hundred, has been told of all.
async fn fan_out(mut client: Client, count: u32) -> Duration {
    let mut hearing = JoinSet::new();
    for _ in 0..WATCHES / 100 {
        let stream = client.watch("fan", None).await.expect("it is watched");
        let (mut say, mut told) = stream.split();
        for number in 1..100 {
            let options = WatchOptions::new().with_watch_id(number);
            say.watch("fan", Some(options)).await.expect("it is watched");
        }
        for _ in 0..100 {
            told.message().await.expect("open").expect("open");
        }
        hearing.spawn(async move {
            let mut events = 0;
            while events < count / (WATCHES / 100) {
                let message = told.message().await.expect("open").expect("open");
                events += u32::try_from(message.events().len()).expect("few");
            }
            drop(say);
        });
    }
    let started = Instant::now();
    for _ in 0..count / WATCHES {
        client.put("fan", "value", None).await.expect("it is put");
    }
    hearing.join_all().await;
    started.elapsed()
}

async fn renewals(mut client: Client, count: u32) -> Duration {
    let lease = client.lease_grant(600, None).await.expect("it is granted").id();
    let (mut keeper, mut kept) = client.lease_keep_alive(lease).await.expect("it is kept");
    let started = Instant::now();
    let asking = async {
        for _ in 0..count {
            keeper.keep_alive().await.expect("open");
        }
    };
    let hearing = async {
        for _ in 0..count {
            kept.message().await.expect("open").expect("open");
        }
    };
    tokio::join!(asking, hearing);
    let taken = started.elapsed();
    client.lease_revoke(lease).await.expect("it is revoked");
    taken
}

/// What ten thousand watches on one stream add to the server's resident memory.
async fn memory(pair: &Pair) -> Row {
    let each = async |client: &Client, pid: u32| {
        let before = resident(pid);
        let mut client = client.clone();
        let stream = client.watch("memory/0", None).await.expect("it is watched");
        let (mut say, mut told) = stream.split();
        let count = 10_000_u32;
        let asking = async {
            for number in 1..count {
                let options = WatchOptions::new().with_watch_id(i64::from(number));
                let key = format!("memory/{number}");
                say.watch(key, Some(options)).await.expect("it is watched");
            }
        };
        let hearing = async {
            for _ in 0..count {
                told.message().await.expect("open").expect("open");
            }
        };
        tokio::join!(asking, hearing);
        resident(pid).saturating_sub(before) / u64::from(count)
    };
    let (our_pid, their_pid) = pair.pids();
    let our_bytes = each(&pair.ours, our_pid).await;
    let their_bytes = each(&pair.theirs, their_pid).await;
    Row {
        what: "wire server: resident memory for each of 10,000 watches",
        against: "etcd",
        aim: "report",
        measured: format!("{our_bytes} B / {their_bytes} B"),
        met: None,
    }
}

/// Bytes of a process that are in memory.
fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs, on Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line of it");
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kib * 1024
}

/// What a process has had of the processors, in steps of 10 ms.
fn processor_time(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs, on Linux");
    // Behind the name, which may hold anything, user time is the twelfth field, system time the next.
    let (_, fields) = stat.rsplit_once(") ").expect("a name");
    let ticks = fields.split(' ').skip(11).take(2);
    let ticks: u64 = ticks.map(|ticks| ticks.parse::<u64>().expect("a number")).sum();
    Duration::from_millis(ticks * 10)
}

/// Does `count` of them, a few at a time.
async fn at_once<F>(count: u32, work: impl Fn(u32) -> F) -> Duration
where
    F: Future<Output = ()> + Send + 'static,
{
    let (started, mut working) = (Instant::now(), JoinSet::new());
    for number in 0..count {
        if working.len() >= AT_ONCE {
            working.join_next().await;
        }
        working.spawn(work(number));
    }
    working.join_all().await;
    started.elapsed()
}
