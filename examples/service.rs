//! A service that is found: it listens, registers, answers, and leaves without failing a call.
//!
//! ```console
//! $ ETCD_ENDPOINTS=127.0.0.1:2379 cargo run --example service
//! $ ETCD_ENDPOINTS=127.0.0.1:2379 cargo run --example consumer   # in another terminal
//! ```
//!
//! Without `ETCD_ENDPOINTS` it runs on the embedded store, where nobody else can find it.

#![expect(clippy::print_stdout, reason = "it talks to whoever started it")]

use std::error::Error;
use std::time::Duration;

use portolan::{Registry, State};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // First listen: whoever finds us may call at once.
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    let id = format!("hello-{}", std::process::id());

    // Then register. Nothing here waits for etcd: were it away, we would serve all the same, and be
    // registered when it is back.
    let builder = match std::env::var("ETCD_ENDPOINTS") {
        Ok(endpoints) => Registry::builder().endpoints(endpoints.split(',')),
        Err(_) => Registry::builder().embedded(&portolan::Embedded::new()),
    };
    // Loopback is of use to this machine alone, so it has to be allowed.
    let registry = builder.allow_local_addresses(true).build()?;
    let hello = registry.group("hello")?;
    let instance = hello.instance(&id)?.endpoint("tcp", &address).label("zone", "here").build()?;
    let mut registration = hello.register(instance.clone())?;
    println!("{id} listens on {address}");

    // Serve until asked to end.
    let (mut interrupt, mut terminate) =
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let mut calls = JoinSet::new();
    tokio::select! {
        biased;
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        ended = serve(&listener, &id, &mut calls) => ended?,
        // Only a taken place ends a registration; etcd's troubles are mended.
        lost = registration.wait_for(|state| state.gone().is_some()) => println!("lost: {lost:?}"),
    }

    // Leave in order: say so, answer those who have not heard yet, be gone, finish.
    println!("draining");
    registration.update(instance.with_state(State::Draining))?;
    let _ = tokio::time::timeout(GRACE, serve(&listener, &id, &mut calls)).await;
    if let Err(error) = registration.deregister().await {
        println!("not removed: {error}");
    }
    drop(listener);
    while calls.join_next().await.is_some() {}
    registry.shutdown().await;
    println!("left");
    Ok(())
}

/// How long others may take to see that we drain. Well above what a directory needs.
const GRACE: Duration = Duration::from_millis(500);

/// Takes connections until that fails.
async fn serve(listener: &TcpListener, id: &str, calls: &mut JoinSet<()>) -> std::io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        calls.spawn(answer(stream, format!("hello from {id}\n")));
        // Those that have ended.
        while calls.try_join_next().is_some() {}
    }
}

async fn answer(mut stream: TcpStream, text: String) {
    // A caller that has gone need not be answered.
    let _ = stream.write_all(text.as_bytes()).await;
}
