//! An etcd in memory, for tests and development.

use std::path::Path;

use portolan_wire::{Config, Etcd, Limits, Server, Tls, TlsError};
use serde::Serialize;

use crate::args::Serve;
use crate::fail::Failure;
use crate::out::{self, Out};
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
    if args.history > args.quota {
        let (history, quota) = (args.history, args.quota);
        let words =
            format!("--history {history} is more than --quota {quota}, of which it is a part");
        return Err(Failure::Usage(words));
    }
    let (quota_bytes, history_bytes) = (Some(args.quota), Some(args.history));
    let limits = Limits { quota_bytes, history_bytes, ..Limits::default() };
    let config = Config { limits, ..config };
    let tls = tls(&args)?;
    let version = config.version.clone();
    let mut signals = Signals::listen()?;
    let server = Server::bind(args.listen, Etcd::new(config)).await.map_err(|error| {
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
        Failure::Failed(format!("{error}{}", cause.unwrap_or_default()))
    })?;
    let server = server.log(|served| out::note(served));
    let (server, scheme) = match tls {
        Some(tls) => (server.tls(tls), "https://"),
        None => (server, ""),
    };
    let address = format!("{scheme}{}", server.address());
    let text = format!("listening on {address} as etcd {version}");
    out.one(text, &Serving { address, version })?;
    server.serve(signals.next_end()).await;
    Ok(())
}

fn tls(args: &Serve) -> Result<Option<Tls>, Failure> {
    let (Some(cert), Some(key)) = (&args.cert_file, &args.key_file) else { return Ok(None) };
    let authorities = args.trusted_ca_file.as_deref().map(read).transpose()?;
    let tls = Tls::from_pem(&read(cert)?, &read(key)?, authorities.as_deref());
    let refused = |error: TlsError| {
        let (option, file) = match &error {
            TlsError::Key(_) => ("--key-file", args.key_file.as_deref()),
            TlsError::ClientCa(_) => ("--trusted-ca-file", args.trusted_ca_file.as_deref()),
            TlsError::Certificate(_) | _ => ("--cert-file", args.cert_file.as_deref()),
        };
        let file = file.map(|file| file.display().to_string()).unwrap_or_default();
        Failure::Usage(format!("{option} {file}: {error}"))
    };
    tls.map(Some).map_err(refused)
}

fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(file)
        .map_err(|error| Failure::Usage(format!("cannot read {}: {error}", file.display())))
}
