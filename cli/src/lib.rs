//! The command line of the portolan service registry.
//!
//! | module | what it does |
//! |---|---|
//! | `args` | what can be said on the command line |
//! | `parse` | one value of it |
//! | `store` | which etcd, as whom, in which layout; waiting for its answer |
//! | `out` | tables and JSON on standard output, notes on standard error |
//! | `fail` | why a command failed, and with which exit status |
//! | `demo` | the main job as a story |
//! | `register`, `child`, `probe`, `signals` | an instance is registered while a program runs |
//! | `deregister` | an instance is taken out by somebody else |
//! | `list`, `watch`, `show` | what is registered |
//! | `config`, `pretty` | a group's configuration |
//! | `sim` | the simulator |
//! | `serve` | an etcd in memory |
//! | `playground` | the simulator in a browser |

mod args;
mod child;
mod config;
mod demo;
mod deregister;
mod fail;
mod list;
mod out;
mod parse;
mod playground;
mod pretty;
mod probe;
mod register;
mod serve;
mod show;
mod signals;
mod sim;
mod store;
mod watch;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

use crate::args::{Cli, Command};
use crate::fail::Failure;
use crate::store::Store;

/// The program.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return fail::wrong_usage(&error),
    };
    let status = match tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()
    {
        Ok(runtime) => {
            let status = runtime.block_on(run(cli));
            // A name server that does not answer must not hold up the end.
            runtime.shutdown_background();
            status
        }
        Err(error) => Err(Failure::Failed(format!("no threads: {error}"))),
    };
    match status {
        Ok(status) => ExitCode::from(status),
        Err(failure) => failure.tell(),
    }
}

/// What a command line asks for, in words that hide its secrets.
///
/// # Errors
/// What the user is told of a command line that says nothing, or asks for help.
pub fn read(line: impl IntoIterator<Item: Into<OsString> + Clone>) -> Result<String, String> {
    match Cli::try_parse_from(line) {
        Ok(cli) => Ok(format!("{cli:?}")),
        Err(error) => Err(error.to_string()),
    }
}

/// Does what was asked; the exit status is 0 but for commands run by `register`.
async fn run(cli: Cli) -> Result<u8, Failure> {
    let out = cli.globals.out();
    let store = || Store::new(&cli.globals);
    match cli.command {
        Command::Demo => demo::run(&store()?, out).await.map(|()| 0),
        Command::Register(args) => register::run(&store()?, args).await,
        Command::Deregister(args) => deregister::run(&store()?, out, args).await.map(|()| 0),
        Command::Groups => list::groups(&store()?, out).await.map(|()| 0),
        Command::Instances { group, selector } => {
            list::instances(&store()?, out, &group, &selector).await.map(|()| 0)
        }
        Command::Watch { group } => watch::run(&store()?, out, group).await.map(|()| 0),
        Command::Config(command) => config::run(&store()?, out, command).await.map(|()| 0),
        Command::Sim(command) => sim::run(out, command).map(|()| 0),
        Command::Serve(args) => serve::run(out, args).await.map(|()| 0),
        Command::Playground(args) => playground::run(out, args).await.map(|()| 0),
    }
}

/// Enough for one registry's driver and what follows it.
const WORKERS: usize = 2;
