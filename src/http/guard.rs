//! Limits on connections: how many, how long a head may take, how long a write may stall.

use std::{
    collections::HashMap,
    future::Future,
    io,
    net::{IpAddr, Ipv6Addr},
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

/// Open connections in all.
pub(super) const MAX_CONNECTIONS: usize = 512;
/// Open connections from one address (IPv6: from one /64); loopback is exempt.
pub(super) const MAX_PER_ADDRESS: usize = 32;
/// From the first byte of a head to its last.
pub(super) const HEAD_WITHIN: Duration = Duration::from_secs(10);
/// How long a client may take nothing of what is sent.
pub(super) const WRITE_STALL: Duration = Duration::from_secs(30);

/// Counts the open connections.
#[derive(Clone, Debug, Default)]
pub(super) struct Admission {
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
    /// A ticket for a connection from `address`, or `None` when too many are open.
    pub(super) fn admit(&self, address: IpAddr) -> Option<Ticket> {
        let address = network_of(address);
        let mut open = self.locked();
        if open.total >= MAX_CONNECTIONS {
            return None;
        }
        let of_address = open.by_address.entry(address).or_default();
        if *of_address >= MAX_PER_ADDRESS && !address.is_loopback() {
            return None;
        }
        *of_address += 1;
        open.total += 1;
        Some(Ticket { admission: self.clone(), address })
    }

    fn locked(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
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
    head: Option<Pin<Box<Sleep>>>,
    write: Option<Pin<Box<Sleep>>>,
}

impl Guarded {
    pub(super) fn new(stream: TcpStream, phase: Phase) -> Self {
        Self { stream, phase, head: None, write: None }
    }

    fn progress_of_write<T>(&mut self, cx: &mut Context<'_>, poll: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if poll.is_ready() {
            self.write = None;
            return poll;
        }
        let stall = self.write.get_or_insert_with(|| timer(WRITE_STALL));
        stall.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

fn timer(wait: Duration) -> Pin<Box<Sleep>> {
    Box::pin(sleep(wait))
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
            this.head.get_or_insert_with(|| timer(HEAD_WITHIN));
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
