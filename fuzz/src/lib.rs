//! Hostile input for portolan, from a fuzzer or from files.
//!
//! | target | what is handed to what |
//! |---|---|
//! | `records` | stored bytes to the decoding of layouts |
//! | `words` | names, endpoints, labels, times and flags to whoever reads them |
//! | `plans` | plan files and share links to the simulator and the playground |
//! | `engine` | any answers, in any order, to the engine |
//! | `model` | any requests to the model of etcd |
//! | `wire` | any bytes to the wire server's services |
//! | `world` | any plan to the simulator, with all its checks |
//!
//! A target is a function of bytes that panics where something does not hold. libFuzzer drives it
//! in `bins/`, the committed files drive it in `tests/`.

#[doc(hidden)]
pub mod tape;
pub mod targets;

use std::path::PathBuf;
use std::{env, fs};

/// Something that takes hostile input.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, that of its program and its folders.
    pub name: &'static str,
    /// Hands it some.
    pub run: fn(&[u8]),
    /// What to begin with, by name.
    pub seeds: fn() -> Vec<(String, Vec<u8>)>,
}

macro_rules! target {
    ($name:ident) => {
        Target { name: stringify!($name), run: targets::$name::run, seeds: targets::$name::seeds }
    };
}

/// All targets.
pub const TARGETS: &[Target] = &[
    target!(records),
    target!(words),
    target!(plans),
    target!(engine),
    target!(model),
    target!(wire),
    target!(world),
];

/// The program of a target: libFuzzer's, or one that runs the files it is given.
#[macro_export]
macro_rules! program {
    ($target:ident) => {
        #[cfg(fuzzing)]
        libfuzzer_sys::fuzz_target!(|input: &[u8]| portolan_fuzz::targets::$target::run(input));

        #[cfg(not(fuzzing))]
        fn main() {
            portolan_fuzz::replay(portolan_fuzz::targets::$target::run);
        }
    };
}

/// Runs the files that the command line names.
///
/// # Panics
/// Where the target does, or a file cannot be read.
pub fn replay(run: fn(&[u8])) {
    for path in env::args_os().skip(1).map(PathBuf::from) {
        let input = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        run(&input);
        println!("{}: holds", path.display());
    }
}
