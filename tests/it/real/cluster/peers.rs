//! What stands between the members of a cluster, so that one can be cut off from the others while
//! clients still reach it.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use portolan_kit::{Cluster, Etcd};

/// All ways between members lead through it.
#[derive(Clone, Default)]
pub struct Peers(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// The place of the one that is cut off, and how it calls itself.
    cut: Option<(usize, String)>,
    last: u64,
    open: Vec<Way>,
}

/// One connection.
struct Way {
    number: u64,
    /// The place of the one that listens.
    to: usize,
    /// What the one that dialled calls itself, once it has.
    from: Option<String>,
    ends: [TcpStream; 2],
}

impl Peers {
    /// Listens in the name of a member, as [`portolan_kit::Builder::peers_through`] wants it.
    pub fn way(&self, to: usize, port: u16) -> u16 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let way = listener.local_addr().expect("it is bound").port();
        let peers = self.clone();
        thread::spawn(move || {
            for dialled in listener.incoming().map_while(Result::ok) {
                if let Ok(listening) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) {
                    peers.join(to, dialled, listening);
                }
            }
        });
        way
    }

    /// Cuts one off: what is open to it and from it breaks, and nothing new comes about.
    pub fn cut(&self, cluster: &Cluster, place: usize) {
        let mut state = self.state();
        state.cut = Some((place, id_of(&cluster[place])));
        state.sweep();
    }

    pub fn heal(&self) {
        self.state().cut = None;
    }

    fn join(&self, to: usize, dialled: TcpStream, listening: TcpStream) {
        let twice = |end: &TcpStream| end.try_clone().expect("a descriptor is free");
        let mut state = self.state();
        state.last += 1;
        let number = state.last;
        let ends = [twice(&dialled), twice(&listening)];
        state.open.push(Way { number, to, from: None, ends });
        state.sweep();
        drop(state);
        for (from, into, names) in
            [(twice(&dialled), twice(&listening), true), (listening, dialled, false)]
        {
            let peers = self.clone();
            thread::spawn(move || {
                peers.pass(number, from, into, names);
                let mut state = peers.state();
                state.open.retain(|way| way.number != number || way.close());
            });
        }
    }

    /// Passes on what comes, and looks who it is that sends.
    fn pass(&self, number: u64, mut from: TcpStream, mut into: TcpStream, names: bool) {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            if names && let Some(name) = sender(&buffer[..count]) {
                let mut state = self.state();
                if let Some(way) = state.open.iter_mut().find(|way| way.number == number) {
                    way.from = Some(name);
                }
                state.sweep();
            }
            if into.write_all(&buffer[..count]).is_err() {
                return;
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn sweep(&mut self) {
        let Some((place, id)) = &self.cut else { return };
        let cut = |way: &Way| way.to == *place || way.from.as_ref() == Some(id);
        self.open.retain(|way| !cut(way) || way.close());
    }
}

impl Way {
    /// False: it is no more.
    fn close(&self) -> bool {
        for end in &self.ends {
            let _ = end.shutdown(Shutdown::Both);
        }
        false
    }
}

/// etcd: members say in each request to another who they are
/// (`server/etcdserver/api/rafthttp/http.go` and its neighbours).
fn sender(bytes: &[u8]) -> Option<String> {
    const NAME: &[u8] = b"X-Server-From: ";
    let at = bytes.windows(NAME.len()).position(|window| window == NAME)?;
    let rest = &bytes[at + NAME.len()..];
    let end = rest.iter().position(|byte| *byte == b'\r')?;
    Some(String::from_utf8_lossy(&rest[..end]).into_owned())
}

/// As etcd writes it in that line.
fn id_of(etcd: &Etcd) -> String {
    let text = super::etcdctl(etcd, &["endpoint", "status", "--write-out=fields"]);
    let line = text.lines().find_map(|line| line.strip_prefix("\"MemberID\" : "));
    let id: u64 = line.and_then(|id| id.parse().ok()).unwrap_or_else(|| panic!("{text}"));
    format!("{id:x}")
}
