//! What happens to links and to the connections over them, and how that ends.

use std::time::Duration;

use portolan_core::Time;
use portolan_core::waist::MemberId;
use portolan_memory::ClientId;

use super::{Connection, Losing, Wire, connection_lost};
use crate::plan::{Cut, Kind, Way};
use crate::queue::{Happening, Queue};
use crate::trace::Run;

impl Wire {
    pub fn cut(&mut self, now: Time, queue: &mut Queue, end: (u16, MemberId), cut: Cut) {
        let silence = self.next_silence();
        let link = self.links.entry(end).or_default();
        link.cut_up |= matches!(cut, Cut::Up | Cut::Both);
        link.cut_down |= matches!(cut, Cut::Down | Cut::Both);
        if link.silence == 0 {
            link.silence = silence;
        }
        self.expect_silence(now, queue, end);
    }

    pub fn heal(&mut self, now: Time, queue: &mut Queue, end: (u16, MemberId)) {
        let Some(link) = self.links.get_mut(&end) else { return };
        (link.cut_up, link.cut_down, link.silence) = (false, false, 0);
        let clients: Vec<_> = self
            .connections
            .iter()
            .filter(|(_, connection)| (connection.run.process, connection.member) == end)
            .map(|(&client, _)| client)
            .collect();
        for client in clients {
            let Some(connection) = self.connections.get_mut(&client) else { continue };
            connection.established = true;
            for (way, attempt) in std::mem::take(&mut connection.held) {
                if let Some(connection) = self.connections.get_mut(&client) {
                    connection.goes_on(now, way, attempt);
                }
                self.put(now, queue, client, way, attempt);
            }
        }
    }

    /// Breaks a link's connection so that both ends notice.
    pub fn reset(&mut self, now: Time, queue: &mut Queue, end: (u16, MemberId)) {
        if let Some(client) = self.links.get(&end).and_then(|link| link.client) {
            self.close(now, queue, client, Some(&connection_lost("reset by peer")));
        }
    }

    /// Breaks a link's connection so that neither end notices.
    pub fn blackhole(&mut self, now: Time, queue: &mut Queue, end: (u16, MemberId)) {
        let silence = self.next_silence();
        let Some(client) = self.links.get(&end).and_then(|link| link.client) else { return };
        let Some(connection) = self.connections.get_mut(&client) else { return };
        if connection.dead.is_none() {
            connection.dead = Some(silence);
            let at = now + Duration::from_millis(self.setup.detect_ms);
            queue.push(at, Happening::Detect { client, silence });
        }
    }

    pub fn lose(
        &mut self,
        end: (u16, MemberId),
        (way, of): (Way, Option<Kind>),
        count: u32,
        told: bool,
    ) {
        let losing = Losing { way, of, count, told };
        self.links.entry(end).or_default().losing.push(losing);
    }

    pub fn slow(&mut self, end: (u16, MemberId), extra: Duration) {
        self.links.entry(end).or_default().extra = extra;
    }

    /// A process has ended: its connections go with it.
    pub fn crash(&mut self, now: Time, queue: &mut Queue, run: Run) {
        for client in self.clients_of(run) {
            self.close(now, queue, client, None);
        }
    }

    /// A member's process has ended: so do all its connections. What was under way to it is lost;
    /// what it had said may still arrive. Returns the clients that it does not know any more.
    pub fn member_ended(
        &mut self,
        now: Time,
        queue: &mut Queue,
        member: MemberId,
    ) -> Vec<ClientId> {
        self.held.remove(&member);
        let theirs = |(_, connection): &(&ClientId, &Connection)| connection.member == member;
        let clients: Vec<_> =
            self.connections.iter().filter(theirs).map(|(&client, _)| client).collect();
        for &client in &clients {
            let Some(connection) = self.connections.get_mut(&client) else { continue };
            if connection.established {
                connection.up.clear();
            }
            if !connection.open {
                self.connections.remove(&client);
                continue;
            }
            // Behind a cut nobody notices yet.
            let end = (connection.run.process, connection.member);
            let cut = self.links.get(&end).is_some_and(|link| link.cut_down);
            if !cut && connection.dead.is_none() && connection.established {
                let error = connection_lost("the store has closed it");
                self.close(now, queue, client, Some(&error));
            } else if connection.established && connection.dead.is_none() {
                let silence = self.links[&end].silence;
                self.connections.get_mut(&client).expect("it is there").dead = Some(silence);
            }
        }
        clients
    }

    /// A member's process is held, and says nothing more.
    pub fn member_held(&mut self, now: Time, queue: &mut Queue, member: MemberId) {
        let silence = self.next_silence();
        self.held.insert(member, silence);
        let ends: Vec<_> = self.links.keys().copied().filter(|end| end.1 == member).collect();
        for end in ends {
            self.expect_silence(now, queue, end);
        }
    }

    /// A held member goes on.
    pub fn member_goes_on(&mut self, member: MemberId) {
        self.held.remove(&member);
    }

    /// Ends every fault of the wire, but for these processes.
    pub fn heal_all(&mut self, now: Time, queue: &mut Queue, left: &[u16]) {
        let ends: Vec<_> = self.links.keys().copied().collect();
        for end in ends.into_iter().filter(|(process, _)| !left.contains(process)) {
            self.heal(now, queue, end);
            let link = self.links.entry(end).or_default();
            link.losing.clear();
            link.extra = Duration::ZERO;
        }
    }
}
