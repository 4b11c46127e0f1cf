//! What comes in on one bitswap stream, message by message. A message that is not whole yet holds memory: a little that
//! every stream may have, and what is beyond in a room that all peers share. It must be whole in time.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use futures::AsyncRead;
use tokio::time::{Sleep, sleep};

use super::wire::Length;

/// Bytes of a message that a stream may have without any room: a want-list of some hundred entries.
const FREE_BYTES: usize = 4 * 1024;
/// Bytes read at once.
const CHUNK_BYTES: usize = 16 * 1024;

/// Room for messages under way, in bytes. All clones are one.
#[derive(Clone, Debug)]
pub(super) struct Room {
    taken: Arc<AtomicUsize>,
    bytes: usize,
}

/// A part of a room. It is given back when this is dropped.
#[derive(Debug)]
struct Part {
    room: Room,
    bytes: usize,
}

/// One stream.
#[derive(Debug)]
pub(super) struct Inbox<S> {
    stream: S,
    /// How long a message may take from its first byte to its last.
    limit: Duration,
    length: Length,
    message: Option<Message>,
    /// When it must be whole, once it has been waited for.
    end: Option<Pin<Box<Sleep>>>,
    moved: bool,
}

/// A message under way.
#[derive(Debug)]
struct Message {
    bytes: Vec<u8>,
    length: usize,
    part: Part,
}

impl Room {
    /// An empty room of so many bytes.
    pub(super) fn of(bytes: usize) -> Self {
        Self { taken: Arc::default(), bytes }
    }

    fn part(&self) -> Part {
        Part { room: self.clone(), bytes: 0 }
    }
}

impl Message {
    /// Takes what has come. A length is only a promise: memory grows with what comes, and never beyond twice of it.
    fn append(&mut self, chunk: &[u8]) -> io::Result<()> {
        let (held, needed) = (self.bytes.capacity(), self.bytes.len() + chunk.len());
        if needed > held {
            let capacity = needed.max(2 * held).min(self.length);
            if capacity > FREE_BYTES && !self.part.grow(capacity) {
                return Err(io::Error::new(io::ErrorKind::OutOfMemory, "too much is under way"));
            }
            self.bytes.reserve_exact(capacity - self.bytes.len());
        }
        self.bytes.extend_from_slice(chunk);
        Ok(())
    }
}

impl Part {
    /// Makes it as large as this. False if there is no room.
    fn grow(&mut self, bytes: usize) -> bool {
        let more = bytes.saturating_sub(self.bytes);
        let fits = |taken: usize| taken.checked_add(more).filter(|taken| *taken <= self.room.bytes);
        let well = self.room.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok();
        self.bytes += if well { more } else { 0 };
        well
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.room.taken.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl<S: AsyncRead + Unpin> Inbox<S> {
    pub(super) fn new(stream: S, limit: Duration) -> Self {
        Self { stream, limit, length: Length::default(), message: None, end: None, moved: false }
    }

    /// The next message, without its length; `None` at the end. What of it is beyond a little lies in `room`. An error:
    /// the stream is of no more use.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, room: &Room) -> Poll<io::Result<Option<Vec<u8>>>> {
        loop {
            if let Some(message) = &mut self.message
                && message.bytes.len() == message.length
            {
                let bytes = std::mem::take(&mut message.bytes);
                (self.message, self.end) = (None, None);
                return Poll::Ready(Ok(Some(bytes)));
            }
            let read = match self.read(cx, room) {
                Poll::Ready(read) => read?,
                Poll::Pending => return self.wait(cx),
            };
            self.moved |= read > 0;
            if read == 0 {
                let whole = self.message.is_none() && self.length.is_empty();
                return Poll::Ready(if whole { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) });
            }
        }
    }

    /// Whether anything has come since the last call.
    pub(super) fn moved(&mut self) -> bool {
        std::mem::take(&mut self.moved)
    }

