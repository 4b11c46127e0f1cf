//! What a peer can do to another that only serves blocks: ask for too much, ask for nonsense, not listen to the answer,
//! not speak the language, come and go.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use cid::Cid;
use futures::{AsyncReadExt, AsyncWriteExt, StreamExt, future::join_all};
use libp2p::{Stream, StreamProtocol};
use libp2p_stream::IncomingStreams;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{interval, sleep, timeout},
};

use super::{
    caller::Caller,
    crowd::{CALL, PAUSE, Tally},
};
use crate::{
    ipfs::{
        Error,
        node::exchange::wire::{self, PROTOCOL, Want},
    },
    radio::segment::{RAW, cid_of},
};

/// How long a message may take to be sent; who is not listened to calls anew.
const SEND: Duration = Duration::from_secs(10);
/// How often everything is asked for.
const ASK: Duration = Duration::from_secs(1);
/// How often a want-list of blocks that nobody has is sent, and its length: 0.4 MB.
const FLOOD: Duration = Duration::from_millis(200);
const FLOOD_WANTS: u64 = 10_000;
/// How often nonsense is sent, and how many of its streams are kept open.
const BABBLE: Duration = Duration::from_millis(100);
const OPEN_STREAMS: usize = 200;
/// Connections of one visit under new identities, and of one more identity, and how long they stand.
const VISITORS: usize = 48;
const VISITS: usize = 24;
const VISIT: Duration = Duration::from_secs(2);

const UNKNOWN: StreamProtocol = StreamProtocol::new("/no/such/protocol/1.0.0");
const DHT: StreamProtocol = StreamProtocol::new("/ipfs/kad/1.0.0");
const IDENTIFY_PUSH: StreamProtocol = StreamProtocol::new("/ipfs/id/push/1.0.0");

/// A kind of harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mischief {
    /// Wants everything once a second, and takes it.
    Greedy,
    /// Wants everything once a second, and reads nothing.
    Stalled,
    /// Wants what does not exist, ten thousand blocks at a time, and wants half of it no more.
    Flood,
    /// Sends what is no message, none that ends, one that is too long, for protocols that are none.
    Babble,
    /// Comes with many connections at once, and goes.
    Visit,
}

impl Mischief {
    pub(super) const ALL: [Self; 5] = [Self::Greedy, Self::Stalled, Self::Flood, Self::Babble, Self::Visit];

    fn word(self) -> &'static str {
        match self {
            Self::Greedy => "greedy",
            Self::Stalled => "stalled",
            Self::Flood => "flood",
            Self::Babble => "babble",
            Self::Visit => "visit",
        }
    }
}

/// Does one kind of harm for ever. `number` tells apart who does the same; `known` are the blocks that there are.
pub(super) async fn run(
    kind: Mischief,
    number: usize,
    address: String,
    mut known: watch::Receiver<Arc<Vec<Cid>>>,
    tally: Arc<Tally>,
) {
    let word = kind.word();
    if known.wait_for(|known| !known.is_empty()).await.is_err() {
        return;
    }
    loop {
        let ended = match kind {
            Mischief::Greedy | Mischief::Stalled => want_all(kind, &address, &known, &tally).await,
            Mischief::Flood => flood(number as u64, &address, &tally).await,
            Mischief::Babble => babble(number as u64, &address, &tally).await,
            Mischief::Visit => visit(&address, &tally).await,
        };
        // It ends when the station hangs up or listens no more; then it begins again.
        if ended.is_err() {
            tally.harm(word, |deeds| deeds.refused += 1);
        }
        sleep(PAUSE).await;
    }
}

async fn call(word: &'static str, address: &str, tally: &Tally) -> Result<(Caller, IncomingStreams), Error> {
    let called = Caller::call(address, 1, CALL).await?;
    tally.harm(word, |deeds| deeds.calls += 1);
    Ok(called)
}

async fn want_all(
    kind: Mischief,
    address: &str,
    known: &watch::Receiver<Arc<Vec<Cid>>>,
    tally: &Arc<Tally>,
) -> Result<(), Error> {
    let (mut caller, incoming) = call(kind.word(), address, tally).await?;
    let mut readers = JoinSet::new();
    match kind {
        Mischief::Stalled => readers.spawn(hold(incoming)),
        _ => readers.spawn(drain(kind.word(), incoming, Arc::clone(tally))),
    };
    let mut out = caller.open(PROTOCOL).await?;
    let mut ask = interval(ASK);
    while caller.connections() > 0 {
        ask.tick().await;
        let all = Arc::clone(&known.borrow());
        send(&mut out, &wire::wants(all.iter().map(|cid| (*cid, Want::Block)))).await?;
        tally.harm(kind.word(), |deeds| deeds.messages += 1);
    }
    Ok(())
}

