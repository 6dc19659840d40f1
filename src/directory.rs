use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_core::Stream;
use portolan_core::engine::{
    Change, Command, Content, DirectoryId, Freshness, Record, Snapshot as Content_, Suspect,
};
use portolan_core::instance::{Data, Instance, State};
use portolan_core::layout::BadRecord;
use portolan_core::map::Map;
use portolan_core::picker::{Either, round_robin, round_robin_both};
use portolan_core::selector::Selector;
use portolan_core::time::Time;
use portolan_core::waist::{Key, Revision};
use tokio::sync::watch;

use crate::error::Unavailable;
use crate::registry::Registry;
use crate::selection::Selection;

/// A live copy of a group, as this process sees it. Cheap to clone.
///
/// It is always the store's content at some revision, never goes back within an epoch, and says
/// how fresh it is. An error never changes it.
///
/// What vanishes together with most of its group is kept apart for a while and goes on being
/// picked, since the store may have lost it, and not the world: see [`Snapshot::suspects`].
#[derive(Clone)]
pub struct Directory {
    state: Arc<DirectoryState>,
}

/// What all handles of one directory share; dropping the last closes it.
pub(crate) struct DirectoryState {
    registry: Registry,
    pub id: DirectoryId,
    pub view: Arc<View>,
    /// Where the next pick begins.
    cursor: AtomicU64,
    /// Counts the selections, so that they begin at different places.
    selections: AtomicU64,
}

/// Where the driver puts snapshots, and readers find them.
pub(crate) struct View {
    now: ArcSwap<Content_>,
    /// Counts the snapshots, up to [`CLOSED`].
    count: watch::Sender<u64>,
}

/// The whole of a directory at one revision. Cheap to clone: content is shared.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Snapshot {
    content: Arc<Content_>,
}

/// The differences of a directory, as far as its reader has come.
///
/// A reader that keeps up gets each step; one that is late gets the steps since its last one
/// folded into one. Nothing is queued for it, and it holds up nobody.
pub struct Changes {
    directory: Directory,
    count: watch::Receiver<u64>,
    seen: Snapshot,
    /// Waits for the next snapshot, when used as a stream.
    waiting: Option<Waiting>,
}

type Waiting = Pin<Box<dyn Future<Output = Option<watch::Receiver<u64>>> + Send>>;

/// From one snapshot to a later one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Difference {
    /// What changed, in the order of keys; empty when only the freshness did, or what the guard
    /// keeps. What was removed may be among the suspects of the snapshot.
    pub changes: Vec<Change>,
    /// Whether the store turned out to be another one, or to have lost what it had.
    pub new_epoch: bool,
    /// The content after it.
    pub snapshot: Snapshot,
}

impl Directory {
    pub(crate) fn new(state: Arc<DirectoryState>) -> Self {
        Self { state }
    }

