//! The model behind etcd's own gRPC, all of its members in a thread of their own.

use std::thread::JoinHandle;

use portolan_memory::{Config, Limits};
use portolan_wire::{Etcd, Server};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::model;
use super::store::Happening;

/// An etcd whose members are served until it is dropped.
pub struct Wire {
    pub etcd: Etcd,
    urls: Vec<String>,
    release: String,
    stop: Option<watch::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Wire {
    pub fn start(config: Config) -> Self {
        // The limit of its own would end long answers sooner than etcd does (W8, W14).
        let limits = Limits { stream_bytes: Some(16 << 20), ..config.limits };
        let config = Config { limits, ..config };
        let release = config.version.clone();
        let (started, starting) = std::sync::mpsc::channel();
        let (stop, stopped) = watch::channel(());
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime starts").block_on(async {
                let etcd = Etcd::new(config);
                let (mut urls, mut serving) = (Vec::new(), JoinSet::new());
                for member in (0..).map_while(|place| etcd.member(place)) {
                    let address = ([127, 0, 0, 1], 0).into();
                    let server = Server::bind(address, member).await.expect("it listens");
                    urls.push(format!("http://{}", server.address()));
                    let mut stopped = stopped.clone();
                    serving.spawn(server.serve(async move { drop(stopped.changed().await) }));
                }
                started.send((etcd, urls)).expect("somebody waits");
                while serving.join_next().await.is_some() {}
            });
        });
        let (etcd, urls) = starting.recv().expect("it starts");
        Self { etcd, urls, release, stop: Some(stop), thread: Some(thread) }
    }

    pub fn urls(&self) -> &[String] {
        &self.urls
    }

    pub fn release(&self) -> &str {
        &self.release
    }

    pub fn leader(&self) -> Option<u16> {
        self.etcd.look(model::leader)
    }

    pub fn happen(&self, event: Happening) {
        for fault in model::faults(event, self.urls.len()) {
            self.etcd.fault(fault);
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().expect("it ends well");
        }
    }
}
