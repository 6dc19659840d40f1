//! The model in tokio's time, for many clients.
//!
//! One task lets time pass for all of them; it ends with the last handle.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

use portolan_core::Time;
use portolan_core::waist::{AttemptId, Header, MemberId, Reply, Request, StoreError, WatchSay};
use portolan_memory::{
    ClientId, Config, Input, Limits, Model, Operated, Operation, Pass, Token, watch_weight,
};
use tokio::sync::Notify;
use tokio::time::Instant;
use tonic::Status;

use crate::status;

/// A store that many clients ask. Cheap to clone; all clones are one store.
#[derive(Clone)]
pub(crate) struct Store {
    shared: Arc<Shared>,
}

struct Shared {
    inner: Mutex<Inner>,
    /// Told when the store has something to do earlier than before, and when nobody holds it any
    /// more.
    sooner: Arc<Notify>,
}

struct Inner {
    model: Model,
    /// How much of a stream is taken before the model is told: half of what may lie there.
    told_from: u64,
    started: Instant,
    last: u64,
    /// Calls that somebody waits for.
    calls: BTreeMap<AttemptId, Mailbox>,
    /// Where members are to be found.
    addresses: BTreeMap<MemberId, BTreeSet<String>>,
}

#[derive(Default)]
struct Mailbox {
    /// Whoever waits is no client with a connection, and hears of what would break one.
    beside: bool,
    said: VecDeque<Said>,
    /// What was taken and the model was not told of.
    taken: u64,
    waker: Option<Waker>,
}

