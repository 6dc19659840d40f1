//! The simulator in a browser: serves the folder that `make playground` builds, on this machine alone.

mod pages;

use std::convert::Infallible;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::args::Playground;
use crate::fail::Failure;
use crate::out::Out;
use crate::signals::Signals;

use self::pages::Pages;

/// What is served, and where.
#[derive(Serialize)]
struct Serving {
    url: String,
    folder: String,
}

pub async fn run(out: Out, args: Playground) -> Result<(), Failure> {
    let (address, folder) = (args.listen, args.dir.display().to_string());
    if !address.ip().is_loopback() {
        let words =
            "is for other machines too; the playground is for this one, as at 127.0.0.1:7411";
        return Err(Failure::Usage(format!("--listen {address} {words}")));
    }
    let pages = pages(&args.dir)?;
    let mut signals = Signals::listen()?;
    let cannot = |error| Failure::Failed(format!("cannot listen on {address}: {error}"));
    let listener = TcpListener::bind(address).await.map_err(cannot)?;
    let url = format!("http://{}/", listener.local_addr().map_err(cannot)?);
    out.one(format!("serving {folder} on {url}"), &Serving { url, folder })?;
    serve(&listener, pages, signals.next_end()).await;
    Ok(())
}

fn pages(folder: &Path) -> Result<Arc<Pages>, Failure> {
    // It stays the same folder, and is looked up for each request: it may be built anew meanwhile.
    let shown = folder.display();
    let absolute = std::path::absolute(folder)
        .map_err(|error| Failure::Failed(format!("cannot read {shown}: {error}")))?;
    if !absolute.join(pages::INDEX).is_file() {
        let words = "`make playground` builds target/playground, --dir names another folder";
        let index = pages::INDEX;
        return Err(Failure::NotFound(format!("there is no {index} in {shown}: {words}")));
    }
    Ok(Arc::new(Pages::new(absolute)))
}

/// Until `end`. When it returns no connection is open.
async fn serve(listener: &TcpListener, pages: Arc<Pages>, end: impl Future<Output = ()>) {
    let (told, ending) = watch::channel(());
    let (mut end, mut connections) = (pin!(end), JoinSet::new());
    loop {
        tokio::select! {
            biased;
            () = &mut end => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < MOST_CONNECTIONS => match accepted {
                Ok((socket, _)) => {
                    connections.spawn(connected(socket, pages.clone(), ending.clone()));
                }
                // Its client is gone already, or there are no files left.
                Err(_) => sleep(OUT_OF_FILES).await,
            }
        }
    }
    drop(told);
    while connections.join_next().await.is_some() {}
}

/// One connection, which is over by itself in [`LONGEST`] whatever its client does, and soon after
/// the server `is_ending`.
async fn connected(socket: TcpStream, pages: Arc<Pages>, mut is_ending: watch::Receiver<()>) {
    let service = service_fn(|request| {
        let answer = pages.answer(&request);
        async { Ok::<_, Infallible>(answer) }
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(FIRST_WORD)
            .max_buf_size(LONGEST_HEAD)
            .serve_connection(TokioIo::new(socket), service)
    );
    tokio::select! {
        biased;
        // Its client is gone, or was told what is wrong with its request.
        _ = &mut connection => return,
        _ = is_ending.changed() => {}
        () = sleep(LONGEST) => {}
    }
    connection.as_mut().graceful_shutdown();
    // What it has not read by then it does not want.
    let _ = timeout(LAST_WORD, connection).await;
}

/// How many connections are open at a time; more wait. A browser opens six.
const MOST_CONNECTIONS: usize = 64;

/// How long the head of a request may take, from its first byte or the answer before it.
const FIRST_WORD: Duration = Duration::from_secs(10);

/// How long a head may be, in bytes, and how much is read ahead.
const LONGEST_HEAD: usize = 16 << 10;

/// How long a connection lasts; a browser opens the next one unasked.
const LONGEST: Duration = Duration::from_secs(60);

/// How long an answer that is under way then has left.
const LAST_WORD: Duration = Duration::from_secs(1);

/// How long to wait when the system gives no more connections, as when it is out of files.
const OUT_OF_FILES: Duration = Duration::from_millis(100);
