//! Any bytes to the wire server: calls to its services with any path, metadata and body, and
//! connections over which anything comes.
//!
//! Whatever that is, nothing panics, every call has an end in gRPC's words, somebody else beside is
//! served as ever, and nothing is kept of whoever has left.

mod asked;
mod call;
mod connection;
mod seeds;
mod seldom;

use std::cell::Cell;
use std::panic;
use std::sync::Once;
use std::time::Duration;

use portolan_core::waist::KeyRange;
use portolan_memory::{Access, Admin, Credentials, Limits, Password, Permission};
use portolan_wire::{Config, Etcd, Served};
use prost::Message;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tonic::codegen::http::Request;
use tonic::service::Routes;

use crate::tape::Tape;
use asked::{Asked, Login, Nested, Op, Operation, Put, Range, Txn};
use call::{Answer, Call, Found, Frame, LoggedIn, Open, Then, Told};
use connection::{Connection, Sent};

pub use seeds::seeds;

/// No scene has more steps.
const MOST_STEPS: usize = 30;

/// No raw scene has more bytes, and they come in pieces of this many.
const MOST_BYTES: usize = 64 << 10;
const PIECE: usize = 512;

/// How long a call may take once its client has said all.
const PATIENCE: Duration = Duration::from_secs(60);

/// What an etcd is like.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Scene {
    /// How many more members than one.
    more_members: u8,
    /// Whether requests need a user.
    users: bool,
    /// Whether little is kept, and told at a time.
    little: bool,
    /// Whether all that follows goes over a connection, as it is.
    raw: bool,
}

/// What is done to it.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Step {
    Call(Call),
    /// A call goes on.
    Say(u8, Frame),
    Then(u8, Then),
    /// A call is given up.
    Drop(u8),
    /// Time passes, in milliseconds.
    Wait(u16),
    /// A client connects, and whoever was connected leaves.
    Connect(u8),
    /// Something is sent over the connection.
    Send(Vec<Sent>),
}

/// Hands bytes to a wire server.
///
/// # Panics
/// It did not hold.
pub fn run(input: &[u8]) {
    play(input);
}

/// What came of a scene.
#[derive(Debug, Default)]
struct Played {
    /// The answers to its calls, with their paths, in the order in which they ended.
    answers: Vec<(String, Answer)>,
    served: Vec<Served>,
}

thread_local! {
    static PANICS: Cell<u64> = const { Cell::new(0) };
}

/// Counts panics: of a task that nobody waits for nobody hears otherwise.
fn count_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let tell = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            PANICS.set(PANICS.get() + 1);
            tell(info);
        }));
    });
}

fn play(input: &[u8]) -> Played {
    without_panics(scene(input))
}

/// Comes to its end in time of its own, which passes only when nothing else is to be done.
fn without_panics<T>(doing: impl Future<Output = T>) -> T {
    count_panics();
    let before = PANICS.get();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime needs nothing");
    let done = runtime.block_on(doing);
    drop(runtime);
    assert_eq!(PANICS.get(), before, "a task has panicked");
    done
}

async fn scene(input: &[u8]) -> Played {
    let mut tape = Tape::new(input);
    let Some(scene) = tape.read::<Scene>() else { return Played::default() };
    let mut stage = Stage::new(&scene, fingerprint(input)).await;
    if scene.raw {
        let rest = tape.rest();
        let mut connection = Connection::new(&stage.etcd);
        for piece in rest[..rest.len().min(MOST_BYTES)].chunks(PIECE) {
            connection.send(piece).await;
            stage.settle().await;
        }
        stage.connection = Some(connection);
    } else {
        for _ in 0..MOST_STEPS {
            if tape.is_over() {
                break;
            }
            if let Some(step) = tape.read::<Step>() {
                stage.step(step).await;
                stage.settle().await;
            }
        }
    }
    stage.end().await
}