    /// The present content. Takes no lock, never waits, copies nothing.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot { content: self.state.view.now.load_full() }
    }

    /// Runs `read` on the present content without taking shared ownership of it: the fastest way.
    pub fn with<T>(&self, read: impl FnOnce(&Map<Key, Arc<Record>>) -> T) -> T {
        read(&self.state.view.now.load().records)
    }

    /// The next instance to call: all that are ready in turn, suspects among them, shared by every
    /// handle of this directory. `None` if none is ready. Takes no lock, never waits, allocates nothing.
    pub fn pick(&self) -> Option<Arc<Record>> {
        self.pick_next(&self.state.cursor, |_| true)
    }

    /// Those of its instances that fit a selector, to be picked from in a turn of their own. Keep it:
    /// each call begins another turn, at another place.
    ///
    /// ```
    /// # #[cfg(feature = "memory")]
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let registry = portolan::Registry::embedded()?;
    /// # let web = registry.group("web")?;
    /// let nearby = web.directory().select("zone=eu, @version>=1.2".parse()?);
    /// // For each call:
    /// if let Some(record) = nearby.pick() {
    ///     println!("{:?}", record.instance().and_then(|instance| instance.endpoint("http")));
    /// }
    /// # Ok(())
    /// # }
    /// # #[cfg(not(feature = "memory"))]
    /// # fn main() {}
    /// ```
    pub fn select(&self, selector: Selector) -> Selection {
        let start = self.state.selections.fetch_add(1, Relaxed);
        Selection::new(self.clone(), selector, start)
    }

    /// The next instance that is ready and fits, of a turn that begins at the cursor.
    pub(crate) fn pick_next(
        &self,
        cursor: &AtomicU64,
        fits: impl Fn(&Instance) -> bool,
    ) -> Option<Arc<Record>> {
        let content = self.state.view.now.load();
        let start = cursor.load(Relaxed);
        let ready = |record: &Arc<Record>| match &record.content {
            Content::Instance(instance) => instance.state() == State::Ready && fits(instance),
            Content::Config(_) => false,
        };
        let (record, next) = if content.suspects.is_empty() {
            let pick = round_robin(&content.records, start, ready)?;
            (pick.value, pick.next)
        } else {
            let suspect = |suspect: &Arc<Suspect>| ready(&suspect.record);
            let (records, suspects) = (&content.records, &content.suspects);
            match round_robin_both(records, suspects, start, ready, suspect)? {
                Either::First(pick) => (pick.value, pick.next),
                Either::Second(pick) => (&pick.value.record, pick.next),
            }
        };
        cursor.store(next, Relaxed);
        Some(record.clone())
    }

    /// Says that this instance refused a connection or did not answer. If it is a suspect, it is
    /// gone indeed, and is kept no more; of an instance that the store has, the store decides.
    /// Takes effect soon after, for every handle of this directory.
    pub fn refused(&self, instance: &Instance) {
        let registry = &self.state.registry;
        let keys = registry.layout().instance_keys(&instance.group_name(), &instance.instance_id());
        for key in keys.unwrap_or_default() {
            registry.command(Command::Refused { id: self.state.id, key });
        }
    }

    /// How long ago the store last vouched for what [`snapshot`](Self::snapshot) shows: zero while
    /// that is live, `None` before the first list.
    pub fn age(&self) -> Option<Duration> {
        match self.state.view.now.load().freshness {
            Freshness::Unsynced => None,
            Freshness::Live => Some(Duration::ZERO),
            Freshness::Stale { since } => {
                Some(self.state.registry.uptime().saturating_sub(since.since(Time::ZERO)))
            }
        }
    }

    /// Waits until the directory was listed for the first time. Cancel safe.
    ///
    /// # Errors
    /// The registry was shut down before.
    pub async fn ready(&self) -> Result<Snapshot, Unavailable> {
        self.wait_for(Snapshot::is_synced).await
    }

    /// Waits for content that fits. Late readers see the newest only. Cancel safe.
    ///
    /// # Errors
    /// The registry was shut down before.
    pub async fn wait_for(
        &self,
        mut fits: impl FnMut(&Snapshot) -> bool,
    ) -> Result<Snapshot, Unavailable> {
        let mut count = self.state.view.count.subscribe();
        loop {
            count.mark_unchanged();
            let snapshot = self.snapshot();
            if fits(&snapshot) {
                return Ok(snapshot);
            }
            if self.state.view.is_closed() {
                return Err(Unavailable::Closed);
            }
            count.changed().await.map_err(|_| Unavailable::Closed)?;
        }
    }

    /// The differences from now on; the first one holds everything that is there now.
    pub fn changes(&self) -> Changes {
        Changes {
            directory: self.clone(),
            count: self.state.view.count.subscribe(),
            seen: Snapshot { content: Arc::new(nothing()) },
            waiting: None,
        }
    }
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Directory({})", self.state.view.now.load())
    }
}

impl DirectoryState {
    pub fn new(registry: Registry, id: DirectoryId) -> Self {
        let [cursor, selections] = [const { AtomicU64::new(0) }; 2];
        Self { registry, id, view: Arc::new(View::new()), cursor, selections }
    }
}

impl Drop for DirectoryState {
    fn drop(&mut self) {
        self.registry.command(Command::Close { id: self.id });
    }
}

/// What the count stands at once nothing more will come.
const CLOSED: u64 = u64::MAX;

impl View {
    fn new() -> Self {
        Self { now: ArcSwap::from_pointee(nothing()), count: watch::Sender::new(0) }
    }

    pub fn show(&self, content: Content_) {
        self.now.store(Arc::new(content));
        self.count.send_modify(|count| *count += 1);
    }

    /// Nothing more will come: from `now` on nobody vouches for what is there.
    pub fn close(&self, now: Time) {
        let content = self.now.load_full();
        if content.freshness == Freshness::Live {
            let freshness = Freshness::Stale { since: now };
            self.now.store(Arc::new(Content_ { freshness, ..Content_::clone(&content) }));
        }
        self.count.send_replace(CLOSED);
    }

    fn is_closed(&self) -> bool {
        *self.count.borrow() == CLOSED
    }
}

fn nothing() -> Content_ {
    Content_ {
        epoch: 0,
        revision: Revision::ZERO,
        freshness: Freshness::Unsynced,
        records: Map::new(),
        bad: Map::new(),
        suspects: Map::new(),
        guarded: false,
    }
}

impl Snapshot {
    /// The store's revision that this is the content of; 0 before the first list.
    pub fn revision(&self) -> Revision {
        self.content.revision
    }

    /// Counts the histories seen; revisions compare within one epoch only.
    pub fn epoch(&self) -> u32 {
        self.content.epoch
    }

