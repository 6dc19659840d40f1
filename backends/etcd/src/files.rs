use std::time::Duration;

use portolan_core::waist::{AttemptId, Reply};

use crate::inbox::Replies;
use crate::wires::Workshop;

/// Looks from time to time whether the files of certificates and passwords changed, if there are
/// any. They are read to see that: times and lengths may stay while the content does not.
pub(crate) fn watch(workshop: &Workshop, replies: Replies) {
    let (trust, auth) = (workshop.dialing.trust.clone(), workshop.auth.clone());
    if !trust.has_files() && !auth.has_file() {
        return;
    }
    workshop.tasks.spawn(async move {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            if trust.has_files() {
                trust.look().await;
            }
            if auth.file_changed().await {
                replies.call(AttemptId::NEWS, Reply::CredentialsChanged);
            }
        }
    });
}

const LOOK_EVERY: Duration = Duration::from_secs(2);
