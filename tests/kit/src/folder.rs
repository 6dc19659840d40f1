//! Where a server keeps its data: in memory where the machine has room, on disk otherwise.

use std::{env, path::Path};

use tempfile::TempDir;

use crate::KitError;

/// Makes a folder of its own for one server; dropping it removes it.
pub(crate) fn make() -> Result<TempDir, KitError> {
    let memory = Path::new("/dev/shm");
    let parent = if has_room(memory) { memory.to_owned() } else { env::temp_dir() };
    tempfile::Builder::new()
        .prefix(PREFIX)
        .tempdir_in(&parent)
        .map_err(KitError::os(format!("making a folder in {}", parent.display())))
}

/// A container's /dev/shm is often too small for even one server's log.
fn has_room(parent: &Path) -> bool {
    rustix::fs::statvfs(parent)
        .is_ok_and(|stat| stat.f_bavail.saturating_mul(stat.f_frsize) >= ROOM_BYTES)
}

const PREFIX: &str = "portolan-etcd-";

/// A member preallocates two log files of 64 MB; some tests run three members, and tests run side
/// by side.
const ROOM_BYTES: u64 = 1 << 30;