/// Of the very input: so no input holds a token or a password of the scene's that it is not told.
fn fingerprint(input: &[u8]) -> u64 {
    input.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// An etcd, and who is there.
struct Stage {
    etcd: Etcd,
    /// Of each member, with etcd's own id of it.
    members: Vec<(u64, Routes)>,
    ticking: JoinHandle<()>,
    /// That of `root`, if requests need a user.
    password: Option<String>,
    /// That of `root`, since it has logged in.
    token: Option<String>,
    issued: Vec<String>,
    open: Vec<(usize, Open)>,
    connection: Option<Connection>,
    turn: usize,
    played: Played,
}

impl Stage {
    async fn new(scene: &Scene, chance: u64) -> Self {
        let mut config = Config::default().members(1 + u16::from(scene.more_members % 3));
        (config.keep_log, config.seed) = (false, chance);
        if scene.little {
            config.limits = Limits {
                stream_bytes: Some(512),
                quota_bytes: Some(64 << 10),
                history_bytes: Some(8 << 10),
            };
            config.fragment_bytes = Some(128);
        }
        let ids: Vec<u64> = config.member_ids().collect();
        let etcd = Etcd::untimed(config);
        let routes =
            |place| etcd.member(place).expect("it is one of its members").routes().prepare();
        let members = (0..).zip(ids).map(|(place, id)| (id, routes(place))).collect();
        let password = format!("{chance:016x}");
        if scene.users {
            add_users(&etcd, &password);
        }
        let mut stage = Self {
            ticking: tokio::spawn(etcd.let_time_pass()),
            etcd,
            members,
            password: scene.users.then_some(password),
            token: None,
            issued: Vec::new(),
            open: Vec::new(),
            connection: None,
            turn: 0,
            played: Played::default(),
        };
        if scene.users {
            let token = stage.log_in("a", "b").await;
            stage.issued.push(token);
        }
        stage
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Call(call) => {
                let member = usize::from(call.member) % self.members.len();
                let routes = &self.members[member].1;
                let open = Open::new(&call, routes, &self.issued);
                self.open.extend(open.map(|open| (member, open)));
            }
            Step::Say(place, frame) => {
                if let Some((_, open)) = self.named(place) {
                    open.say(&frame);
                }
            }
            Step::Then(place, then) => {
                let issued = self.issued.clone();
                if let Some((_, open)) = self.named(place) {
                    open.then(&then, &issued);
                }
            }
            Step::Drop(place) => {
                if !self.open.is_empty() {
                    self.open.remove(usize::from(place) % self.open.len());
                }
            }
            Step::Wait(millis) => sleep(Duration::from_millis(millis.into())).await,
            Step::Connect(member) => {
                self.leave().await;
                let member = u16::from(member) % self.members.len() as u16;
                self.connection = self.etcd.member(member).as_ref().map(Connection::new);
            }
            Step::Send(all) => {
                let bytes: Vec<u8> = all.iter().flat_map(|sent| sent.bytes(&self.issued)).collect();
                if self.connection.is_none() {
                    self.connection = Some(Connection::new(&self.etcd));
                }
                if let Some(connection) = &mut self.connection {
                    connection.send(&bytes).await;
                }
            }
        }
    }

    /// The call of this place, the last one being the first.
    fn named(&mut self, place: u8) -> Option<&mut (usize, Open)> {
        let count = self.open.len();
        let place = usize::from(place).checked_rem(count)?;
        self.open.get_mut(count - 1 - place)
    }

    /// All that can go on does so; then somebody else asks.
    async fn settle(&mut self) {
        // Time passes only when nothing else is to be done.
        sleep(Duration::from_millis(1)).await;
        self.hear().await;
        self.undisturbed().await;
    }

    /// Takes the answers that have come.
    async fn hear(&mut self) {
        let mut open = Vec::new();
        for (member, mut call) in std::mem::take(&mut self.open) {
            match call.over().await {
                Some(answer) => self.answered(member, &call.path, answer),
                None => open.push((member, call)),
            }
        }
        self.open = open;
    }

    fn answered(&mut self, member: usize, path: &str, answer: Answer) {
        let cluster = self.etcd.look(|model| model.config().cluster_id);
        let revision = self.etcd.look(|model| model.revision().0);
        for message in &answer.messages {
            let told = Told::decode(message.clone()).expect("it is protobuf");
            let header = told.header.unwrap_or_else(|| panic!("{path}: no header"));
            assert_eq!((header.cluster, header.member), (cluster, self.members[member].0));
            assert!((0..=revision).contains(&header.revision), "{path}: {header:?}");
            if path.ends_with("/Authenticate") {
                self.issued.extend(LoggedIn::decode(message.clone()).map(|login| login.token));
            }
        }
        self.played.answers.push((path.to_owned(), answer));
    }

    /// Somebody else puts a key, and finds it.
    async fn undisturbed(&mut self) {
        self.turn += 1;
        let mut answer = self.put_and_find().await;
        // Of a token that has become too old, or was another member's, `root` gets a new one.
        if answer.status != 0
            && let Some(password) = &self.password
        {
            self.token = Some(self.log_in("root", password).await);
            answer = self.put_and_find().await;
        }
        if self.password.is_none() && answer.words.contains("user%20name%20is%20empty") {
            // Who may do everything may also do that.
            self.etcd.administer(Admin::Disable);
            answer = self.put_and_find().await;
        }
        if !answer.words.contains("database%20space%20exceeded") {
            assert_eq!(answer.status, 0, "somebody else is disturbed: {answer:?}");
            let found = Found::decode(answer.messages[0].clone()).expect("it is protobuf");
            assert_eq!(found.value(), Some(self.turn.to_string().as_bytes()), "{found:?}");
        }
    }

    async fn put_and_find(&self) -> Answer {
        let (key, value) = ("beside".to_owned(), self.turn.to_string());
        let put = Put { key: key.clone(), value, ..Put::default() };
        let get = Range { key, ..Range::default() };
        let then = [Op::Put(put), Op::Range(get)].map(|op| Operation { op: Some(op) });
        let txn = Txn { then: then.into(), ..Txn::default() };
        self.ask(Asked::Txn(Nested { txn, times: 0 }), self.token.as_deref()).await
    }

    async fn log_in(&self, name: &str, password: &str) -> String {
        let (name, password) = (name.to_owned(), password.to_owned());
        let login = Asked::Authenticate(Login { name, password, ..Login::default() });
        let answer = self.ask(login, None).await;
        assert_eq!(answer.status, 0, "it logs in: {answer:?}");
        LoggedIn::decode(answer.messages[0].clone()).expect("it is protobuf").token
    }

    /// Asks one member after the other.
    async fn ask(&self, asked: Asked, token: Option<&str>) -> Answer {
        let routes = self.members[self.turn % self.members.len()].1.clone();
        let path = call::whole(asked.path());
        let frame = Frame::from(asked);
        let mut request = Request::post(path).header("content-type", "application/grpc");
        if let Some(token) = token {
            request = request.header("token", token);
        }
        let request = request.body(call::body(frame.bytes())).expect("a request");
        let (_, ears) = oneshot::channel();
        let answer = timeout(Duration::from_secs(10), call::answer(routes, request, ears)).await;
        answer.expect("somebody else is answered")
    }

    /// Whoever is connected leaves.
    async fn leave(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.played.served.push(connection.leave().await);
        }
    }

    /// All calls come to their ends, and all clients leave.
    async fn end(mut self) -> Played {
        self.leave().await;
        for (_, open) in &mut self.open {
            open.end();
        }
        sleep(PATIENCE).await;
        self.hear().await;
        let unanswered = self.open.iter().find(|(_, open)| !open.may_wait);
        assert!(unanswered.is_none(), "{}: no answer", unanswered.map_or("", |(_, o)| &o.path));
        self.open.clear();
        self.undisturbed().await;
        let Self { etcd, members, ticking, played, .. } = self;
        drop((etcd, members));
        let over = timeout(Duration::from_secs(1), ticking).await;
        over.expect("nobody is left who keeps it").expect("it has not panicked");
        played
    }
}

