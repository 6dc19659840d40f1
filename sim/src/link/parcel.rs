//! Messages on their way, in the order of each attempt.

use std::collections::{BTreeMap, VecDeque};
use std::hash::{Hash, Hasher};

use portolan_core::Time;
use portolan_core::waist::AttemptId;

/// Of each attempt what is on one way, in its order.
pub(super) type Flows<T> = BTreeMap<AttemptId, VecDeque<Parcel<T>>>;

/// A message on its way.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub(super) struct Parcel<T> {
    pub(super) what: T,
    pub(super) left: SetOut,
}

/// When a message set out, or went on: for those who look at it. Nothing depends on it, so that worlds
/// in which only this differs are the same.
#[derive(Clone, Copy, Debug)]
pub(super) struct SetOut(pub(super) Time);

impl Eq for SetOut {}

impl PartialEq for SetOut {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Hash for SetOut {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

/// An attempt's messages on one way. There is seldom more than one.
pub(super) fn flow<T>(flows: &mut Flows<T>, attempt: AttemptId) -> &mut VecDeque<Parcel<T>> {
    flows.entry(attempt).or_insert_with(|| VecDeque::with_capacity(1))
}

pub(super) fn pop<T>(flows: &mut Flows<T>, attempt: AttemptId) -> Option<T> {
    let flow = flows.get_mut(&attempt)?;
    let message = flow.pop_front();
    if flow.is_empty() {
        flows.remove(&attempt);
    }
    message.map(|parcel| parcel.what)
}