impl Mailbox {
    fn push(&mut self, said: Said) {
        self.said.push_back(said);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// What the store has said to a call.
#[derive(Debug)]
pub(crate) enum Said {
    /// With what an authentication has brought.
    Reply(Reply, Option<Token>),
    /// To an operator.
    Operated(Operated),
}

impl Said {
    /// What was done, or how it failed.
    pub fn done(self) -> Result<Reply, Status> {
        match self {
            Self::Reply(Reply::Failed(error), _) => Err(status::of(&error)),
            Self::Reply(reply, _) => Ok(reply),
            Self::Operated(_) => Err(status::unexpected()),
        }
    }

    /// What an authentication has brought, or how it failed.
    pub fn token(self) -> Result<Token, Status> {
        if let Self::Reply(Reply::Authenticated, Some(token)) = self {
            return Ok(token);
        }
        self.done().and(Err(status::unexpected()))
    }

    /// What an operator is told, or how it failed.
    pub fn operated(self) -> Result<Operated, Status> {
        if let Self::Operated(operated) = self {
            return Ok(operated);
        }
        self.done().and(Err(status::unexpected()))
    }
}

/// What may lie before a client that does not read its stream of watches, in bytes; one revision may
/// go beyond it. Some hundreds of events, more than a reader on its way back needs, and little enough
/// for thousands of streams that nobody reads.
pub(crate) const STREAM_BYTES: u64 = 256 << 10;

/// Everybody is one client to the model: it tells calls apart by their attempts.
const EVERYBODY: ClientId = ClientId(0);

impl Store {
    /// An empty store, whose time begins now, and passes as long as somebody
    /// [lets it](Self::let_time_pass).
    pub fn new(config: Config) -> Self {
        let stream_bytes = config.limits.stream_bytes.unwrap_or(STREAM_BYTES);
        let limits = Limits { stream_bytes: Some(stream_bytes), ..config.limits };
        let model = Model::new(Config { limits, ..config });
        let (started, told_from) = (Instant::now(), stream_bytes.div_ceil(2));
        let (calls, addresses) = (BTreeMap::new(), BTreeMap::new());
        let inner = Inner { model, told_from, started, last: 0, calls, addresses };
        let sooner = Arc::new(Notify::new());
        Self { shared: Arc::new(Shared { inner: Mutex::new(inner), sooner }) }
    }

    /// Does what is due when it is, until the last handle is gone.
    pub fn let_time_pass(&self) -> impl Future<Output = ()> + Send + 'static {
        let_time_pass(Arc::downgrade(&self.shared), self.shared.sooner.clone())
    }

    /// Looks at the model. `look` must not come back to the store.
    pub fn look<T>(&self, look: impl FnOnce(&Model) -> T) -> T {
        look(&self.shared.lock().model)
    }

    /// What stands in the headers of a member's answers now.
    pub fn header(&self, member: MemberId) -> Header {
        self.shared.lock().model.header_of(member)
    }

    /// A member is to be found there, or not any more.
    #[cfg(feature = "net")]
    pub fn advertise(&self, member: MemberId, url: &str, on: bool) {
        let mut inner = self.shared.lock();
        let known = inner.addresses.entry(member).or_default();
        if on {
            known.insert(url.to_owned())
        } else {
            known.remove(url)
        };
    }

    /// Where a member is to be found, as far as that is known.
    pub fn addresses(&self, member: MemberId) -> BTreeSet<String> {
        self.shared.lock().addresses.get(&member).cloned().unwrap_or_default()
    }

    /// Something happens to the store that is no request.
    pub fn happen(&self, input: Input) {
        self.shared.handle(self.shared.lock(), input);
    }

    /// Asks a member. Who drops the call gives it up.
    pub fn call(&self, member: MemberId, request: Request, pass: Pass) -> Call {
        self.call_with(member, request, pass, Mailbox::default())
    }

    /// Asks a member without a connection: also what would break one is told.
    pub fn ask(&self, member: MemberId, request: Request) -> Call {
        let mailbox = Mailbox { beside: true, ..Mailbox::default() };
        self.call_with(member, request, Pass::Nobody, mailbox)
    }

    /// Asks a member as an operator.
    pub fn operate(&self, member: MemberId, operation: Operation, pass: Pass) -> Call {
        self.input(member, Mailbox::default(), |from, attempt| Input::Operate {
            from,
            attempt,
            member,
            operation,
            pass,
        })
    }

    fn call_with(&self, member: MemberId, request: Request, pass: Pass, mailbox: Mailbox) -> Call {
        self.input(member, mailbox, |from, attempt| Input::Request {
            from,
            attempt,
            member,
            request,
            pass,
        })
    }

    fn input(
        &self,
        member: MemberId,
        mailbox: Mailbox,
        input: impl FnOnce(ClientId, AttemptId) -> Input,
    ) -> Call {
        let mut inner = self.shared.lock();
        inner.last += 1;
        let attempt = AttemptId(inner.last);
        inner.calls.insert(attempt, mailbox);
        self.shared.handle(inner, input(EVERYBODY, attempt));
        Call { shared: self.shared.clone(), member, attempt }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // The model is consistent between inputs, whoever panicked meanwhile.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn handle(&self, mut inner: MutexGuard<'_, Inner>, input: Input) {
        let before = inner.model.poll_timeout();
        inner.handle(input);
        let after = inner.model.poll_timeout();
        drop(inner);
        if after.is_some_and(|after| before.is_none_or(|before| after < before)) {
            self.sooner.notify_one();
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.sooner.notify_one();
    }
}

impl Inner {
    fn handle(&mut self, input: Input) {
        let now = Time::ZERO + self.started.elapsed();
        self.model.handle(now, input);
        while let Some(mut output) = self.model.poll_output() {
            // Nobody waits any more for what a call that was given up is still told.
            let Some(mailbox) = self.calls.get_mut(&output.attempt) else { continue };
            if let Reply::Failed(StoreError::ConnectionLost { .. } | StoreError::Refused { .. }) =
                &output.reply
                && !mailbox.beside
            {
                // Not a word of etcd's: the connection breaks, and with it the call.
                continue;
            }
            let token = output.take_token();
            mailbox.push(Said::Reply(output.reply, token));
        }
        while let Some(operated) = self.model.poll_operated() {
            if let Some(mailbox) = self.calls.get_mut(&operated.attempt) {
                mailbox.push(Said::Operated(operated));
            }
        }
    }
}

async fn let_time_pass(shared: Weak<Shared>, sooner: Arc<Notify>) {
    loop {
        let due = {
            let Some(shared) = shared.upgrade() else { return };
            let mut inner = shared.lock();
            inner.handle(Input::Tick);
            inner.model.poll_timeout().map(|due| inner.started + due.since(Time::ZERO))
        };
        let due = async {
            match due {
                Some(due) => tokio::time::sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = sooner.notified() => {}
            () = due => {}
        }
    }
}

/// A call that was made, and what the store says to it.
pub(crate) struct Call {
    shared: Arc<Shared>,
    member: MemberId,
    attempt: AttemptId,
}

impl Call {
    /// What the store says next.
    pub fn poll_said(&self, cx: &mut Context<'_>) -> Poll<Said> {
        let mut inner = self.shared.lock();
        let told_from = inner.told_from;
        let Some(mailbox) = inner.calls.get_mut(&self.attempt) else { return Poll::Pending };
        let Some(said) = mailbox.said.pop_front() else {
            mailbox.waker = Some(cx.waker().clone());
            return Poll::Pending;
        };
        if let Said::Reply(Reply::Watch(reply), _) = &said {
            mailbox.taken += watch_weight(reply);
            // Not each time: that would cost more than the answer itself.
            if mailbox.taken >= told_from {
                let bytes = std::mem::take(&mut mailbox.taken);
                let taken = Input::Taken { from: EVERYBODY, attempt: self.attempt, bytes };
                self.shared.handle(inner, taken);
            }
        }
        Poll::Ready(said)
    }

    /// The only answer to a call that opens no stream.
    pub async fn answer(self) -> Said {
        poll_fn(|cx| self.poll_said(cx)).await
    }

    /// Says something on the stream of watches that the call has opened.
    pub fn say(&self, say: WatchSay) {
        let mut inner = self.shared.lock();
        inner.last += 1;
        let (from, attempt, member) = (EVERYBODY, AttemptId(inner.last), self.member);
        let request = Request::OnWatch { stream: self.attempt, say };
        let pass = Pass::Nobody;
        self.shared.handle(inner, Input::Request { from, attempt, member, request, pass });
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let mut inner = self.shared.lock();
        inner.calls.remove(&self.attempt);
        let cancel = Input::Cancel { from: EVERYBODY, attempt: self.attempt };
        self.shared.handle(inner, cancel);
    }
}
