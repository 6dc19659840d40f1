use std::time::Duration;

use portolan_core::engine::{Command, Gone, LossReason, RegistrationEvent, RegistrationId};
use portolan_core::instance::{Instance, State};
use portolan_core::waist::{LeaseId, Revision};
use tokio::sync::watch;

use crate::error::{DeregisterError, RegisterError, RegistrationLost};
use crate::group::Group;

/// The promise to keep an instance in the store: healed when it is lost, renewed for as long as
/// this guard lives.
///
/// Dropping it begins the removal without waiting for it; the lease's end is the safety net.
/// [`deregister`](Self::deregister) waits.
#[must_use = "dropping a registration removes it"]
#[derive(Debug)]
pub struct Registration {
    group: Group,
    /// What was last asked for.
    instance: Instance,
    id: RegistrationId,
    states: watch::Receiver<RegistrationState>,
    /// The content last asked for; see `RegistrationEvent::Registered`.
    sequence: u64,
    ended: bool,
}

/// How a registration stands.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum RegistrationState {
    /// Not in the store yet.
    Starting,
    /// In the store, as wanted.
    Registered {
        /// The lease it hangs on, shared with others of this process. Nothing else is to be put on
        /// it: records move to other leases, and what is found on one then goes with it.
        lease: LeaseId,
        /// The record's mod revision.
        revision: Revision,
        /// Which content: 1 for the first, one more with each update.
        sequence: u64,
    },
    /// Lost, or possibly so; it is being restored.
    Lost {
        /// Why.
        reason: LossReason,
    },
    /// The store refuses for a reason that its operator must mend; it is tried again, slowly.
    Denied {
        /// The refusal.
        reason: String,
    },
    /// Somebody else's record stands there; it is waited for.
    Waiting {
        /// The lease of that record.
        owner: Option<LeaseId>,
    },
    /// Ended.
    Gone(Gone),
}

impl Registration {
    pub(crate) fn new(
        group: Group,
        instance: Instance,
        id: RegistrationId,
        states: watch::Receiver<RegistrationState>,
    ) -> Self {
        Self { group, instance, id, states, sequence: 1, ended: false }
    }

    /// How it stands now.
    pub fn state(&self) -> RegistrationState {
        self.states.borrow().clone()
    }

    /// Waits until its record stands in the store with the content last asked for.
    ///
    /// Waits without end while the store is away. Cancel safe.
    ///
    /// # Errors
    /// It has ended: refused, kept out, superseded, or the registry was shut down.
    pub async fn ready(&self) -> Result<Revision, RegistrationLost> {
        let wanted = self.sequence;
        let state = self
            .wait_for(|state| match state {
                RegistrationState::Registered { sequence, .. } => *sequence >= wanted,
                RegistrationState::Gone(_) => true,
                RegistrationState::Starting
                | RegistrationState::Lost { .. }
                | RegistrationState::Denied { .. }
                | RegistrationState::Waiting { .. } => false,
            })
            .await;
        if let RegistrationState::Registered { revision, .. } = state {
            return Ok(revision);
        }
        // Without an end of its own it ended with the registry.
        Err(RegistrationLost { gone: state.gone().unwrap_or(Gone::Unconfirmed) })
    }

    /// Waits for a state that fits, or for its end. Cancel safe.
    pub async fn wait_for(
        &self,
        fits: impl FnMut(&RegistrationState) -> bool,
    ) -> RegistrationState {
        let mut states = self.states.clone();
        match states.wait_for(fits).await {
            Ok(state) => state.clone(),
            Err(_) => self.states.borrow().clone(),
        }
    }

    /// Publishes other content for the same instance. Returns at once;
    /// [`ready`](Self::ready) waits until it stands.
    ///
    /// # Errors
    /// Another group or id than the one registered, or content that cannot be written: what was
    /// registered stays. Or the registration, or its registry, has ended.
    pub fn update(&mut self, instance: Instance) -> Result<(), RegisterError> {
        self.group.check(&instance)?;
        if instance.id() != self.instance.id() {
            return Err(RegisterError::OtherInstance {
                instance: instance.id().to_owned(),
                registered: self.instance.id().to_owned(),
            });
        }
        if let Some(gone) = self.state().gone() {
            return Err(RegisterError::Ended(RegistrationLost { gone }));
        }
        let command = Command::Publish { id: self.id, instance: instance.clone() };
        if !self.group.registry().command(command) {
            return Err(RegisterError::Closed);
        }
        self.instance = instance;
        self.sequence += 1;
        Ok(())
    }

    /// Says that it is here to stay, but not to be called for now: directories show it as
    /// [`State::OutOfService`], picks pass it over. All else that was last asked for stays.
    /// Returns at once; [`ready`](Self::ready) waits until it stands.
    ///
    /// # Errors
    /// As [`update`](Self::update); or the layout has no place for states: others would go on
    /// calling it.
    pub fn out_of_service(&mut self) -> Result<(), RegisterError> {
        self.say(State::OutOfService)
    }

    /// Says that it is to be called: [`State::Ready`], after
    /// [`out_of_service`](Self::out_of_service) or [`drain`](Self::drain).
    ///
    /// # Errors
    /// As [`out_of_service`](Self::out_of_service).
    pub fn back_in_service(&mut self) -> Result<(), RegisterError> {
        self.say(State::Ready)
    }

    /// Says that it is about to leave, and leaves when this guard does: [`State::Draining`] until
    /// [`deregister`](Self::deregister), which then only removes the record.
    ///
    /// # Errors
    /// As [`out_of_service`](Self::out_of_service).
    pub fn drain(&mut self) -> Result<(), RegisterError> {
        self.say(State::Draining)
    }

    fn say(&mut self, state: State) -> Result<(), RegisterError> {
        if !self.group.registry().layout().says_state() {
            return Err(RegisterError::Stateless);
        }
        self.update(self.instance.clone().with_state(state))
    }

    /// Publishes `Draining` (in layouts that know it), removes the record, and waits until that is
    /// confirmed: no late attempt can bring it back. Dropping the future leaves the removal under
    /// way.
    ///
    /// # Errors
    /// Not confirmed within the registry's time for calls; or it had ended before.
    pub async fn deregister(mut self) -> Result<(), DeregisterError> {
        let within = self.group.registry().shared.limits.call;
        self.end(within);
        let state = self.wait_for(|state| matches!(state, RegistrationState::Gone(_))).await;
        match state.gone() {
            Some(Gone::Deregistered) => Ok(()),
            Some(Gone::Unconfirmed) | None => Err(DeregisterError::Unconfirmed { within }),
            Some(gone) => Err(DeregisterError::Ended(RegistrationLost { gone })),
        }
    }

    fn end(&mut self, within: Duration) {
        if !std::mem::replace(&mut self.ended, true) {
            self.group.registry().command(Command::Deregister { id: self.id, within });
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.end(self.group.registry().shared.limits.call);
    }
}

impl RegistrationState {
    /// How it ended, if it has.
    pub fn gone(&self) -> Option<Gone> {
        if let Self::Gone(gone) = self { Some(gone.clone()) } else { None }
    }

    pub(crate) fn after(event: RegistrationEvent) -> Self {
        match event {
            RegistrationEvent::Registered { lease, revision, sequence } => {
                Self::Registered { lease, revision, sequence }
            }
            RegistrationEvent::Lost { reason } => Self::Lost { reason },
            RegistrationEvent::Denied { error } => Self::Denied { reason: error.to_string() },
            RegistrationEvent::Waiting { owner } => Self::Waiting { owner },
            RegistrationEvent::Gone(gone) => Self::Gone(gone),
        }
    }
}
