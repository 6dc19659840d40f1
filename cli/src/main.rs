//! The program; all of it is in the library, where fuzzing reaches it.

use std::process::ExitCode;

fn main() -> ExitCode {
    portolan_cli::main()
}
