//! What a registry tells of itself: log lines, figures, status.

use std::collections::BTreeSet;
use std::fmt::{Debug, Write as _};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit,
};
use portolan::{Embedded, Registry};
use tracing::field::{Field, Visit};
use tracing::span;

const SOON: Duration = Duration::from_secs(60);

/// The page that lists all that is told.
const PAGE: &str = include_str!("../../docs/observing.md");

/// Writes down each line of ours as `LEVEL target message {field=..}`.
#[derive(Clone, Default)]
pub struct Lines(Arc<Mutex<Vec<String>>>);

impl tracing::Subscriber for Lines {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target().starts_with("portolan") && *metadata.level() <= tracing::Level::INFO
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        struct Line(String, String);
        impl Visit for Line {
            fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
                if field.name() == "message" {
                    write!(self.0, " {value:?}").expect("a string takes all");
                } else {
                    write!(self.1, " {}", field.name()).expect("a string takes all");
                }
            }
        }
        let metadata = event.metadata();
        let mut line = Line(format!("{} {}", metadata.level(), metadata.target()), String::new());
        event.record(&mut line);
        self.0.lock().expect("not poisoned").push(format!("{}:{}", line.0, line.1));
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

impl Lines {
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().expect("not poisoned"))
    }
}

/// Writes down the names and labels of all figures.
#[derive(Clone, Default)]
struct Figures(Arc<Mutex<BTreeSet<String>>>);

struct Taken;

impl CounterFn for Taken {
    fn increment(&self, _: u64) {}
    fn absolute(&self, _: u64) {}
}

impl GaugeFn for Taken {
    fn increment(&self, _: f64) {}
    fn decrement(&self, _: f64) {}
    fn set(&self, _: f64) {}
}

impl HistogramFn for Taken {
    fn record(&self, _: f64) {}
}

impl Figures {
    fn note(&self, kind: &str, key: &Key) {
        let labels = key.labels().map(|label| format!(" {}={}", label.key(), label.value()));
        let line = format!("{} {kind}{}", key.name(), labels.collect::<String>());
        self.0.lock().expect("not poisoned").insert(line);
    }
}

impl Recorder for Figures {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        self.note("counter", key);
        Counter::from_arc(Arc::new(Taken))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        self.note("gauge", key);
        Gauge::from_arc(Arc::new(Taken))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        self.note("histogram", key);
        Histogram::from_arc(Arc::new(Taken))
    }
}

/// The cells of a table's row.
fn rows() -> Vec<Vec<&'static str>> {
    let rows = PAGE.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| row.trim_matches('|').split(" | ").map(str::trim).collect()).collect()
}

/// Whether the page has a row for a line.
fn is_listed(line: &str) -> bool {
    rows().iter().any(|row| {
        let [target, level, begins, fields] = row.as_slice() else { return false };
        let (target, fields) = (target.trim_matches(['`', ' ']), fields.trim_end_matches('|'));
        let start = format!("{} {target} {begins}", level.to_uppercase());
        let names = line.rsplit_once(':').map_or("", |(_, names)| names);
        line.starts_with(&start)
            && names.split_whitespace().all(|name| fields.contains(&format!("`{name}`")))
    })
}

#[tokio::test(start_paused = true)]
async fn each_change_of_state_is_one_line_and_each_line_is_on_the_page() {
    let (lines, figures) = (Lines::default(), Figures::default());
    let _lines = tracing::subscriber::set_default(lines.clone());
    let _figures = metrics::set_default_local_recorder(&figures);
    let store = Embedded::new();
    let registry = Registry::builder().embedded(&store).build().expect("the defaults make sense");
    let web = registry.group("web").expect("a name");
    let directory = web.directory();
    let instance = |id: &str| {
        let instance = web.instance(id).expect("a name").endpoint("http", "10.0.0.7:80");
        instance.build().expect("an instance")
    };
    let registration = web.register(instance("a")).expect("it can be registered");
    registration.ready().await.expect("it stands");
    directory.wait_for(|seen| seen.len() == 1 && seen.is_live()).await.expect("it is seen");
    let told = lines.take();
    assert_eq!(
        told,
        [
            "INFO portolan::directory live: directory instances",
            "INFO portolan::registration registered: registration lease revision sequence",
        ]
    );

    // Others come and go: none of that is a change of state.
    let other = Registry::builder().embedded(&store).build().expect("the defaults make sense");
    let theirs = other.group("web").expect("a name");
    for id in 0..20 {
        let more = theirs.register(instance(&format!("b{id}"))).expect("it can be registered");
        more.ready().await.expect("it stands");
    }
    directory.wait_for(|seen| seen.len() == 1).await.expect("they have gone again");
    lines.take();
    assert!(other.shutdown().await);
    lines.take();

    store.stop();
    let away = registry.wait_for_status(|status| status.store_away && status.live == 0);
    tokio::time::timeout(SOON, away).await.expect("it is noticed").expect("it runs");
    let lost = registry.wait_for_status(|status| status.registered == 0);
    tokio::time::timeout(SOON, lost).await.expect("its time passes").expect("it runs");
    store.start();
    let well = registry.wait_for_status(|status| status.is_well());
    tokio::time::timeout(SOON, well).await.expect("it is healed").expect("it runs");
    let told = lines.take();
    let count = |what: &str| told.iter().filter(|line| line.contains(what)).count();
    let counts = ["store away", "answers again", "directory stale", "directory live", "lost"];
    assert_eq!(counts.map(count), [1; 5], "{told:#?}");
    assert!(registry.shutdown().await);
    let last = lines.take();
    let told: Vec<_> = told.iter().chain(&last).collect();
    assert!(told.iter().any(|line| line.contains("shut down")), "{told:#?}");
    for line in told {
        assert!(is_listed(line), "{line} is not on the page");
    }

    let figures = figures.0.lock().expect("not poisoned").clone();
    assert!(figures.len() >= 12, "{figures:#?}");
    for figure in &figures {
        let mut words = figure.split(' ');
        let (name, kind) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
        let row = rows().into_iter().find(|row| row[0].trim_matches('`') == name);
        let row = row.unwrap_or_else(|| panic!("{name} is not on the page"));
        assert_eq!(row[1], kind, "{name}");
        for label in words {
            let (key, value) = label.split_once('=').expect("a label");
            assert!(row[2].contains(&format!("`{key}`")), "{figure}");
            assert!(row[2].contains(&format!("`{value}`")), "{figure}");
        }
    }
}