/// `root`, and `a` with the password `b`, who may do something with some keys.
fn add_users(etcd: &Etcd, password: &str) {
    let credentials = |user: &str, password: &str| Credentials {
        user: user.to_owned(),
        password: Password::from(password),
    };
    let grant = |user: &str, role: &str| Admin::GrantRole { user: user.into(), role: role.into() };
    let keys = KeyRange { key: "a".into(), end: "d".into() };
    let permission = Permission { keys, access: Access::ReadWrite };
    let all = [
        Admin::AddUser(credentials("root", password)),
        grant("root", "root"),
        Admin::AddUser(credentials("a", "b")),
        Admin::AddRole { role: "c".to_owned() },
        Admin::GrantPermission { role: "c".to_owned(), permission },
        grant("a", "c"),
        Admin::Enable,
    ];
    for admin in all {
        etcd.administer(admin);
    }
}

#[cfg(test)]
mod tests {
    use portolan_wire::End;

    use super::*;

    fn seed(name: &str) -> Played {
        let seeds = seeds();
        let (_, seed) = seeds.iter().find(|(found, _)| found == name).expect("there is one");
        play(seed)
    }

    /// The statuses of the answers to a seed's calls.
    fn statuses(name: &str) -> Vec<i32> {
        seed(name).answers.iter().map(|(_, answer)| answer.status).collect()
    }

