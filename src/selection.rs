use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use portolan_core::engine::Record;
use portolan_core::selector::Selector;

use crate::directory::Directory;

/// Those instances of a [`Directory`] that fit a [`Selector`], whichever they are at the time: what
/// [`Directory::select`] gives. Cheap to clone; clones share one turn.
#[derive(Clone)]
pub struct Selection {
    directory: Directory,
    shared: Arc<Shared>,
}

struct Shared {
    selector: Selector,
    /// Where the next pick begins. Of its own: in a turn shared with others, what these pass by would
    /// decide which of ours come next, and some might never.
    cursor: AtomicU64,
}

impl Selection {
    pub(crate) fn new(directory: Directory, selector: Selector, start: u64) -> Self {
        Self { directory, shared: Arc::new(Shared { selector, cursor: AtomicU64::new(start) }) }
    }

    /// The next instance to call: all that are ready and fit, in turn, as by [`Directory::pick`].
    /// `None` if there is none. Takes no lock and never waits. Each instance that is ready and does not
    /// fit costs what [`Selector::matches`] does.
    pub fn pick(&self) -> Option<Arc<Record>> {
        let Shared { selector, cursor } = &*self.shared;
        self.directory.pick_next(cursor, |instance| selector.matches(instance))
    }

    /// What they fit.
    pub fn selector(&self) -> &Selector {
        &self.shared.selector
    }

    /// The directory that they are of.
    pub fn directory(&self) -> &Directory {
        &self.directory
    }
}

impl fmt::Debug for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} where {:?}", self.directory, self.shared.selector.to_string())
    }
}
