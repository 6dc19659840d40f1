//! The registry in a simulated network: handles, driver, etcd backend and etcd-client as they are,
//! against the model of etcd on other hosts, under madsim.
//!
//! ```text
//! host "process 0..3": portolan ─ portolan-etcd ─ etcd-client ─ Wire ══╗  a TCP stream of madsim's
//! host "etcd 0..4":    portolan-wire's services ─ model ─── serve ═════╝  for each gRPC call
//! host "main":         the plan: steps, faults, and the checks
//! ```
//! What is simulated is the runtime alone: our packages are compiled from their own sources under
//! other manifests (`under/`), which put madsim's tokio in tokio's place, and an engine that is
//! listened to in the engine's. So neither their manifests nor their sources know of it. What the
//! engines hear and say, and what the model's log tells, is the trace; the simulator's checks hold it to
//! the same properties as the simulator's own.

#[cfg(not(madsim))]
compile_error!("this is built with RUSTFLAGS='--cfg madsim': see `make madsim`");

mod app;
mod authors;
mod bridge;
mod chance;
mod checks;
mod command;
mod draw;
mod links;
mod plan;
mod reader;
mod record;
mod run;
mod seen;
mod tally;
mod world;

fn main() -> std::process::ExitCode {
    command::main()
}
