//! What one does on the page, as steps of a plan.

use portolan_core::engine::{DirectoryId, OpId, RegistrationId};
use portolan_core::layout::Scope;
use portolan_core::name::{GroupName, InstanceId};
use portolan_sim::Plan;
use portolan_sim::plan::Do;
use serde::Deserialize;
use serde_json::Value;

use crate::view::lease_of;

/// What a page asks for without the numbers that tell one such thing from the next.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
enum Asked {
    Register { process: u16, group: GroupName, instance: InstanceId },
    Open { process: u16, scope: Scope },
    Edit { process: u16, group: GroupName },
    Expire { lease: String },
    Revoke { lease: String },
    Deregister { process: u16, id: RegistrationId },
}

/// Reads an action: one thing, or a list of things that happen at the same moment.
///
/// # Errors
/// A sentence that names what is wrong with it.
pub fn read(text: &str, plan: &Plan) -> Result<Vec<Do>, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| format!("no action: {error}"))?;
    // As text again: to read steps from values too would make the module an eighth larger.
    let asked: Vec<String> = match value {
        Value::Array(all) => all.iter().map(ToString::to_string).collect(),
        one => vec![one.to_string()],
    };
    if asked.is_empty() || asked.len() > MOST_AT_ONCE {
        let found = asked.len();
        return Err(format!("{found} things at once; an action takes 1 to {MOST_AT_ONCE}"));
    }
    let mut steps = Vec::new();
    for one in asked {
        let step = match serde_json::from_str::<Asked>(&one) {
            Ok(asked) => numbered(asked, plan, &steps)?,
            Err(_) => serde_json::from_str(&one).map_err(|error| format!("no action: {error}"))?,
        };
        if matches!(step, Do::Rights { .. } | Do::Password { .. }) && !plan.world.users {
            return Err("the store of this plan asks nobody who they are, so there are neither \
                        rights nor passwords: take a plan whose world has \"users\": true"
                .to_owned());
        }
        steps.push(step);
    }
    Ok(steps)
}

fn numbered(asked: Asked, plan: &Plan, steps: &[Do]) -> Result<Do, String> {
    let all = plan.steps.iter().map(|step| &step.what).chain(steps);
    let lease = |digits: &str| {
        lease_of(digits)
            .ok_or_else(|| format!("{digits:?} is no lease: it takes 16 digits of 0-9a-f"))
    };
    Ok(match asked {
        Asked::Register { process, group, instance } => {
            let last = all.filter_map(|step| match step {
                Do::Register { process: of, id, .. } if *of == process => Some(id.0),
                _ => None,
            });
            let id = RegistrationId(last.max().unwrap_or(0).saturating_add(1));
            Do::Register { process, id, group, instance, conflict: Default::default() }
        }
        Asked::Open { process, scope } => {
            let last = all.filter_map(|step| match step {
                Do::Open { process: of, id, .. } if *of == process => Some(id.0),
                _ => None,
            });
            Do::Open { process, id: DirectoryId(last.max().unwrap_or(0).saturating_add(1)), scope }
        }
        Asked::Edit { process, group } => {
            let last = all.filter_map(|step| match step {
                Do::Update { process: of, id, .. } | Do::Call { process: of, id, .. }
                    if *of == process =>
                {
                    Some(id.0)
                }
                _ => None,
            });
            let id = OpId(last.max().unwrap_or(0).saturating_add(1));
            Do::Update { process, id, group, within_ms: WITHIN_MS, keep: false }
        }
        Asked::Deregister { process, id } => Do::Deregister { process, id, within_ms: WITHIN_MS },
        Asked::Expire { lease: digits } => Do::Expire { lease: lease(&digits)? },
        Asked::Revoke { lease: digits } => Do::Revoke { lease: lease(&digits)? },
    })
}

/// What is done on a page, at most, at one moment.
const MOST_AT_ONCE: usize = 100;
/// How long an operation that a page begins may take.
const WITHIN_MS: u64 = 20_000;
