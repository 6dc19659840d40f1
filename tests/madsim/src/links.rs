//! What of the network the bridge has to know: madsim refuses a connection over a cut link at once, as
//! if nobody listened, where in life nobody answers.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What is cut, and who is down.
#[derive(Debug, Default)]
pub struct Links(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    cut: BTreeSet<(u16, u16)>,
    down: BTreeSet<u16>,
}

impl Links {
    /// Whether a process's way to a member is cut, or the way back.
    pub fn is_cut(&self, process: u16, member: u16) -> bool {
        self.lock().cut.contains(&(process, member))
    }

    /// Whether a member's host is down.
    pub fn is_down(&self, member: u16) -> bool {
        self.lock().down.contains(&member)
    }

    /// Cuts a link, or heals it.
    pub fn set_cut(&self, process: u16, member: u16, cut: bool) {
        let mut state = self.lock();
        if cut {
            state.cut.insert((process, member));
        } else {
            state.cut.remove(&(process, member));
        }
    }

    /// A member's host goes down, or up. Whether it was otherwise before.
    pub fn set_down(&self, member: u16, down: bool) -> bool {
        let mut state = self.lock();
        if down { state.down.insert(member) } else { state.down.remove(&member) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
