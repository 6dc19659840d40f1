//! An etcd in memory in a process of its own: `serve`. It prints its address, and ends with its
//! standard input.

#![expect(clippy::print_stdout, reason = "it talks to whoever started it")]

use portolan_wire::{Config, Etcd, Server};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let server = Server::bind(([127, 0, 0, 1], 0).into(), Etcd::new(Config::default())).await?;
        println!("{}", server.address());
        server.serve(closed()).await;
        Ok(())
    })
}

/// Comes when nobody holds the other end of standard input any more.
async fn closed() {
    let read =
        tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink()));
    // However it ends, it has ended.
    drop(read.await);
}
