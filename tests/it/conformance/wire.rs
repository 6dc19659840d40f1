//! The model behind etcd's own gRPC, in a thread of its own.

use std::thread::JoinHandle;

use portolan_memory::{Config, Fault, Limits};
use portolan_wire::{Etcd, Server};
use tokio::sync::oneshot;

use super::store::Happening;

/// A server that runs until it is dropped.
pub struct Wire {
    pub etcd: Etcd,
    url: String,
    release: String,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Wire {
    pub fn start(config: Config) -> Self {
        // The limit of its own would end long answers sooner than etcd does (W8, W14).
        let limits = Limits { stream_bytes: Some(16 << 20), ..config.limits };
        let config = Config { limits, ..config };
        let release = config.version.clone();
        let (started, starting) = std::sync::mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime starts").block_on(async {
                let address = "127.0.0.1:0".parse().expect("an address");
                let etcd = Etcd::new(config);
                let server = Server::bind(address, etcd.clone()).await.expect("it listens");
                let known = (etcd, format!("http://{}", server.address()));
                started.send(known).expect("somebody waits");
                server.serve(async { drop(stopped.await) }).await;
            });
        });
        let (etcd, url) = starting.recv().expect("it starts");
        Self { etcd, url, release, stop: Some(stop), thread: Some(thread) }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn release(&self) -> &str {
        &self.release
    }

    pub fn happen(&self, event: Happening) {
        self.etcd.fault(match event {
            Happening::Restart => Fault::Restart,
            Happening::Wipe => Fault::Wipe,
            Happening::Pause => Fault::Pause,
            Happening::Resume => Fault::Resume,
            Happening::Fill => Fault::SpaceAlarm(true),
            Happening::LoseLeader
            | Happening::FindLeader
            | Happening::PauseMember(_)
            | Happening::ResumeMember(_)
            | Happening::KillMember(_)
            | Happening::StartMember(_) => panic!("it has one member"),
        });
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
