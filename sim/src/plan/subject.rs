//! What is tried in the processes of a world.

use serde::{Deserialize, Serialize};

/// What is tried in one process.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SubjectKind {
    /// The engine that production runs.
    #[default]
    Engine,
    /// A client as another fleet has it.
    Naive(Fleet),
}

/// A fleet whose client's algorithm is tried in the engine's place.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fleet {
    /// go-kit's `sd/etcdv3`.
    GoKit,
    /// etcd's `naming` package, registered as etcd's proxy does.
    EtcdNaming,
    /// LumeWeb's `etcd-registry`.
    Lumeweb,
    /// Scalingo's `etcd-discovery`.
    Scalingo,
    /// ligato's `cn-infra`.
    Ligato,
}

impl Fleet {
    /// All of them.
    pub const ALL: &[Self] =
        &[Self::GoKit, Self::EtcdNaming, Self::Lumeweb, Self::Scalingo, Self::Ligato];
}

/// What is tried in each process, by its number; in those beyond the list, the engine.
#[derive(Clone, Debug, Default, Eq, PartialEq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Subjects(pub Vec<SubjectKind>);

impl Subjects {
    /// What is tried in a process.
    pub fn of(&self, process: u16) -> SubjectKind {
        self.0.get(usize::from(process)).copied().unwrap_or_default()
    }

    /// Whether there are engines only.
    pub fn are_engines(&self) -> bool {
        self.0.iter().all(|&kind| kind == SubjectKind::Engine)
    }

    /// Whether one of them writes records again and again in which nothing has changed.
    pub fn rewrite(&self) -> bool {
        self.0.iter().any(|&kind| match kind {
            SubjectKind::Engine => false,
            SubjectKind::Naive(fleet) => fleet.rewrites(),
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
