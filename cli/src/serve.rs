//! An etcd in memory, for tests and development.

use portolan_wire::{Config, Server};
use serde::Serialize;

use crate::args::Serve;
use crate::fail::Failure;
use crate::out::Out;
use crate::signals::Signals;

/// What is served, and where.
#[derive(Serialize)]
struct Serving {
    address: String,
    version: String,
}

pub async fn run(out: Out, args: Serve) -> Result<(), Failure> {
    let config = match &args.release {
        Some(release) => Config::of_version(release).ok_or_else(|| {
            Failure::Usage(format!("--as {release:?} is no version of etcd, such as 3.5.16"))
        })?,
        None => Config::default(),
    };
    let version = config.version.clone();
    let mut signals = Signals::listen()?;
    let failed = |error: portolan_wire::ServeError| {
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
        Failure::Failed(format!("{error}{}", cause.unwrap_or_default()))
    };
    let server = Server::bind(args.listen, config).await.map_err(failed)?;
    let address = server.address().to_string();
    let text = format!("listening on {address} as etcd {version}");
    out.one(text, &Serving { address, version })?;
    server.serve(signals.next_end()).await.map_err(failed)
}
