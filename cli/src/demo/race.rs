//! Two clients that change one configuration at the same moment.

use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use portolan::{Registry, Snapshot};
use serde_json::{Map, Value};

use super::cast::{Cast, GROUP};
use super::failed;
use crate::fail::Failure;

/// A race that was seen: both read the same, one was faster, and the other did not undo its work.
pub struct Race {
    base: Document,
    result: Document,
    first: String,
    late: String,
    /// Of the second change.
    revision: i64,
}

type Document = Map<String, Value>;

/// One client, and what it sets.
struct Client {
    registry: Registry,
    field: String,
    value: u32,
    /// What its change was shown, time after time.
    shown: Arc<Mutex<Vec<Document>>>,
}

/// Runs the race to its end.
pub async fn run(cast: &Cast<'_>) -> Result<Race, Failure> {
    let one = Client::new(cast, FIELDS[0], 250)?;
    let other = Client::new(cast, FIELDS[1], 3)?;
    let ((tell_other, hear_one), (tell_one, hear_other)) = (mpsc::channel(), mpsc::channel());
    let (first, second) =
        tokio::join!(one.change(tell_other, hear_other), other.change(tell_one, hear_one));
    let race = Race::judge((&one, first?), (&other, second?))?;
    one.registry.shutdown().await;
    other.registry.shutdown().await;
    Ok(race)
}

/// What the clients set.
const FIELDS: [&str; 2] = ["timeout_ms", "retries"];

impl Client {
    fn new(cast: &Cast<'_>, field: &str, value: u32) -> Result<Self, Failure> {
        let registry = cast.registry()?;
        Ok(Self { registry, field: field.to_owned(), value, shown: Arc::default() })
    }

    /// Sets the field; returns the revision. Waits, once it has read, until the other has read too:
    /// that makes it the same moment.
    async fn change(&self, tell: Sender<()>, hear: Receiver<()>) -> Result<i64, Failure> {
        let (field, value, shown) = (self.field.clone(), self.value, self.shown.clone());
        let change = move |document: &mut Document| {
            let mut shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
            shown.push(document.clone());
            if shown.len() == 1 {
                // Whichever way this fails: then there was no race, and the judge says so.
                let _ = tell.send(());
                // This stops the driver of this client, which has nothing else to do.
                let _ = tokio::task::block_in_place(|| hear.recv_timeout(MEETING));
            }
            document.insert(field.clone(), value.into());
        };
        let group = self.registry.group(GROUP).map_err(failed)?;
        let updated = group.update_as(change).await.map_err(failed)?;
        if !updated.written {
            return Err(failed("a change of the configuration was not written"));
        }
        Ok(updated.revision.0)
    }

    fn shown(&self) -> Vec<Document> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// How long one client waits for the other.
const MEETING: Duration = Duration::from_secs(3);

impl Race {
    /// Sees whether it was one.
    fn judge(one: (&Client, i64), other: (&Client, i64)) -> Result<Self, Failure> {
        let (winner, late) = if one.1 < other.1 { (one.0, other) } else { (other.0, one) };
        let (late, revision) = late;
        let (fast, slow) = (winner.shown(), late.shown());
        let (Some(base), Some(last)) = (fast.first(), slow.last()) else {
            return Err(failed("a change of the configuration was never asked for"));
        };
        if slow.first() != Some(base) || last.get(&winner.field) != Some(&winner.value.into()) {
            return Err(failed("the two changes were not made at the same moment"));
        }
        let mut result = last.clone();
        result.insert(late.field.clone(), late.value.into());
        Ok(Self {
            base: base.clone(),
            result,
            first: winner.field.clone(),
            late: late.field.clone(),
            revision,
        })
    }

    /// Whether a directory shows both changes.
    pub fn survived(&self, snapshot: &Snapshot) -> bool {
        snapshot.revision().0 >= self.revision
            && snapshot.config().is_some_and(|config| config.to_value() == self.result())
    }

    /// What both began with.
    pub fn base(&self) -> Value {
        self.base.clone().into()
    }

    /// What stands in the end.
    pub fn result(&self) -> Value {
        self.result.clone().into()
    }

    /// The fields of the client that was first, and of the one that was late.
    pub fn fields(&self) -> (&str, &str) {
        (&self.first, &self.late)
    }
}
