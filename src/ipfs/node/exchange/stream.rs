//! One connection's bitswap streams. What comes is read by the handler of `rust_ipfs`; what goes out is written here,
//! over one stream, so that it is known how much of it the other has taken.

use std::{
    collections::VecDeque,
    mem,
    pin::Pin,
    task::{Context, Poll},
};

use futures::AsyncWrite;
use libp2p::{
    Stream, StreamProtocol,
    core::upgrade::ReadyUpgrade,
    swarm::{
        ConnectionHandler, ConnectionHandlerEvent, NetworkBehaviour, SubstreamProtocol,
        handler::{ConnectionEvent, DialUpgradeError, FullyNegotiatedOutbound, StreamUpgradeError},
    },
};
use rust_ipfs::p2p::bitswap;

use super::{
    queue::Want,
    wire::{self, PROTOCOL},
};

type Inner = <bitswap::Behaviour as NetworkBehaviour>::ConnectionHandler;
pub(super) type InnerIn = <Inner as ConnectionHandler>::FromBehaviour;
pub(super) type InnerOut = <Inner as ConnectionHandler>::ToBehaviour;

/// Entries of one want-list that are read; what is beyond is not heard.
const MAX_ENTRIES: usize = 16_384;
/// With so much to write nothing more is read: who asks must listen.
const MAX_UNWRITTEN_BYTES: usize = 1024 * 1024;

/// What the behaviour tells a connection.
#[derive(Debug)]
pub(in crate::ipfs) enum Order {
    /// From the behaviour of `rust_ipfs`: what we want.
    Inner(InnerIn),
    /// An answer, ready to be written.
    Answer(Vec<u8>),
}

/// What a connection tells the behaviour.
#[derive(Debug)]
pub(in crate::ipfs) enum News {
    /// For the behaviour of `rust_ipfs`: what came for our wants.
    Inner(InnerOut),
    /// A want-list; `all`: the peer wants nothing else.
    Wants { wants: Vec<Want>, all: bool },
    /// As many bytes of answers have been written, or were lost with their stream.
    Taken(usize),
}

#[derive(Debug)]
enum Out {
    Closed,
    Opening,
    Open(Stream),
    Unsupported,
}

pub(in crate::ipfs) struct Handler {
    inner: Inner,
    out: Out,
    /// Messages to write, each with whether it is an answer.
    queue: VecDeque<(Vec<u8>, bool)>,
    /// Bytes of the first one that are written.
    written: usize,
    unwritten_bytes: usize,
    flushed: bool,
    asked_to_open: bool,
    news: VecDeque<News>,
}

type Event = ConnectionHandlerEvent<ReadyUpgrade<StreamProtocol>, (), News>;

impl Handler {
    pub(super) fn new(inner: Inner) -> Self {
        Self {
            inner,
            out: Out::Closed,
            queue: VecDeque::new(),
            written: 0,
            unwritten_bytes: 0,
            flushed: true,
            asked_to_open: false,
            news: VecDeque::new(),
        }
    }

    fn queue(&mut self, message: Vec<u8>, answer: bool) {
        if matches!(self.out, Out::Unsupported) {
            self.news.extend(answer.then_some(News::Taken(message.len())));
            return;
        }
        self.unwritten_bytes += message.len();
        self.queue.push_back((message, answer));
    }

    /// Writes what can be written. An error loses what is queued: whoever wants it asks again.
    fn write(&mut self, cx: &mut Context<'_>) {
        let Out::Open(stream) = &mut self.out else { return };
        while let Some((message, answer)) = self.queue.front() {
            match Pin::new(&mut *stream).poll_write(cx, &message[self.written..]) {
                Poll::Pending => return,
                Poll::Ready(Ok(count @ 1..)) => {
                    self.flushed = false;
                    self.written += count;
                    if self.written == message.len() {
                        self.news.extend(answer.then_some(News::Taken(message.len())));
                        self.unwritten_bytes -= message.len();
                        self.written = 0;
                        self.queue.pop_front();
                    }
                }
                Poll::Ready(_) => return self.lose(),
            }
        }
        if !self.flushed {
            match Pin::new(stream).poll_flush(cx) {
                Poll::Pending => {}
                Poll::Ready(Ok(())) => self.flushed = true,
                Poll::Ready(Err(_)) => self.lose(),
            }
        }
    }