    /// How far it can be trusted.
    pub fn freshness(&self) -> Freshness {
        self.content.freshness
    }

    /// Whether it was listed at all; an empty one that was not means nothing.
    pub fn is_synced(&self) -> bool {
        self.content.freshness != Freshness::Unsynced
    }

    /// Whether the store confirmed it lately.
    pub fn is_live(&self) -> bool {
        self.content.freshness == Freshness::Live
    }

    /// How many readable records there are.
    pub fn len(&self) -> usize {
        self.content.records.len()
    }

    /// Whether there is no readable record.
    pub fn is_empty(&self) -> bool {
        self.content.records.is_empty()
    }

    /// The instances, in the order of their keys.
    pub fn instances(&self) -> impl Iterator<Item = &Instance> {
        self.content.records.values().filter_map(|record| match &record.content {
            Content::Instance(instance) => Some(instance),
            Content::Config(_) => None,
        })
    }

    /// The [`instances`](Self::instances) that fit a selector, in whatever state, in the order of
    /// their keys. Suspects are not among them, though [`Selection::pick`] picks those too.
    pub fn select<'s>(&'s self, selector: &Selector) -> impl Iterator<Item = &'s Instance> {
        self.instances().filter(|instance| selector.matches(instance))
    }

    /// An instance by its id. Looks through all of them.
    pub fn instance(&self, id: &str) -> Option<&Instance> {
        self.instances().find(|instance| instance.id() == id)
    }

    /// The first configuration, in a directory of one group's configuration the only one.
    pub fn config(&self) -> Option<&Data> {
        self.content.records.values().find_map(|record| match &record.content {
            Content::Config(config) => Some(config.data()),
            Content::Instance(_) => None,
        })
    }

    /// The readable records with all that etcd says of them, by key.
    pub fn records(&self) -> &Map<Key, Arc<Record>> {
        &self.content.records
    }

    /// Instances that the store does not have any more, by key, and that an outage may have taken
    /// away: at least three leases of their group ended within one time to live, and more than half
    /// of all it had. They are in neither [`records`](Self::records) nor
    /// [`instances`](Self::instances), and leave when they are back there, when they are
    /// [refused](Directory::refused), when the store says that they were removed on purpose, or
    /// after five minutes.
    pub fn suspects(&self) -> &Map<Key, Arc<Suspect>> {
        &self.content.suspects
    }

    /// Whether there are suspects that the guard has found to be lost to an outage. Those that it
    /// still asks the store about do not count.
    pub fn is_guarded(&self) -> bool {
        self.content.guarded
    }

    /// The records that should be readable and are not, and why.
    pub fn unreadable(&self) -> impl ExactSizeIterator<Item = (&Key, &BadRecord)> {
        self.content.bad.iter().map(|(key, unread)| (key, &unread.bad))
    }
}

impl Changes {
    /// Waits for the next difference; `None` when the registry was shut down and everything up to
    /// then was told. Cancel safe.
    pub async fn next(&mut self) -> Option<Difference> {
        loop {
            if let Some(news) = self.news() {
                return news;
            }
            self.count.changed().await.ok()?;
        }
    }

    /// What the reader was last shown.
    pub fn seen(&self) -> &Snapshot {
        &self.seen
    }

    /// What there is to tell without waiting: a difference, or that no more will come.
    fn news(&mut self) -> Option<Option<Difference>> {
        self.count.mark_unchanged();
        // Asked first: what is shown before the end must not be taken for told.
        let closed = self.directory.state.view.is_closed();
        match self.difference() {
            None if !closed => None,
            news => Some(news),
        }
    }

    /// The way from what was seen to what is there; `None`: nothing is new.
    fn difference(&mut self) -> Option<Difference> {
        let snapshot = self.directory.snapshot();
        let (old, new) = (&self.seen.content, &snapshot.content);
        if old == new {
            return None;
        }
        let changes = old.changes_to(new);
        let new_epoch = old.revision != Revision::ZERO && old.epoch != new.epoch;
        self.seen = snapshot.clone();
        Some(Difference { changes, new_epoch, snapshot })
    }
}

/// Never ends on errors; ends when the registry was shut down.
impl Stream for Changes {
    type Item = Difference;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Difference>> {
        loop {
            let this = &mut *self;
            if this.waiting.is_none()
                && let Some(news) = this.news()
            {
                return Poll::Ready(news);
            }
            let waiting = this.waiting.get_or_insert_with(|| {
                let mut count = this.count.clone();
                Box::pin(async move { count.changed().await.ok().map(|()| count) })
            });
            let count = std::task::ready!(waiting.as_mut().poll(cx));
            this.waiting = None;
            let Some(count) = count else { return Poll::Ready(None) };
            this.count = count;
        }
    }
}

impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changes").field("seen", &self.seen.content.revision).finish_non_exhaustive()
    }
}