async fn flood(seed: u64, address: &str, tally: &Arc<Tally>) -> Result<(), Error> {
    let word = Mischief::Flood.word();
    let (mut caller, incoming) = call(word, address, tally).await?;
    let mut readers = JoinSet::new();
    readers.spawn(drain(word, incoming, Arc::clone(tally)));
    let mut out = caller.open(PROTOCOL).await?;
    let none = |number: u64| cid_of(RAW, &[seed.to_be_bytes(), number.to_be_bytes()].concat());
    let mut ask = interval(FLOOD);
    for round in 0.. {
        ask.tick().await;
        if caller.connections() == 0 {
            break;
        }
        let first = round * FLOOD_WANTS;
        let kind = if round % 2 == 0 { Want::Have } else { Want::Block };
        send(&mut out, &wire::wants((first..first + FLOOD_WANTS).map(|number| (none(number), kind)))).await?;
        // Half of them not, and then again.
        let half = first..first + FLOOD_WANTS / 2;
        for kind in [Want::Cancel, Want::Block] {
            send(&mut out, &wire::wants(half.clone().map(|number| (none(number), kind)))).await?;
        }
        tally.harm(word, |deeds| deeds.messages += 3);
    }
    Ok(())
}

async fn babble(seed: u64, address: &str, tally: &Arc<Tally>) -> Result<(), Error> {
    let word = Mischief::Babble.word();
    let (mut caller, incoming) = call(word, address, tally).await?;
    let mut readers = JoinSet::new();
    readers.spawn(drain(word, incoming, Arc::clone(tally)));
    let mut open = VecDeque::new();
    let mut speak = interval(BABBLE);
    for round in 0_u64.. {
        speak.tick().await;
        if caller.connections() == 0 {
            break;
        }
        let noise = noise(seed, round, 50_000);
        let (protocol, words) = match round % 10 {
            0 => (PROTOCOL, wire::framed(&noise)),
            1 => (PROTOCOL, wire::prefix(u64::MAX)),
            2 => (PROTOCOL, vec![0xff; 1_000]),
            3 => (PROTOCOL, [wire::prefix(3 * 1024 * 1024), noise.clone()].concat()),
            4 => (PROTOCOL, [wire::prefix(2 * 1024 * 1024), noise.repeat(40)].concat()),
            5 => (PROTOCOL, wire::framed(&[&[0x0a, 6, 0x0a, 4, 0x0a, 2], &noise[..2]].concat())),
            6 => (PROTOCOL, wire::block(&cid_of(RAW, &noise), &noise)),
            7 => (UNKNOWN, noise),
            8 => (DHT, noise),
            _ => (IDENTIFY_PUSH, [wire::prefix(4_000), noise].concat()),
        };
        // That a protocol is not spoken or a stream is cut off is the answer to expect.
        if let Ok(mut stream) = caller.open(protocol).await {
            let _ = send(&mut stream, &words).await;
            open.push_back(stream);
        }
        if open.len() > OPEN_STREAMS {
            open.pop_front();
        }
        tally.harm(word, |deeds| deeds.messages += 1);
    }
    Ok(())
}

async fn visit(address: &str, tally: &Arc<Tally>) -> Result<(), Error> {
    let strangers = join_all((0..VISITORS).map(|_| Caller::call(address, 1, CALL))).await;
    let crowd = Caller::call(address, VISITS, CALL).await;
    sleep(VISIT).await;
    let taken = strangers.iter().flatten().chain(&crowd).map(|(caller, _)| caller.connections()).sum::<usize>();
    tally.harm(Mischief::Visit.word(), |deeds| {
        deeds.calls += taken as u64;
        deeds.refused += (VISITORS + VISITS).saturating_sub(taken) as u64;
    });
    Ok(())
}

/// Bytes without any order, the same for the same numbers.
fn noise(seed: u64, round: u64, length: usize) -> Vec<u8> {
    let block = |number: usize| {
        let place = [seed.to_be_bytes(), round.to_be_bytes(), (number as u64).to_be_bytes()].concat();
        cid_of(RAW, &place).hash().digest().to_vec()
    };
    (0..length.div_ceil(32)).flat_map(block).take(length).collect()
}

async fn send(stream: &mut Stream, bytes: &[u8]) -> Result<(), Error> {
    let sent = async {
        stream.write_all(bytes).await?;
        stream.flush().await
    };
    let sent = timeout(SEND, sent).await.map_err(|_| Error::Network("the other does not read".into()))?;
    sent.map_err(|error| Error::Network(error.to_string()))
}

/// Takes streams and reads nothing from them.
async fn hold(mut incoming: IncomingStreams) {
    let mut held = VecDeque::new();
    while let Some((_, stream)) = incoming.next().await {
        held.push_back(stream);
        if held.len() > OPEN_STREAMS {
            held.pop_front();
        }
    }
}

/// Reads all streams and throws away what comes.
async fn drain(word: &'static str, mut incoming: IncomingStreams, tally: Arc<Tally>) {
    let mut streams = JoinSet::new();
    while let Some((_, mut stream)) = incoming.next().await {
        let tally = Arc::clone(&tally);
        streams.spawn(async move {
            let mut bytes = vec![0; 64 * 1024];
            while let Ok(length @ 1..) = stream.read(&mut bytes).await {
                tally.harm(word, |deeds| deeds.bytes += length as u64);
            }
        });
    }
}