    fn lose(&mut self) {
        self.out = Out::Closed;
        let lost = mem::take(&mut self.queue).into_iter().filter(|(_, answer)| *answer);
        let lost = lost.map(|(message, _)| message.len()).sum();
        self.news.push_back(News::Taken(lost));
        (self.written, self.unwritten_bytes, self.flushed) = (0, 0, true);
    }

    /// Takes the wants of others out of what came; the rest is for the behaviour of `rust_ipfs`.
    fn split(&mut self, event: InnerOut) -> News {
        let InnerOut::Message(mut message) = event else { return News::Inner(event) };
        let entries = mem::take(&mut message.requests);
        let all = mem::take(&mut message.full);
        let wants = entries.into_iter().take(MAX_ENTRIES).map(|entry| Want {
            cid: entry.cid,
            // A kind of want has no name outside of its crate: zero is HAVE, one is BLOCK.
            block: entry.ty as u8 == 1,
            or_not: entry.send_dont_have,
            cancel: entry.cancel,
        });
        let wants: Vec<Want> = wants.collect();
        if !message.responses.is_empty() {
            self.news.push_back(News::Inner(InnerOut::Message(message)));
        }
        News::Wants { wants, all }
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Order;
    type ToBehaviour = News;
    type InboundProtocol = ReadyUpgrade<StreamProtocol>;
    type OutboundProtocol = ReadyUpgrade<StreamProtocol>;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = ();

    fn listen_protocol(&self) -> SubstreamProtocol<Self::InboundProtocol> {
        self.inner.listen_protocol()
    }

    fn on_behaviour_event(&mut self, order: Order) {
        match order {
            Order::Answer(message) => self.queue(message, true),
            Order::Inner(InnerIn::Send(message)) => {
                let entries = message.requests.iter().map(|entry| {
                    let kind = if entry.ty as u8 == 1 { wire::Want::Block } else { wire::Want::Have };
                    (entry.cid, if entry.cancel { wire::Want::Cancel } else { kind })
                });
                self.queue(wire::wants(entries), false);
            }
        }
    }

    fn on_connection_event(&mut self, event: ConnectionEvent<'_, Self::InboundProtocol, Self::OutboundProtocol>) {
        match event {
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound { protocol: stream, .. }) => {
                self.out = Out::Open(stream);
                self.news.push_back(News::Inner(InnerOut::Ready));
            }
            ConnectionEvent::DialUpgradeError(DialUpgradeError { error, .. }) => {
                self.lose();
                if matches!(error, StreamUpgradeError::NegotiationFailed) {
                    self.out = Out::Unsupported;
                    self.news.push_back(News::Inner(InnerOut::Unsupported));
                }
            }
            other => self.inner.on_connection_event(other),
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        self.write(cx);
        if let Some(news) = self.news.pop_front() {
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(news));
        }
        if matches!(self.out, Out::Closed) && (!self.asked_to_open || !self.queue.is_empty()) {
            self.asked_to_open = true;
            self.out = Out::Opening;
            let protocol = SubstreamProtocol::new(ReadyUpgrade::new(PROTOCOL), ());
            return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol });
        }
        while self.unwritten_bytes < MAX_UNWRITTEN_BYTES {
            match self.inner.poll(cx) {
                Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(event)) => {
                    return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(self.split(event)));
                }
                // It asks once for a stream to write to, and never writes.
                Poll::Ready(_) => {}
                Poll::Pending => break,
            }
        }
        Poll::Pending
    }
}
