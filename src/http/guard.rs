//! Limits on connections: how many, how long a head may take, how long a write may stall.

use std::{
    collections::HashMap,
    future::Future,
    io::{self, Read as _, Write as _},
    net::{IpAddr, Ipv6Addr, Shutdown},
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Sleep, sleep},
};
use tracing::debug;

/// The most open connections in all.
pub const MAX_CONNECTIONS: usize = 512;

/// What a client may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Open connections in all.
    pub(super) connections: usize,
    /// Open connections from one address (IPv6: from one /64); loopback is exempt.
    pub(super) per_address: usize,
    /// From the first byte of a head to its last.
    pub(super) head_within: Duration,
    /// Between two requests.
    pub(super) idle: Duration,
    /// How long a client may take nothing of what is sent.
    pub(super) write_stall: Duration,
}

impl Limits {
    /// With so many open connections in all.
    pub(super) fn of(connections: usize) -> Self {
        Self { connections: connections.clamp(1, MAX_CONNECTIONS), ..Self::default() }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: MAX_CONNECTIONS,
            per_address: 32,
            head_within: Duration::from_secs(10),
            idle: Duration::from_secs(30),
            write_stall: Duration::from_secs(30),
        }
    }
}

/// Counts the open connections.
#[derive(Clone, Debug)]
pub(super) struct Admission {
    limits: Limits,
    open: Arc<Mutex<Open>>,
}

#[derive(Debug, Default)]
struct Open {
    total: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// The right to one connection; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Ticket {
    admission: Admission,
    address: IpAddr,
}

impl Admission {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, open: Arc::default() }
    }

    /// A ticket for a connection from `address`, or `None` when too many are open.
    pub(super) fn admit(&self, address: IpAddr) -> Option<Ticket> {
        let address = network_of(address);
        let mut open = self.locked();
        if open.total >= self.limits.connections {
            return None;
        }
        let of_address = open.by_address.get(&address).copied().unwrap_or_default();
        if of_address >= self.limits.per_address && !address.is_loopback() {
            return None;
        }
        open.by_address.insert(address, of_address + 1);
        open.total += 1;
        Some(Ticket { admission: self.clone(), address })
    }

    fn locked(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is answered where no more connections are admitted, whatever is asked (RFC 9110 §15.6.4): a list is worth another
/// look after a segment's time.
const FULL: &str = "HTTP/1.1 503 Service Unavailable\r\n\
    Retry-After: 6\r\n\
    Content-Type: text/plain; charset=utf-8\r\n\
    Content-Length: 39\r\n\
    Cache-Control: no-store\r\n\
    Access-Control-Allow-Origin: *\r\n\
    Connection: close\r\n\r\n\
    too many connections: try again later\r\n";

/// Closes a connection that is not admitted, with a word. It waits for nothing: what cannot be written at once is not written,
/// and of the request only what has come is read, for a close with unread bytes is a reset, which can overtake the answer.
pub(super) fn turn_away(connection: TcpStream) {
    let told = connection.into_std().and_then(|mut connection| {
        connection.write_all(FULL.as_bytes())?;
        connection.shutdown(Shutdown::Write)?;
        connection.read(&mut [0; 2_048])
    });
    if let Err(error) = told
        && error.kind() != io::ErrorKind::WouldBlock
    {
        debug!(%error, "a connection was turned away without a word");
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut open = self.admission.locked();
        open.total -= 1;
        if let Some(of_address) = open.by_address.get_mut(&self.address) {
            *of_address -= 1;
            if *of_address == 0 {
                open.by_address.remove(&self.address);
            }
        }
    }
}

/// One household has a whole /64 of IPv6, so that counts as one address.
fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) if !v6.is_loopback() => {
            let [a, b, c, d, ..] = v6.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        address => address,
    }
}

/// Tells the socket that the head it was reading is complete.
#[derive(Clone, Debug, Default)]
pub(super) struct Phase {
    complete: Arc<AtomicBool>,
}

impl Phase {
    pub(super) fn head_is_complete(&self) {
        self.complete.store(true, Ordering::Release);
    }
}

/// A socket that fails when a head takes too long or a write stalls. Idle time between requests is hyper's to bound.
#[derive(Debug)]
pub(super) struct Guarded {
    stream: TcpStream,
    phase: Phase,
    limits: Limits,
    head: Option<Pin<Box<Sleep>>>,
    write: Option<Pin<Box<Sleep>>>,
}

impl Guarded {
    pub(super) fn new(stream: TcpStream, phase: Phase, limits: Limits) -> Self {
        Self { stream, phase, limits, head: None, write: None }
    }

    fn progress_of_write<T>(&mut self, cx: &mut Context<'_>, poll: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if poll.is_ready() {
            self.write = None;
            return poll;
        }
        let wait = self.limits.write_stall;
        let stall = self.write.get_or_insert_with(|| Box::pin(sleep(wait)));
        stall.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Guarded {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.phase.complete.swap(false, Ordering::AcqRel) {
            this.head = None;
        }
        let before = buf.filled().len();
        let poll = Pin::new(&mut this.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            let wait = this.limits.head_within;
            this.head.get_or_insert_with(|| Box::pin(sleep(wait)));
        }
        match (&poll, this.head.as_mut()) {
            (Poll::Pending, Some(head)) => head.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into())),
            _ => poll,
        }
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.progress_of_write(cx, poll)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.progress_of_write(cx, poll)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(connections: usize) -> Admission {
        Admission::new(Limits { connections, per_address: 3, ..Limits::default() })
    }

    #[test]
    fn an_address_has_its_share_and_gets_it_back() {
        let admission = admission(100);
        let address: IpAddr = "192.0.2.1".parse().unwrap();
        let mapped: IpAddr = "::ffff:192.0.2.1".parse().unwrap();
        let mut tickets: Vec<_> = (0..3).filter_map(|_| admission.admit(address)).collect();
        assert_eq!(tickets.len(), 3);
        assert!(admission.admit(address).is_none());
        assert!(admission.admit(mapped).is_none(), "the same address");
        assert!(admission.admit("192.0.2.2".parse().unwrap()).is_some(), "another address");
        tickets.pop();
        assert!(admission.admit(address).is_some());
        drop(tickets);
        assert!(admission.locked().by_address.is_empty(), "nothing is kept of who has left");
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        let admission = admission(100);
        let from = |host: u16| admission.admit(Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, host).into());
        let tickets: Vec<_> = (0..10).filter_map(from).collect();
        assert_eq!(tickets.len(), 3);
        assert!(admission.admit("2001:db8:0:2::1".parse().unwrap()).is_some());
    }

    #[test]
    fn loopback_has_no_share_but_the_total_holds() {
        for address in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            let admission = admission(10);
            let tickets: Vec<_> = (0..20).filter_map(|_| admission.admit(address.parse().unwrap())).collect();
            assert_eq!(tickets.len(), 10, "{address}");
        }
    }
}
