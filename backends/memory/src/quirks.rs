use semver::Version;
use serde::{Deserialize, Serialize};

/// How released servers differ from the newest one, as far as a single member that is never slow to
/// send can show it. All off by default.
///
/// From etcd's `CHANGELOG/CHANGELOG-3.4.md` to `-3.7.md`; `docs/etcd.md` says which of the differences
/// known are not here, and why.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Quirks {
    /// A delete exactly at the compaction's revision is forgotten.
    /// Mended in 3.4.34, 3.5.16.
    pub compaction_drops_delete: bool,
    /// A negative start is taken as a start in the past, instead of being refused (row W4).
    /// Mended in 3.4.38, 3.5.24, 3.6.6.
    pub negative_start_accepted: bool,
    /// Progress is told of a watch whose start has not come yet (row W2).
    /// Mended in 3.4.38, 3.5.22, 3.6.2.
    pub progress_before_start: bool,
    /// A progress request is answered at once, also while watchers are behind: it claims a revision
    /// whose events come later (row W13). Mended in 3.4.25, 3.5.8.
    pub progress_out_of_step: bool,
    /// A progress request that finds a watcher behind is answered after the stream's next event, and
    /// until then further ones are ignored; a watch that never has an event is thus never told.
    /// From 3.4.25 and 3.5.8, mended in 3.4.31, 3.5.13.
    pub progress_owed: bool,
    /// A transaction's puts are checked before its ranges, instead of in order (row T7).
    /// Until 3.5.
    pub puts_checked_first: bool,
    /// An overloaded store also refuses to revoke expired leases, so dead keys linger (row E3).
    /// Mended in 3.7.0.
    pub overload_stops_expiry: bool,
    /// Much is asked of no user at all: leases, but for their revocation, compaction, status, the
    /// members, alarms, and whatever a nested transaction does (rows A3, A4, E4).
    /// Mended in 3.4.42, 3.5.28, 3.6.9.
    pub auth_gaps: bool,
    /// A permission may be given for keys that are none (row A9). Mended in 3.4.24, 3.5.8.
    pub permissions_unchecked: bool,
    /// Who may not have a hash is told so in other words than elsewhere (row E5). Until 3.5.
    pub hash_refused_raw: bool,
    /// The keys of a lease are told to whoever asks (row A4). Mended in 3.4.26, 3.5.9.
    pub lease_keys_told: bool,
    /// Who may read a key may watch all that come after it (row A5).
    /// Mended in 3.5.33, 3.6.14, 3.7.1.
    pub open_watch_unchecked: bool,
}

impl Quirks {
    /// How the release `version` differs; `None` if that is no version, as `3.5.16` is.
    pub fn of_version(version: &str) -> Option<Self> {
        let version = Version::parse(version).ok()?;
        // `mended` in order: the first good release of 3.4, of 3.5, of 3.6.
        let before = |mended: [u64; 3]| match (version.major, version.minor) {
            (3, 4) => version.patch < mended[0],
            (3, 5) => version.patch < mended[1],
            (3, 6) => version.patch < mended[2],
            (major, minor) => major < 3 || major == 3 && minor < 4,
        };
        Some(Self {
            compaction_drops_delete: before([34, 16, 0]),
            negative_start_accepted: before([38, 24, 6]),
            progress_before_start: before([38, 22, 2]),
            progress_out_of_step: before([25, 8, 0]),
            progress_owed: before([31, 13, 0]) && !before([25, 8, 0]),
            puts_checked_first: before([u64::MAX, u64::MAX, 0]),
            overload_stops_expiry: before([u64::MAX; 3]),
            auth_gaps: before([42, 28, 9]),
            permissions_unchecked: before([24, 8, 0]),
            hash_refused_raw: before([u64::MAX, u64::MAX, 0]),
            lease_keys_told: before([26, 9, 0]),
            open_watch_unchecked: before([u64::MAX, 33, 14]),
        })
    }
}