    #[test]
    fn all_seeds_hold() {
        for (name, seed) in seeds() {
            println!("{name}");
            run(&seed);
            run(&seed[..seed.len() / 2]);
        }
    }

    #[test]
    fn calls_get_through() {
        assert_eq!(statuses("put-and-range"), [0, 0]);
        assert_eq!(statuses("keys"), [0, 0, 0, 3, 13, 0, 3, 0, 0, 11, 11, 12]);
        assert_eq!(statuses("leases"), [0, 9, 11, 0, 0, 0, 0, 0, 0, 0, 5, 0]);
        assert_eq!(
            statuses("cluster-and-maintenance"),
            [0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 12, 0, 12, 12]
        );
        assert!(statuses("every-method").len() == MOST_STEPS);
    }

    #[test]
    fn streams_get_through() {
        let messages = |name| {
            let answers = seed(name).answers.into_iter();
            let of_watches = answers.filter(|(path, _)| path.ends_with("/Watch"));
            of_watches.map(|(_, it)| (it.status, it.messages.len())).collect::<Vec<_>>()
        };
        assert_eq!(messages("watch"), [(0, 6), (8, 1)]);
        assert_eq!(messages("watch-unread"), [(0, 4), (8, 1)]);
        assert_eq!(messages("given-up"), [(2, 2)]);
    }

    #[test]
    fn users_get_through() {
        assert_eq!(statuses("users").iter().filter(|&&status| status == 0).count(), 19);
        assert_eq!(statuses("as-a-user"), [0, 7, 0, 0, 0, 7, 0, 3, 0, 0, 0, 7, 0]);
        assert_eq!(statuses("tokens"), [3, 16, 16, 3, 16, 16, 16, 0]);
    }

    #[test]
    fn what_is_no_message_is_refused() {
        assert_eq!(statuses("lies"), [13, 13, 13, 11, 13, 13, 13, 13, 2, 0, 0]);
    }

    #[test]
    fn connections_get_through() {
        let served = |name| -> Vec<_> {
            seed(name).served.into_iter().map(|served| (served.calls, served.end)).collect()
        };
        assert_eq!(served("a-connection"), [(2, End::Left), (1, End::Left)]);
        assert_eq!(served("raw-call"), [(1, End::Left)]);
        let gone_wrong = served("a-connection-gone-wrong");
        assert!(gone_wrong.iter().all(|(_, end)| matches!(end, End::Failed(_))), "{gone_wrong:?}");
        let silent = End::Failed("HTTP/2 was not begun within 10 s".into());
        assert_eq!(gone_wrong.last(), Some(&(0, silent)));
    }

    #[test]
    #[should_panic(expected = "a task has panicked")]
    fn a_task_that_panics_is_noticed() {
        without_panics(async {
            drop(tokio::spawn(async { panic!("nobody waits for it") }));
            sleep(Duration::from_millis(1)).await;
        });
    }
}
