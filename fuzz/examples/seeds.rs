//! Writes what the targets begin with: a folder for each, below the one that is named.

use std::path::PathBuf;
use std::{env, fs, io};

use portolan_fuzz::TARGETS;

fn main() -> io::Result<()> {
    let Some(below) = env::args_os().nth(1).map(PathBuf::from) else {
        return Err(io::Error::other("usage: seeds FOLDER"));
    };
    for target in TARGETS {
        let folder = below.join(target.name);
        fs::create_dir_all(&folder)?;
        for (name, input) in (target.seeds)() {
            fs::write(folder.join(format!("seed-{name}")), input)?;
        }
    }
    Ok(())
}
