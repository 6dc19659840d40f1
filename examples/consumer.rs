//! A program that finds others: it follows a group, picks an instance for each call, and says what
//! changes. See `examples/service.rs` for what it finds.
//!
//! Without `ETCD_ENDPOINTS` it runs on the embedded store, with two instances of its own to see.

#![expect(clippy::print_stdout, reason = "it talks to whoever started it")]

use std::error::Error;
use std::time::Duration;

use portolan::{Change, Directory, Embedded, Registration, Registry};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::{interval, timeout};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let endpoints = std::env::var("ETCD_ENDPOINTS").ok();
    let builder = match &endpoints {
        Some(endpoints) => Registry::builder().endpoints(endpoints.split(',')),
        None => Registry::builder().embedded(&Embedded::new()),
    };
    let registry = builder.build()?;
    let _own = if endpoints.is_none() { some_instances(&registry)? } else { Vec::new() };

    // A local copy of the group. It is empty, and says so, until etcd has answered; from then on it
    // is always the content at some revision, also while etcd is away.
    let directory = registry.group("hello")?.directory();
    let mut changes = directory.changes();
    let mut ticks = interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            biased;
            _ = tokio::signal::ctrl_c() => break,
            difference = changes.next() => {
                let Some(difference) = difference else { break };
                for change in &difference.changes {
                    say(change);
                }
                let snapshot = &difference.snapshot;
                println!("{:?} at revision {}", snapshot.freshness(), snapshot.revision());
            }
            _ = ticks.tick() => call(&directory).await,
        }
    }
    registry.shutdown().await;
    Ok(())
}

fn say(change: &Change) {
    let (what, record) = match change {
        Change::Added { record, .. } => ("new", record),
        Change::Updated { record, .. } => ("now", record),
        Change::Removed { before, .. } => ("gone", before),
    };
    if let Some(instance) = record.instance() {
        println!("{what}: {instance}");
    }
}

/// Calls the next instance that is ready.
async fn call(directory: &Directory) {
    // Takes no lock and asks nobody: good enough for each single call.
    let Some(record) = directory.pick() else {
        println!("nobody to call");
        return;
    };
    let Some(instance) = record.instance() else { return };
    let Some(address) = instance.endpoint("tcp") else { return };
    match timeout(Duration::from_millis(500), greeting(address)).await {
        Ok(Ok(text)) => println!("{}: {}", instance.id(), text.trim_end()),
        // It may be gone before its lease says so: then the next pick is for somebody else.
        Ok(Err(error)) => println!("{} at {address}: {error}", instance.id()),
        Err(_) => println!("{} at {address}: no answer", instance.id()),
    }
}

async fn greeting(address: &str) -> std::io::Result<String> {
    let mut text = String::new();
    TcpStream::connect(address).await?.read_to_string(&mut text).await?;
    Ok(text)
}

/// Something to see, on addresses that nobody has.
fn some_instances(registry: &Registry) -> Result<Vec<Registration>, Box<dyn Error>> {
    let hello = registry.group("hello")?;
    let register = |number: u8| {
        let address = format!("192.0.2.{number}:80");
        let instance = hello.instance(&format!("hello-{number}"))?.endpoint("tcp", address);
        Ok(hello.register(instance.build()?)?)
    };
    (1..=2).map(register).collect()
}