    /// Reads some of the message, or of its length. Gives the number of bytes.
    fn read(&mut self, cx: &mut Context<'_>, room: &Room) -> Poll<io::Result<usize>> {
        let Some(message) = &mut self.message else {
            let mut byte = [0];
            let read = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut byte))?;
            if read == 1
                && let Some(length) = self.length.take(byte[0])?
            {
                self.message = Some(Message { bytes: Vec::new(), length, part: room.part() });
            }
            return Poll::Ready(Ok(read));
        };
        let mut chunk = [0; CHUNK_BYTES];
        let most = CHUNK_BYTES.min(message.length - message.bytes.len());
        let read = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut chunk[..most]))?;
        Poll::Ready(message.append(&chunk[..read]).map(|()| read))
    }

    /// Nothing has come for now: what has begun must end in time.
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Vec<u8>>>> {
        if self.message.is_none() && self.length.is_empty() {
            return Poll::Pending;
        }
        let limit = self.limit;
        ready!(self.end.get_or_insert_with(|| Box::pin(sleep(limit))).as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "a message that does not end")))
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::VecDeque, future::poll_fn};

    use super::*;
    use crate::ipfs::node::exchange::wire::{framed, prefix};

    const LIMIT: Duration = Duration::from_millis(1);

    /// Gives these pieces, then nothing, without an end.
    struct Pieces(VecDeque<Vec<u8>>);

    impl AsyncRead for Pieces {
        fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, to: &mut [u8]) -> Poll<io::Result<usize>> {
            let Some(piece) = self.0.front_mut() else { return Poll::Pending };
            let count = to.len().min(piece.len());
            to[..count].copy_from_slice(&piece[..count]);
            piece.drain(..count);
            if piece.is_empty() {
                self.0.pop_front();
            }
            Poll::Ready(Ok(count))
        }
    }

    fn inbox(pieces: impl IntoIterator<Item = Vec<u8>>) -> Inbox<Pieces> {
        Inbox::new(Pieces(pieces.into_iter().collect()), LIMIT)
    }

    /// What comes, or how it ends.
    async fn next(inbox: &mut Inbox<Pieces>, room: &Room) -> Result<Vec<u8>, io::ErrorKind> {
        let next = poll_fn(|cx| inbox.poll(cx, room)).await;
        next.map(|message| message.expect("there is no end")).map_err(|error| error.kind())
    }

    #[tokio::test]
    async fn messages_come_whole_whatever_the_pieces_and_leave_the_room_empty() {
        let (small, large) = (vec![1; 300], vec![2; 100_000]);
        let bytes = [framed(&small), framed(&[]), framed(&large), framed(&small)].concat();
        for size in [1, 7, 4_096, bytes.len()] {
            let (mut inbox, room) = (inbox(bytes.chunks(size).map(<[u8]>::to_vec)), Room::of(100_000));
            for wanted in [&small, &vec![], &large, &small] {
                assert!(next(&mut inbox, &room).await.as_ref() == Ok(wanted), "in pieces of {size}");
            }
            assert_eq!(room.taken.load(Ordering::Relaxed), 0);
        }
    }

    #[tokio::test]
    async fn half_a_message_takes_what_has_come_of_it_and_not_for_long() {
        let room = Room::of(1_000_000);
        let begun = [prefix(2_000_000), vec![7; 50_000]].concat();
        let mut inbox = inbox([begun]);
        let pending = poll_fn(|cx| Poll::Ready(inbox.poll(cx, &room).is_pending())).await;
        assert!(pending && (50_000..=100_000).contains(&room.taken.load(Ordering::Relaxed)), "{room:?}");
        assert!(inbox.moved() && !inbox.moved());
        assert_eq!(next(&mut inbox, &room).await, Err(io::ErrorKind::TimedOut));
        drop(inbox);
        assert_eq!(room.taken.load(Ordering::Relaxed), 0);
        for begun in [prefix(2_000_000), vec![0x80]] {
            assert_eq!(next(&mut self::inbox([begun]), &room).await, Err(io::ErrorKind::TimedOut));
        }
    }

    #[tokio::test]
    async fn a_full_room_takes_no_more_and_small_messages_need_none() {
        let room = Room::of(70_000);
        let half = || [prefix(2_000_000), vec![7; 40_000]].concat();
        let mut first = inbox([half()]);
        assert!(poll_fn(|cx| Poll::Ready(first.poll(cx, &room).is_pending())).await);
        assert_eq!(next(&mut inbox([half()]), &room).await, Err(io::ErrorKind::OutOfMemory));
        let small = vec![1; FREE_BYTES];
        assert!(next(&mut inbox([framed(&small)]), &room).await == Ok(small));
        drop(first);
        assert!(next(&mut inbox([framed(&[3; 40_000])]), &room).await == Ok(vec![3; 40_000]));
    }
}
