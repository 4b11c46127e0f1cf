//! One connection's bitswap streams. Those that the other opens are read, within bounds; what goes out is written over
//! one of our own, so that it is known how much of it the other has taken.

use std::{
    collections::VecDeque,
    mem,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures::AsyncWrite;
use libp2p::{
    PeerId, Stream, StreamProtocol,
    core::upgrade::ReadyUpgrade,
    swarm::{
        ConnectionHandler, ConnectionHandlerEvent, SubstreamProtocol,
        handler::{
            ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound, StreamUpgradeError,
        },
    },
};

use super::{
    Common, MIN_BLOCK_BYTES,
    fetches::Entries,
    inbox::Inbox,
    queue::Want,
    wire::{self, Answer, PROTOCOL},
};

/// With so much to write nothing more is read: who asks must listen.
const MAX_UNWRITTEN_BYTES: usize = 1024 * 1024;
/// Streams of one connection that are read; with another one the oldest ends.
const MAX_INBOXES: usize = 4;
/// A message must be whole so long after its first byte: the largest over a line of a station's needs half of it.
const MESSAGE: Duration = Duration::from_secs(60);

/// What the behaviour tells a connection.
#[derive(Debug)]
pub(in crate::ipfs) enum Order {
    /// What we want.
    Wants(Entries),
    /// An answer, ready to be written.
    Answer(Vec<u8>),
}

/// What a connection tells the behaviour.
#[derive(Debug)]
pub(in crate::ipfs) enum News {
    /// A want-list; `all`: the peer wants nothing else.
    Wants { wants: Vec<Want>, all: bool },
    /// What came for our wants.
    Answer(Answer),
    /// As many bytes of answers have been written, or were lost with their stream.
    Taken(usize),
    /// The peer takes no bitswap over this connection.
    Unsupported,
}

#[derive(Debug)]
enum Out {
    Closed,
    Opening,
    Open(Stream),
    Unsupported,
}

#[derive(Debug)]
pub(in crate::ipfs) struct Handler {
    peer: PeerId,
    common: Common,
    inboxes: VecDeque<Inbox<Stream>>,
    out: Out,
    /// Messages to write, each with whether it is an answer.
    queue: VecDeque<(Vec<u8>, bool)>,
    /// Bytes of the first one that are written.
    written: usize,
    unwritten_bytes: usize,
    flushed: bool,
    news: VecDeque<News>,
    /// Whether anything has moved since the last look, and at it.
    moved: bool,
    used: bool,
    /// Whether the peer has taken a block over it.
    served: bool,
}

type Event = ConnectionHandlerEvent<ReadyUpgrade<StreamProtocol>, (), News>;

impl Handler {
    pub(super) fn new(peer: PeerId, common: Common) -> Self {
        Self {
            peer,
            common,
            inboxes: VecDeque::new(),
            out: Out::Closed,
            queue: VecDeque::new(),
            written: 0,
            unwritten_bytes: 0,
            flushed: true,
            news: VecDeque::new(),
            moved: false,
            used: false,
            served: false,
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
                    (self.flushed, self.moved) = (false, true);
                    self.written += count;
                    if self.written == message.len() {
                        self.news.extend(answer.then_some(News::Taken(message.len())));
                        self.served |= *answer && message.len() >= MIN_BLOCK_BYTES;
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

    /// Reads until a message says something, and ends the streams that are of no more use.
    fn read(&mut self, cx: &mut Context<'_>) {
        let mut index = 0;
        while let Some(inbox) = self.inboxes.get_mut(index) {
            let polled = inbox.poll(cx, self.common.room(&self.peer));
            self.moved |= inbox.moved();
            match polled {
                Poll::Pending => index += 1,
                Poll::Ready(Ok(Some(message))) => {
                    if self.understand(&message).is_err() {
                        self.inboxes.remove(index);
                    }
                    if !self.news.is_empty() {
                        return;
                    }
                }
                Poll::Ready(end) => {
                    if let Err(error) = end {
                        tracing::debug!(peer = %self.peer, %error, "a bitswap stream is cut off");
                    }
                    self.inboxes.remove(index);
                }
            }
        }
    }

    fn understand(&mut self, message: &[u8]) -> Result<(), crate::ipfs::dag::Error> {
        let (wants, all) = wire::wanted(message, wire::MAX_ENTRIES)?;
        if !wants.is_empty() || all {
            self.news.push_back(News::Wants { wants, all });
        }
        // Blocks are hashed to know their names: not for who sends what nobody wants.
        if self.common.is_fetching() {
            let answer = wire::answer(message)?;
            if !answer.blocks.is_empty() || !answer.presences.is_empty() {
                self.news.push_back(News::Answer(answer));
            }
        }
        Ok(())
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
        SubstreamProtocol::new(ReadyUpgrade::new(PROTOCOL), ())
    }

    /// Use keeps a connection, and open streams that of who has taken a block. Kubo (boxo 0.40) goes on writing to its stream
    /// when the connection has ended and another one with the same peer stands: it then holds the peer for dead, and asks it
    /// for nothing until a third one begins.
    fn connection_keep_alive(&self) -> bool {
        self.used || (self.served && !self.inboxes.is_empty())
    }

    fn on_behaviour_event(&mut self, order: Order) {
        match order {
            Order::Answer(message) => self.queue(message, true),
            Order::Wants(entries) => self.queue(wire::wants(entries), false),
        }
    }

    fn on_connection_event(&mut self, event: ConnectionEvent<'_, Self::InboundProtocol, Self::OutboundProtocol>) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound { protocol: mut stream, .. }) => {
                stream.ignore_for_keep_alive();
                self.inboxes.push_back(Inbox::new(stream, MESSAGE));
                if self.inboxes.len() > MAX_INBOXES {
                    self.inboxes.pop_front();
                }
            }
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound { protocol: mut stream, .. }) => {
                stream.ignore_for_keep_alive();
                self.out = Out::Open(stream);
            }
            ConnectionEvent::DialUpgradeError(DialUpgradeError { error, .. }) => {
                self.lose();
                if matches!(error, StreamUpgradeError::NegotiationFailed) {
                    self.out = Out::Unsupported;
                    self.news.push_back(News::Unsupported);
                }
            }
            _ => {}
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        self.write(cx);
        if self.news.is_empty() && self.unwritten_bytes < MAX_UNWRITTEN_BYTES {
            self.read(cx);
        }
        if let Some(news) = self.news.pop_front() {
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(news));
        }
        if matches!(self.out, Out::Closed) && !self.queue.is_empty() {
            self.out = Out::Opening;
            let protocol = SubstreamProtocol::new(ReadyUpgrade::new(PROTOCOL), ());
            return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol });
        }
        self.used = mem::take(&mut self.moved);
        if self.used {
            // Once more, so that the end of the use is seen.
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }
}
