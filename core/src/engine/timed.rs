//! Machines by their numbers, and when each next has something to do by itself: of a thousand, an
//! input asks the one that it is for, and a timer those that are due.

use std::collections::{BTreeMap, BTreeSet};

use super::follow::Follow;
use super::mirror::Mirror;
use crate::time::Time;

/// What has timers of its own.
pub(super) trait Timer {
    /// When the next one is due.
    fn next_timeout(&self) -> Option<Time>;
}

/// Machines by their numbers. They are reached only so that their timers are looked at afterwards.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub(super) struct Timed<K, M> {
    /// Each with its place among the timers.
    machines: BTreeMap<K, (M, Option<Time>)>,
    timers: BTreeSet<(Time, K)>,
}

impl<K: Copy + Ord, M: Timer> Timed<K, M> {
    pub fn new() -> Self {
        Self { machines: BTreeMap::new(), timers: BTreeSet::new() }
    }

    pub fn insert(&mut self, id: K, machine: M) {
        self.remove(id);
        let due = machine.next_timeout();
        self.timers.extend(due.map(|due| (due, id)));
        self.machines.insert(id, (machine, due));
    }

    pub fn remove(&mut self, id: K) -> Option<M> {
        let (machine, due) = self.machines.remove(&id)?;
        if let Some(due) = due {
            self.timers.remove(&(due, id));
        }
        Some(machine)
    }

    pub fn get(&self, id: K) -> Option<&M> {
        self.machines.get(&id).map(|(machine, _)| machine)
    }

    /// Does something to a machine, if there is one with that number.
    pub fn on(&mut self, id: K, act: impl FnOnce(&mut M)) {
        let Some((machine, before)) = self.machines.get_mut(&id) else { return };
        act(machine);
        let due = machine.next_timeout();
        let before = std::mem::replace(before, due);
        if before == due {
            return;
        }
        if let Some(before) = before {
            self.timers.remove(&(before, id));
        }
        self.timers.extend(due.map(|due| (due, id)));
    }

    /// Does something to all of them, by number.
    pub fn each(&mut self, mut act: impl FnMut(&mut M)) {
        for id in self.machines.keys().copied().collect::<Vec<_>>() {
            self.on(id, &mut act);
        }
    }

    /// Those with a timer that is due, by number.
    pub fn due(&self, now: Time) -> Vec<K> {
        let due = self.timers.iter().take_while(|&&(at, _)| at <= now);
        let mut due: Vec<_> = due.map(|&(_, id)| id).collect();
        due.sort_unstable();
        due
    }

    pub fn next_timeout(&self) -> Option<Time> {
        self.timers.first().map(|&(at, _)| at)
    }

    pub fn clear(&mut self) {
        self.machines.clear();
        self.timers.clear();
    }
}

impl Timer for Mirror {
    fn next_timeout(&self) -> Option<Time> {
        self.next_timeout()
    }
}

impl Timer for Follow {
    fn next_timeout(&self) -> Option<Time> {
        self.next_timeout()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Timer for u64 {
        fn next_timeout(&self) -> Option<Time> {
            (*self > 0).then(|| Time::from_secs(*self))
        }
    }

    #[test]
    fn timers_are_those_of_the_machines() {
        let mut timed = Timed::new();
        assert_eq!((timed.next_timeout(), timed.due(Time::NEVER)), (None, vec![]));
        for (id, due) in [(3, 5), (1, 9), (2, 0), (1, 7)] {
            timed.insert(id, due);
        }
        assert_eq!(timed.next_timeout(), Some(Time::from_secs(5)));
        assert_eq!(timed.due(Time::from_secs(6)), [3]);
        assert_eq!(timed.due(Time::from_secs(9)), [1, 3], "by number");
        timed.on(3, |due| *due = 0);
        timed.on(4, |due: &mut u64| *due = 1);
        assert_eq!(timed.next_timeout(), Some(Time::from_secs(7)));
        timed.each(|due| *due += 1);
        assert_eq!(timed.due(Time::from_secs(8)), [1, 2, 3]);
        assert_eq!(timed.get(1), Some(&8));
        assert_eq!((timed.remove(1), timed.remove(1)), (Some(8), None));
        assert_eq!(timed.due(Time::NEVER), [2, 3]);
        timed.clear();
        assert_eq!((timed.next_timeout(), timed.get(2)), (None, None));
    }
}