/// The page lists nothing that is never told.
#[test]
fn each_row_of_the_page_is_in_the_source() {
    let source = include_str!("../../src/telemetry.rs");
    let words: String = source.split_whitespace().collect::<Vec<_>>().join(" ");
    for row in rows() {
        let name = row[0].trim_matches('`');
        assert!(words.contains(&format!("\"{name}\"")), "{name}");
        if name.contains("::") {
            assert!(words.contains(&format!("\"{}", row[2])), "{name}: {}", row[2]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn status_changes_are_told_and_end() {
    let registry = Registry::embedded().expect("the defaults make sense");
    let mut changes = registry.status_changes();
    let first = changes.next().await.expect("the present one");
    assert_eq!((first.registrations, first.closing), (0, false));
    let web = registry.group("web").expect("a name");
    let instance = web.instance("a").expect("a name").endpoint("http", "10.0.0.7:80");
    let instance = instance.build().expect("an instance");
    let registration = web.register(instance).expect("it can be registered");
    loop {
        let status = changes.next().await.expect("it goes on");
        if status.registered == 1 {
            break;
        }
    }
    registration.deregister().await.expect("it goes");
    assert!(registry.shutdown().await);
    let mut last = None;
    while let Some(status) = changes.next().await {
        last = Some(status);
    }
    assert!(last.is_some_and(|status| status.closing && status.registrations == 0));
}

/// A program that blocks its runtime for longer than a lease lives: on a thread of its own the driver
/// does not notice, else it says how late it was.
#[tokio::test]
async fn a_driver_on_its_own_thread_keeps_its_leases_while_the_program_is_busy() {
    let start = |own_thread| {
        let store = Embedded::new();
        let registry =
            Registry::builder().embedded(&store).ttl(Duration::from_secs(2)).own_thread(own_thread);
        registry.build().expect("it makes sense")
    };
    let (apart, here) = (start(true), start(false));
    let mut registrations = Vec::new();
    for registry in [&apart, &here] {
        let web = registry.group("web").expect("a name");
        let instance = web.instance("a").expect("a name").endpoint("http", "10.0.0.7:80");
        let instance = instance.build().expect("an instance");
        let registration = web.register(instance).expect("it can be registered");
        registration.ready().await.expect("it stands");
        registrations.push((registration.state(), registration));
    }
    std::thread::sleep(Duration::from_millis(3_500));
    let late = here.wait_for_status(|status| status.driver_lag >= Duration::from_secs(2));
    tokio::time::timeout(SOON, late).await.expect("it is measured").expect("it runs");
    let (before, registration) = &registrations[0];
    assert_eq!(&registration.state(), before, "the very same lease");
    assert!(apart.status().driver_lag < Duration::from_secs(1));
    drop(registrations);
    assert!(apart.shutdown().await && here.shutdown().await);
}

#[tokio::test(start_paused = true)]
async fn the_guard_names_its_rule_in_one_line() {
    let store = Embedded::new();
    let registry = || {
        let builder = Registry::builder().embedded(&store).ttl(Duration::from_secs(5));
        builder.build().expect("it makes sense")
    };
    let watcher = registry();
    let seen = watcher.group("web").expect("a name").directory();
    let mut fleet = Vec::new();
    for id in ["a", "b", "c"] {
        let process = registry();
        let web = process.group("web").expect("a name");
        let instance = web.instance(id).expect("a name").endpoint("http", "10.0.0.7:80");
        let instance = instance.build().expect("an instance");
        let registration = web.register(instance).expect("it can be registered");
        registration.ready().await.expect("it stands");
        fleet.push((process, registration));
    }
    seen.wait_for(|snapshot| snapshot.len() == 3).await.expect("all are seen");
    let lines = Lines::default();
    let _lines = tracing::subscriber::set_default(lines.clone());
    for (process, _registration) in fleet {
        process.abandon().await;
    }
    seen.wait_for(|snapshot| snapshot.is_guarded()).await.expect("they end together");
    seen.wait_for(|snapshot| !snapshot.is_guarded()).await.expect("they do not come back");
    let told = lines.take();
    let of_guard: Vec<_> = told.iter().filter(|line| line.contains(": directory group")).collect();
    assert!(
        matches!(of_guard.as_slice(), [holds, dropped, done]
            if holds.contains("the guard holds: more than half")
                && holds.ends_with("group leases_gone of within_secs")
                && dropped.contains("suspects are dropped")
                && done.contains("the guard is done")),
        "{told:#?}"
    );
    for line in of_guard {
        assert!(is_listed(line), "{line} is not on the page");
    }
}
