use std::task::{Context, Poll};

use portolan_core::waist::{AttemptId, Reply};
use tokio::sync::mpsc;

/// Where answers wait for the engine, in two queues: watch data, which may be plenty, never
/// delays the rest.
pub(crate) struct Inbox {
    calls: mpsc::UnboundedReceiver<(AttemptId, Reply)>,
    watches: mpsc::Receiver<(AttemptId, Reply)>,
    // Keeps the queues open, so that an empty inbox waits.
    replies: Replies,
}

/// The way into the inbox.
#[derive(Clone)]
pub(crate) struct Replies {
    calls: mpsc::UnboundedSender<(AttemptId, Reply)>,
    watches: mpsc::Sender<(AttemptId, Reply)>,
}

impl Inbox {
    pub(crate) fn new() -> Self {
        let (calls, call_answers) = mpsc::unbounded_channel();
        let (watches, watch_answers) = mpsc::channel(WATCH_QUEUE);
        let replies = Replies { calls, watches };
        Self { calls: call_answers, watches: watch_answers, replies }
    }

    pub(crate) fn replies(&self) -> Replies {
        self.replies.clone()
    }

    /// The next answer; those to calls first.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<(AttemptId, Reply)> {
        if let Poll::Ready(Some(answer)) = self.calls.poll_recv(cx) {
            return Poll::Ready(answer);
        }
        match self.watches.poll_recv(cx) {
            Poll::Ready(Some(answer)) => Poll::Ready(answer),
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }
}

impl Replies {
    /// Answers a call or a renewal. The queue is as long as there are attempts in flight, which
    /// the engine bounds.
    pub(crate) fn call(&self, attempt: AttemptId, reply: Reply) {
        // It fails only when the backend is gone, and with it whoever would read the answer.
        let _ = self.calls.send((attempt, reply));
    }

    /// Says something of a watch. Waits while the queue is full: then the watch's socket is not
    /// read either, and the store learns to wait.
    pub(crate) async fn watch(&self, attempt: AttemptId, reply: Reply) {
        let _ = self.watches.send((attempt, reply)).await;
    }
}

/// Messages, each up to the decode limit. Few, since every one that waits here is read from a
/// socket without need.
const WATCH_QUEUE: usize = 16;
