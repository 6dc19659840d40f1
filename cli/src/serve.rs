//! An etcd in memory, for tests and development.

use std::path::Path;

use portolan_wire::{Config, Etcd, Limits, Server, Tls, TlsError};
use serde::Serialize;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::args::Serve;
use crate::fail::Failure;
use crate::out::{self, Out};
use crate::signals::Signals;

/// What is served, and where.
#[derive(Serialize)]
struct Serving {
    addresses: Vec<String>,
    version: String,
}

pub async fn run(out: Out, args: Serve) -> Result<(), Failure> {
    let config = match &args.release {
        Some(release) => Config::of_version(release).ok_or_else(|| {
            Failure::Usage(format!("--as {release:?} is no version of etcd, such as 3.5.16"))
        })?,
        None => Config::default(),
    };
    let count = args.listen.len();
    let config = config.members(u16::try_from(count).unwrap_or(u16::MAX));
    let members = config.member_ids().count();
    if members < count {
        return Err(Failure::Usage(format!(
            "--listen is given {count} times; a cluster has at most {members} members"
        )));
    }
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
    let etcd = Etcd::new(config);
    let mut servers = Vec::new();
    for (address, member) in args.listen.iter().zip((0..).map_while(|place| etcd.member(place))) {
        let server = Server::bind(*address, member).await.map_err(|error| {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
            Failure::Failed(format!("{error}{}", cause.unwrap_or_default()))
        })?;
        let server = server.log(|served| out::note(served));
        servers.push(match &tls {
            Some(tls) => server.tls(tls.clone()),
            None => server,
        });
    }
    let scheme = if tls.is_some() { "https://" } else { "" };
    let addresses = servers.iter().map(|server| format!("{scheme}{}", server.address()));
    let addresses: Vec<_> = addresses.collect();
    let text = format!("listening on {} as etcd {version}", addresses.join(", "));
    out.one(text, &Serving { addresses, version })?;
    let (end, ending) = watch::channel(());
    let mut serving = JoinSet::new();
    for server in servers {
        let mut ending = ending.clone();
        // Told, or gone.
        serving.spawn(server.serve(async move { drop(ending.changed().await) }));
    }
    signals.next_end().await;
    drop(end);
    while serving.join_next().await.is_some() {}
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
