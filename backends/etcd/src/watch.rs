use std::sync::Arc;

use etcd_client::{WatchRequestSender, WatchResponseStream};
use portolan_core::waist::{AttemptId, Reply, StoreError, Watch, WatchReply, WatchSay};
use tokio::sync::mpsc;

use crate::convert;
use crate::inbox::Replies;
use crate::member::Clients;

/// Runs one watch stream, from its first watch to its end, which is told last.
pub(crate) async fn run(
    clients: Arc<Clients>,
    attempt: AttemptId,
    watch: Watch,
    says: mpsc::UnboundedReceiver<WatchSay>,
    replies: Replies,
) {
    // The stream is gone when this is done. Telling its end may have to wait, and a failed stream
    // that is still held stalls all calls on its channel (row W15).
    let error = stream(&clients, attempt, watch, says, &replies).await;
    replies.watch(attempt, Reply::Failed(error)).await;
}

async fn stream(
    clients: &Clients,
    attempt: AttemptId,
    watch: Watch,
    says: mpsc::UnboundedReceiver<WatchSay>,
    replies: &Replies,
) -> StoreError {
    let (key, options) = convert::watch(watch);
    let (sender, receiver) = match clients.watch_client().watch(key, Some(options)).await {
        Ok(stream) => stream.split(),
        Err(error) => return clients.failure(&error),
    };
    // Side by side: a store that does not read what we say must not keep us from reading what it
    // says, or both wait for ever.
    tokio::select! {
        biased;
        error = read(clients, attempt, receiver, replies) => error,
        error = write(clients, sender, says) => error,
    }
}

async fn read(
    clients: &Clients,
    attempt: AttemptId,
    mut receiver: WatchResponseStream,
    replies: &Replies,
) -> StoreError {
    loop {
        match receiver.message().await {
            Ok(Some(message)) => match convert::watch_reply(message.0) {
                Ok(reply) => {
                    // A watch is refused within its stream, which carries its first token for good.
                    if let Some(error) = token_refused(&reply) {
                        return error;
                    }
                    replies.watch(attempt, Reply::Watch(reply)).await;
                }
                Err(error) => return error,
            },
            Ok(None) => return StoreError::StreamEnded,
            Err(error) => return clients.failure(&error),
        }
    }
}

/// Why a watch was not opened, if that is the token.
fn token_refused(reply: &WatchReply) -> Option<StoreError> {
    let tokens = [StoreError::InvalidToken, StoreError::OldAuthRevision, StoreError::NoToken];
    Some(reply.refusal()).filter(|error| reply.canceled && tokens.contains(error))
}

/// Ends only when the stream does.
async fn write(
    clients: &Clients,
    mut sender: WatchRequestSender,
    mut says: mpsc::UnboundedReceiver<WatchSay>,
) -> StoreError {
    while let Some(say) = says.recv().await {
        let sent = match say {
            WatchSay::Create(watch) => {
                let (key, options) = convert::watch(watch);
                sender.watch(key, Some(options)).await
            }
            WatchSay::Cancel { id } => sender.cancel(id).await,
            WatchSay::Progress => sender.request_progress().await,
        };
        if let Err(error) = sent {
            return clients.failure(&error);
        }
    }
    std::future::pending().await
}
