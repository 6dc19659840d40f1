//! A store under test: what the suite asks of it, whichever it is.

use std::time::Duration;

use portolan_core::waist::{AttemptId, Reply, Request};
use portolan_kit::Release;
use portolan_memory::Admin;

use super::model::{self, ModelStore};
use super::real::RealStore;

/// A store that can be asked, waited for, and shaken.
pub trait Store {
    /// For the reader of a failure: `etcd 3.4.23`, `model as 3.4.23`.
    fn name(&self) -> &str;
    /// Which release it is, or stands in for: `3.4.23`.
    fn release(&self) -> &str;
    /// Sends a request to the member that is asked.
    fn submit(&mut self, request: Request) -> AttemptId;
    /// Gives an attempt up.
    fn cancel(&mut self, attempt: AttemptId);
    /// The next answer, if one comes in time.
    fn poll(&mut self, within: Duration) -> Option<(AttemptId, Reply)>;
    /// The time since some moment of the past.
    fn now(&self) -> Duration;
    /// Lets time pass.
    fn wait(&mut self, span: Duration);
    /// Asks another member from now on, by its place. The first one is asked at the beginning.
    fn turn_to(&mut self, member: u16);
    /// Who leads, by its place; waited for, if nobody does.
    fn leader(&mut self) -> u16;
    /// Asks as another user from now on, with this password, or as nobody.
    fn act_as(&mut self, user: Option<(&str, &str)>);
    /// Changes users and roles, as an operator who knows [`ROOT`].
    fn administer(&mut self, admin: &Admin);
    /// Does something to the store itself.
    fn happen(&mut self, event: Happening);
}

/// What can be done to either kind of store.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Happening {
    /// The process is killed and started again with its data.
    Restart,
    /// The process is killed and started again without them.
    Wipe,
    /// The process is held, as by SIGSTOP.
    Pause,
    /// A held process goes on.
    Resume,
    /// The database fills up; needs [`Setup::small`].
    Fill,
    /// The member asked loses the others; needs [`Setup::members`].
    LoseLeader,
    /// The others are back.
    FindLeader,
    /// The process of one member is held.
    PauseMember(u16),
    /// It goes on.
    ResumeMember(u16),
    /// The process of one member is killed.
    KillMember(u16),
    /// It is started again with its data.
    StartMember(u16),
}

/// The password of the user `root`.
pub const ROOT: &str = "r00t";
/// That of every other user.
pub const PASS: &str = "pass";

/// What kind of store a case wants.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Setup {
    /// One of its own; otherwise it shares one with other cases, and has its own keys there.
    pub fresh: bool,
    /// How many members the cluster has.
    pub members: usize,
    /// How long a token is good that is not used.
    pub token_ttl: Option<Duration>,
    /// How often quiet watches are told the revision.
    pub progress: Option<Duration>,
    /// Whether the database may be full after a few megabytes.
    pub small: bool,
    /// Whether compactions take seconds, so that they can be broken off.
    pub slow_compactions: bool,
    /// Whether the client wants its member to have a leader, as it does outside these tests.
    pub require_leader: bool,
}

impl Setup {
    pub const SHARED: Self = Self {
        fresh: false,
        members: 1,
        token_ttl: None,
        progress: None,
        small: false,
        slow_compactions: false,
        require_leader: true,
    };
    pub const FRESH: Self = Self { fresh: true, ..Self::SHARED };
    pub const SMALL: Self = Self { small: true, ..Self::FRESH };
    pub const SLOW: Self = Self { slow_compactions: true, ..Self::FRESH };
    pub const CLUSTER: Self = Self { members: 3, ..Self::FRESH };
    pub const LENIENT_CLUSTER: Self = Self { require_leader: false, ..Self::CLUSTER };
    pub const SHORT_TOKENS: Self = Self { token_ttl: Some(Duration::from_secs(3)), ..Self::FRESH };
    pub const TELLING: Self = Self { progress: Some(Duration::from_secs(1)), ..Self::FRESH };
}

/// Which stores a run is about.
#[derive(Clone, Copy, Debug)]
pub enum World {
    /// The model, as this release behaves; `None`: as the newest does.
    Model(Option<&'static str>),
    /// The same behind etcd's own gRPC.
    Wire(Option<&'static str>),
    /// Real etcd.
    Real(Release),
}

impl World {
    /// A store of this kind, empty.
    pub fn store(self, setup: Setup) -> Box<dyn Store> {
        match self {
            Self::Model(release) => Box::new(ModelStore::new(release, setup)),
            Self::Wire(release) => {
                Box::new(RealStore::over_wire(model::config(release, setup), setup))
            }
            Self::Real(release) => Box::new(RealStore::start(release, setup)),
        }
    }
}
