//! A TCP connection that behaves badly: it passes bytes on, one at a time, or not at all, or hangs up.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::sleep,
};

use crate::ipfs::Error;

/// Bytes passed on at once by a good wire.
const CHUNK_BYTES: usize = 64 << 10;

/// How a wire behaves, also in the middle of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Passes everything on.
    Good,
    /// Passes one byte on, then waits so long.
    Drip(Duration),
    /// Accepts calls and passes nothing on.
    Hang,
    /// Hangs up on every call, and on those that are going on.
    Refuse,
}

/// A wire on loopback to a server. It is cut when it is dropped.
#[derive(Debug)]
pub struct Wire {
    local: SocketAddr,
    mode: watch::Sender<Mode>,
    calls: watch::Receiver<u64>,
    task: JoinHandle<()>,
}

impl Wire {
    /// Lays a good wire to the server at `to`.
    pub async fn to(to: SocketAddr) -> Result<Self, Error> {
        let failed = |error: std::io::Error| Error::Network(error.to_string());
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(failed)?;
        let local = listener.local_addr().map_err(failed)?;
        let (mode, set) = watch::channel(Mode::Good);
        let (counted, calls) = watch::channel(0);
        Ok(Self { local, mode, calls, task: tokio::spawn(accept(listener, to, set, counted)) })
    }

    /// Where to call instead of the server.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// Behaves like this from now on.
    pub fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// Waits until somebody has called.
    pub async fn called(&self) {
        let _ = self.calls.clone().wait_for(|calls| *calls > 0).await;
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, to: SocketAddr, mode: watch::Receiver<Mode>, counted: watch::Sender<u64>) {
    let mut calls = JoinSet::new();
    while let Ok((caller, _)) = listener.accept().await {
        counted.send_modify(|calls| *calls += 1);
        calls.spawn(pass(caller, to, mode.clone()));
        while calls.try_join_next().is_some() {}
    }
}

async fn pass(caller: TcpStream, to: SocketAddr, mut mode: watch::Receiver<Mode>) {
    if *mode.borrow() == Mode::Refuse {
        return;
    }
    let Ok(server) = TcpStream::connect(to).await else { return };
    let ((from_caller, to_caller), (from_server, to_server)) = (caller.into_split(), server.into_split());
    tokio::select! {
        () = one_way(from_caller, to_server, mode.clone()) => {}
        () = one_way(from_server, to_caller, mode.clone()) => {}
        _ = mode.wait_for(|mode| *mode == Mode::Refuse) => {}
    }
}

async fn one_way(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut mode: watch::Receiver<Mode>) {
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        let now = *mode.borrow_and_update();
        let (most, pause) = match now {
            Mode::Good => (CHUNK_BYTES, Duration::ZERO),
            Mode::Drip(pause) => (1, pause),
            Mode::Hang | Mode::Refuse => {
                if mode.changed().await.is_err() {
                    return;
                }
                continue;
            }
        };
        let read = tokio::select! {
            read = from.read(&mut buffer[..most]) => read,
            _ = mode.changed() => continue,
        };
        let Ok(count @ 1..) = read else { return };
        sleep(pause).await;
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
