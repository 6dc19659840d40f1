//! What plans are drawn from.

use serde::{Deserialize, Serialize};

use super::Class;

/// What plans are drawn from: ranges, least and most, both included.
#[derive(Clone, Debug, Eq, PartialEq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mix {
    /// Processes.
    pub processes: (u16, u16),
    /// Members of the store.
    pub members: (u16, u16),
    /// How long steps go on, in seconds.
    pub seconds: (u64, u64),
    /// Registrations of each process.
    pub registrations: (u64, u64),
    /// How often, in percent, one process has many instead.
    pub many_percent: u32,
    /// How many.
    pub many: (u64, u64),
    /// Directories of each process.
    pub directories: (u64, u64),
    /// Followed key ranges of each process.
    pub follows: (u64, u64),
    /// Updates of each process.
    pub updates: (u64, u64),
    /// Key-value calls of each process.
    pub calls: (u64, u64),
    /// The classes of faults that may be present.
    pub classes: Vec<Class>,
    /// How often, in percent, each of them is.
    pub fault_percent: u32,
    /// How often, in percent, crowds of thousands come, if they may at all.
    pub crowd_percent: u32,
    /// How often each class that is present strikes.
    pub strikes: (u64, u64),
    /// How often, in percent, something is left as it is when all else heals.
    pub left_percent: u32,
    /// How many faults there are at least; more of the classes above are drawn until there are.
    pub least_faults: u64,
}

impl Mix {
    /// Those with a name, and what each is for.
    pub const NAMES: &[(&str, &str)] = &[
        ("full", "everything that may happen"),
        ("calm", "no faults"),
        ("crash", "processes crash, and may come back"),
        ("wire", "links are cut, slow, lossy, or break"),
        ("store", "the store and its members restart, hang, lag, forget, are full"),
        ("strangers", "others delete, overwrite and move what is not theirs"),
    ];

    /// The mix of a name; `None` for any but those in [`NAMES`](Self::NAMES).
    pub fn named(name: &str) -> Option<Self> {
        let classes: &[Class] = match name {
            "full" => Class::ALL,
            "calm" => &[],
            "crash" => &[Class::Crash],
            "wire" => &[
                Class::Cut,
                Class::Swizzle,
                Class::Reset,
                Class::Blackhole,
                Class::Lose,
                Class::Slow,
            ],
            "store" => &[
                Class::StoreRestart,
                Class::StoreStop,
                Class::StorePause,
                Class::LeaderLoss,
                Class::Lead,
                Class::MemberRestart,
                Class::MemberStop,
                Class::MemberPause,
                Class::MemberCutOff,
                Class::MemberLag,
                Class::Fill,
                Class::Wipe,
                Class::Restore,
                Class::Replace,
                Class::Compact,
            ],
            "strangers" => &[Class::Revoke, Class::Delete, Class::Overwrite, Class::Move],
            _ => return None,
        };
        let left_percent = if name == "full" { Self::default().left_percent } else { 0 };
        Some(Self { classes: classes.to_vec(), left_percent, ..Self::default() })
    }
}

impl Default for Mix {
    fn default() -> Self {
        Self {
            processes: (2, 8),
            members: (1, 5),
            seconds: (45, 60),
            registrations: (0, 3),
            many_percent: 4,
            many: (30, 150),
            directories: (0, 1),
            follows: (0, 1),
            updates: (0, 3),
            calls: (0, 2),
            classes: Class::ALL.to_vec(),
            fault_percent: 40,
            crowd_percent: 6,
            strikes: (1, 3),
            left_percent: 30,
            least_faults: 5,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_its_mix() {
        for (name, _) in Mix::NAMES {
            assert!(Mix::named(name).is_some(), "{name}");
        }
        assert_eq!(Mix::named("full"), Some(Mix::default()));
        assert_eq!(Mix::named("none"), None);
    }
}
