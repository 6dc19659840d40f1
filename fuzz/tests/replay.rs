//! What was found once is found no more: every file in `corpus/` and `regressions/`, and the seeds.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use portolan_fuzz::TARGETS;

const FOLDERS: [&str; 2] = ["corpus", "regressions"];

#[test]
fn every_seed_holds() {
    for target in TARGETS {
        let seeds = (target.seeds)();
        assert!(!seeds.is_empty(), "{} has no seeds", target.name);
        for (name, input) in seeds {
            told(&format!("{}: seed {name}", target.name), || (target.run)(&input));
        }
    }
}

#[test]
fn every_file_holds() {
    for target in TARGETS {
        for path in FOLDERS.iter().flat_map(|folder| files(&folder_of(folder, target.name))) {
            let input = fs::read(&path).expect("a file");
            told(&path.display().to_string(), || (target.run)(&input));
        }
    }
}

/// A folder of a target that is not there, or was renamed, would be passed over in silence.
#[test]
fn every_folder_has_a_target_and_a_program() {
    let targets: BTreeSet<_> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let names = |folder: &str| -> BTreeSet<String> {
        let name = |path: PathBuf| path.file_stem().expect("a name").to_str().map(str::to_owned);
        files(&here.join(folder)).into_iter().filter_map(name).collect()
    };
    assert_eq!(names("bins"), targets);
    assert!(names("corpus").is_subset(&targets), "{:?}", names("corpus"));
    assert!(names("regressions").is_subset(&targets), "{:?}", names("regressions"));
}

fn folder_of(folder: &str, target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join(target)
}

/// In the order of their names; of a folder that is not there, none.
fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files
}

/// Says what ran when something did not hold.
fn told(what: &str, run: impl FnOnce() + std::panic::UnwindSafe) {
    if let Err(panic) = std::panic::catch_unwind(run) {
        eprintln!("{what} does not hold");
        std::panic::resume_unwind(panic);
    }
}
