//! The wire as it looks to whoever watches it.

use std::collections::BTreeMap;
use std::time::Duration;

use portolan_core::Time;
use portolan_core::waist::{AttemptId, MemberId, Reply, Request};
use portolan_memory::ClientId;

use super::{Link, SetOut, Up, Wire};
use crate::plan::{Cut, Way};
use crate::queue::{Happening, Queue};
use crate::trace::Run;

/// A message on its way.
#[derive(Clone, Copy, Debug)]
pub struct Travelling<'a> {
    /// Whose it is, or for whom.
    pub run: Run,
    /// The member at the other end.
    pub member: MemberId,
    /// Its connection.
    pub client: ClientId,
    /// Where it goes.
    pub way: Way,
    /// Its attempt.
    pub attempt: AttemptId,
    /// Its place among those of its attempt that go the same way, from 0.
    pub place: usize,
    /// What it carries.
    pub carries: Carried<'a>,
    /// When it set out; where it has waited at a cut, when it went on.
    pub left: Time,
    /// When it comes to the end of its way; `None` while it waits at a cut.
    pub arrives: Option<Time>,
}

/// What a message carries.
#[derive(Clone, Copy, Debug)]
pub enum Carried<'a> {
    /// A request.
    Request(&'a Request),
    /// Whoever asked does not wait any more.
    Cancel,
    /// An answer, or what a stream says.
    Reply(&'a Reply),
}

/// The link between a process and a member.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct LinkView {
    /// Its connection.
    pub client: Option<ClientId>,
    /// How it is cut.
    pub cut: Option<Cut>,
    /// Whether its connection has died, and nobody has noticed.
    pub is_dead: bool,
    /// How much longer messages travel on it.
    pub extra: Duration,
    /// How many calls it is still to lose.
    pub losing: u32,
}

impl Wire {
    /// All messages that are on their way: those that wait at cuts, then the others by the time at
    /// which they arrive.
    pub fn travelling<'a>(&'a self, queue: &Queue) -> Vec<Travelling<'a>> {
        let mut all = Vec::new();
        // An attempt's messages arrive in their order.
        let mut places: BTreeMap<_, usize> = BTreeMap::new();
        let mut place_of = |client, way, attempt| {
            let next = places.entry((client, way, attempt)).or_default();
            *next += 1;
            *next - 1
        };
        for (&client, connection) in &self.connections {
            for &(way, attempt) in &connection.held {
                let place = place_of(client, way, attempt);
                all.extend(self.message(client, way, attempt, place, None));
            }
        }
        for ((at, _), happening) in queue.iter() {
            if let &Happening::Arrive { client, way, attempt } = happening {
                let place = place_of(client, way, attempt);
                all.extend(self.message(client, way, attempt, place, Some(at)));
            }
        }
        all
    }

    fn message(
        &self,
        client: ClientId,
        way: Way,
        attempt: AttemptId,
        place: usize,
        arrives: Option<Time>,
    ) -> Option<Travelling<'_>> {
        let connection = self.connections.get(&client)?;
        let (carries, SetOut(left)) = match way {
            Way::Up => {
                let parcel = connection.up.get(&attempt)?.get(place)?;
                let carries = match &parcel.what {
                    Up::Request(_, request, _) => Carried::Request(request),
                    Up::Cancel => Carried::Cancel,
                };
                (carries, parcel.left)
            }
            Way::Down => {
                let parcel = connection.down.get(&attempt)?.get(place)?;
                (Carried::Reply(&parcel.what.0), parcel.left)
            }
        };
        let (run, member) = (connection.run, connection.member);
        Some(Travelling { run, member, client, way, attempt, place, carries, left, arrives })
    }

    /// The link between a process and a member.
    pub fn link(&self, process: u16, member: MemberId) -> LinkView {
        let Some(link) = self.links.get(&(process, member)) else { return LinkView::default() };
        let connection = link.client.and_then(|client| self.connections.get(&client));
        LinkView {
            client: link.client,
            cut: Link::cut(link),
            is_dead: connection.is_some_and(|connection| connection.dead.is_some()),
            extra: link.extra,
            losing: link.losing.iter().map(|losing| losing.count).sum(),
        }
    }
}
