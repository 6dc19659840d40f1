//! Several servers that are one store.

use std::{
    ffi::OsString,
    ops::{Index, IndexMut},
    thread,
    time::{Duration, Instant},
};

use crate::{Builder, Etcd, KitError, Release, etcdctl, process::POLL};

/// A private etcd cluster; `cluster[0]` is its first member.
#[derive(Debug)]
pub struct Cluster {
    members: Vec<Etcd>,
}

impl Cluster {
    /// Starts three members with etcd's default flags and waits until all are healthy. Flags and
    /// other sizes: [`Builder::start_cluster`].
    ///
    /// # Errors
    /// As [`Builder::start`].
    pub fn start(release: Release) -> Result<Self, KitError> {
        Builder::new(release).start_cluster(3)
    }

    pub(crate) fn of(members: Vec<Etcd>) -> Self {
        Self { members }
    }

    /// All members, down or not.
    #[must_use]
    pub fn members(&self) -> &[Etcd] {
        &self.members
    }

    /// All members, to be killed, paused, and so on.
    pub fn members_mut(&mut self) -> &mut [Etcd] {
        &mut self.members
    }

    /// The client address of each member, down or not.
    #[must_use]
    pub fn client_urls(&self) -> Vec<String> {
        self.members.iter().map(Etcd::client_url).collect()
    }

    /// The index of the member that leads, of those that are neither down nor paused. After a
    /// change this waits for the next leader.
    ///
    /// # Errors
    /// [`KitError::NoLeader`] when none of them led `within`.
    pub fn leader(&self, within: Duration) -> Result<usize, KitError> {
        let give_up_at = Instant::now() + within;
        loop {
            let mut reachable =
                self.members.iter().enumerate().filter(|(_, member)| is_reachable(member));
            if let Some((index, _)) = reachable.find(|(_, member)| leads(member)) {
                return Ok(index);
            }
            if Instant::now() >= give_up_at {
                return Err(KitError::NoLeader { within });
            }
            thread::sleep(POLL);
        }
    }

    /// Runs `etcdctl` against the members that are neither down nor paused.
    ///
    /// # Errors
    /// [`KitError::Etcdctl`] when it failed, [`KitError::Os`] when it could not be run.
    pub fn etcdctl<A: Into<OsString>>(
        &self,
        args: impl IntoIterator<Item = A>,
    ) -> Result<String, KitError> {
        let reachable = self.members.iter().filter(|member| is_reachable(member));
        let endpoints: Vec<String> = reachable.map(Etcd::client_url).collect();
        etcdctl::run(self.members[0].programs(), &endpoints.join(","), args)
    }
}

impl Index<usize> for Cluster {
    type Output = Etcd;

    fn index(&self, index: usize) -> &Etcd {
        &self.members[index]
    }
}

impl IndexMut<usize> for Cluster {
    fn index_mut(&mut self, index: usize) -> &mut Etcd {
        &mut self.members[index]
    }
}

fn is_reachable(member: &Etcd) -> bool {
    member.pid().is_some() && !member.is_paused()
}

/// Whether the member says of itself that it leads; no answer is a no.
fn leads(member: &Etcd) -> bool {
    let Ok(text) = member.etcdctl(["endpoint", "status", "--write-out=json"]) else { return false };
    let Ok(answer) = serde_json::from_str::<serde_json::Value>(&text) else { return false };
    let status = &answer[0]["Status"];
    let leader = status["leader"].as_u64();
    leader.is_some() && leader == status["header"]["member_id"].as_u64()
}
