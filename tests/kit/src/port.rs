//! Loopback ports that stay ours, also while the server on them is down.
//!
//! Binding to port 0 gives a port of the ephemeral range, and while a killed server is down the
//! kernel may hand it to any outgoing connection: the restart then fails, or, worse, a client that
//! redials the port connects to itself. So ports are taken from below that range, and an abstract
//! socket name tells the other test processes which ones are taken; the kernel drops the name when
//! its process ends, however it ends.

use std::{
    fs,
    io::{self, ErrorKind},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr as UnixAddr, UnixListener},
    },
    process,
    sync::atomic::{AtomicU32, Ordering},
};

use crate::KitError;

/// A loopback TCP port on which nothing listened when it was reserved, and which no other test
/// process of this kit is given while this value lives.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _reservation: UnixListener,
}

impl Port {
    /// Reserves a port.
    ///
    /// # Errors
    /// [`KitError::Os`] when every port of the range is taken, or sockets cannot be made at all.
    pub fn reserve() -> Result<Self, KitError> {
        let (low, high) = range();
        let count = u32::from(high - low) + 1;
        for _ in 0..count {
            let step = NEXT.fetch_add(1, Ordering::Relaxed);
            // Processes start far apart, and each goes on from where it was.
            let offset = process::id().wrapping_mul(STRIDE).wrapping_add(step) % count;
            let number = low + u16::try_from(offset).expect("the range is of u16s");
            match Self::try_reserve(number) {
                Ok(port) => return Ok(port),
                Err(error) if error.kind() == ErrorKind::AddrInUse => {}
                Err(error) => return Err(KitError::os(format!("reserving port {number}"))(error)),
            }
        }
        let taken = io::Error::from(ErrorKind::AddrInUse);
        Err(KitError::os(format!("reserving one of the ports {low} to {high}"))(taken))
    }

    /// Its number.
    #[must_use]
    pub fn number(&self) -> u16 {
        self.number
    }

    /// `127.0.0.1` and the number.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.number))
    }

    fn try_reserve(number: u16) -> io::Result<Self> {
        let name = UnixAddr::from_abstract_name(format!("portolan-port-{number}"))?;
        let reservation = UnixListener::bind_addr(&name)?;
        // Something that is not ours may listen there.
        TcpListener::bind((Ipv4Addr::LOCALHOST, number))?;
        Ok(Self { number, _reservation: reservation })
    }
}

/// The ports to choose from, both ends included: at most `WIDTH`, next below (or else above) those
/// from which the kernel takes the ports of outgoing connections.
fn range() -> (u16, u16) {
    let text = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let mut ends = text.split_whitespace().map(|end| end.parse().unwrap_or(0));
    match (ends.next(), ends.next()) {
        (Some(low), _) if low > LOWEST + WIDTH => (low - WIDTH, low - 1),
        (_, Some(high)) if high > LOWEST && u16::MAX - high >= WIDTH => (high + 1, high + WIDTH),
        // Nothing is left beside the ephemeral range, or it cannot be read.
        _ => (DEFAULT_LOW - WIDTH, DEFAULT_LOW - 1),
    }
}

static NEXT: AtomicU32 = AtomicU32::new(0);

/// Below it are the ports of well-known services.
const LOWEST: u16 = 10_000;
const WIDTH: u16 = 12_000;
/// Linux's own default for the low end of the ephemeral range.
const DEFAULT_LOW: u16 = 32_768;
/// A prime, so that neighbouring process ids land far apart.
const STRIDE: u32 = 211;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ports_differ_while_they_are_held() {
        let held: Vec<Port> =
            (0..50).map(|_| Port::reserve().expect("enough ports are free")).collect();
        let numbers: BTreeSet<u16> = held.iter().map(Port::number).collect();
        assert_eq!(numbers.len(), held.len());
    }

    #[test]
    fn a_reserved_port_is_refused_to_a_second_taker_until_it_is_dropped() {
        let port = Port::reserve().expect("a port is free");
        let number = port.number();
        let refused = Port::try_reserve(number).expect_err("it is taken");
        assert_eq!(refused.kind(), ErrorKind::AddrInUse);
        drop(port);
        Port::try_reserve(number).expect("it is free again");
    }

    #[test]
    fn a_port_on_which_something_listens_is_refused() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("listen");
        let number = listener.local_addr().expect("bound").port();
        let refused = Port::try_reserve(number).expect_err("somebody listens there");
        assert_eq!(refused.kind(), ErrorKind::AddrInUse);
    }

    #[test]
    fn the_range_is_outside_the_ephemeral_one() {
        let (low, high) = range();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("listen");
        let ephemeral = listener.local_addr().expect("bound").port();
        assert!(!(low..=high).contains(&ephemeral), "{ephemeral} in {low}..={high}");
    }
}
