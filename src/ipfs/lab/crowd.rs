//! A crowd around one station: peers that fetch what airs as gateways do, and peers that mean harm.

use std::{
    collections::{BTreeMap, HashSet},
    mem,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use cid::Cid;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{interval, sleep},
};

use super::{DhtServer, mischief, mischief::Mischief, reader::Reader};
use crate::{
    ipfs::{Error, Name, dag},
    radio::segment,
};

/// How often the DHT server is looked at for a new list.
const LOOK: Duration = Duration::from_millis(250);
/// How long a call may take.
pub(super) const CALL: Duration = Duration::from_secs(20);
/// The pause before a call is repeated.
pub(super) const PAUSE: Duration = Duration::from_secs(1);
/// A block that takes longer is late: a listener's buffer holds a few segments.
const LATE: Duration = Duration::from_secs(6);
/// A block that takes longer is missing.
const LIMIT: Duration = Duration::from_secs(30);
/// Segments that a peer fetches of the first list that it sees, from the end.
const FIRST: usize = 8;

/// The station, and what it publishes.
#[derive(Clone, Debug)]
pub struct Target {
    /// Its address, which ends in `/p2p/<peer id>`.
    pub address: String,
    /// The name that points to the live list.
    pub stream: Name,
    /// The name that points to the root.
    pub station: Name,
}

/// The peers. They hang up when this is dropped.
#[derive(Debug)]
pub struct Crowd {
    tally: Arc<Tally>,
    _tasks: JoinSet<()>,
}

/// What the well-behaved peers saw since the last look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Served {
    /// Milliseconds that each block took, from the question to the verified bytes.
    pub took_ms: Vec<u64>,
    /// Blocks that took more than six seconds.
    pub late: u64,
    /// Blocks that did not come within half a minute.
    pub missing: u64,
    /// Calls that were taken: one each, and one for each time a peer lost its connection.
    pub calls: u64,
    /// Calls that were not taken, and connections that failed.
    pub failures: u64,
}

/// What the peers that mean harm did since the last look, by kind.
pub type Harm = BTreeMap<&'static str, Deeds>;

/// What one kind did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deeds {
    /// Calls that were taken.
    pub calls: u64,
    /// Calls that were not.
    pub refused: u64,
    /// Messages sent.
    pub messages: u64,
    /// Bytes taken.
    pub bytes: u64,
}

#[derive(Debug, Default)]
pub(super) struct Tally {
    served: Mutex<Served>,
    harm: Mutex<Harm>,
}

impl Crowd {
    /// Lets `good` peers listen to the station and `hostile` ones do to it what they can, in equal parts of each kind.
    /// The names are resolved at `server`.
    pub fn start(target: &Target, server: Arc<DhtServer>, good: usize, hostile: usize) -> Self {
        let tally = Arc::<Tally>::default();
        let mut tasks = JoinSet::new();
        let (tell_list, list) = watch::channel(None);
        let (tell_known, known) = watch::channel(Arc::default());
        tasks.spawn(look(Arc::clone(&server), target.stream, tell_list));
        tasks.spawn(explore(target.clone(), server, tell_known));
        for _ in 0..good {
            tasks.spawn(listen(target.address.clone(), list.clone(), Arc::clone(&tally)));
        }
        for number in 0..hostile {
            let kind = Mischief::ALL[number % Mischief::ALL.len()];
            tasks.spawn(mischief::run(kind, number, target.address.clone(), known.clone(), Arc::clone(&tally)));
        }
        Self { tally, _tasks: tasks }
    }

    /// What has happened since the last call.
    pub fn take(&self) -> (Served, Harm) {
        (mem::take(&mut *locked(&self.tally.served)), mem::take(&mut *locked(&self.tally.harm)))
    }
}

impl Tally {
    fn served(&self, work: impl FnOnce(&mut Served)) {
        work(&mut locked(&self.served));
    }

    pub(super) fn harm(&self, kind: &'static str, work: impl FnOnce(&mut Deeds)) {
        work(locked(&self.harm).entry(kind).or_default());
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where a name points to, by the last record that the server took.
fn value(server: &DhtServer, name: Name) -> Option<Cid> {
    server.record(name)?.view().value.strip_prefix("/ipfs/")?.parse().ok()
}

/// Tells of every new list.
async fn look(server: Arc<DhtServer>, stream: Name, tell: watch::Sender<Option<Cid>>) {
    let mut look = interval(LOOK);
    loop {
        look.tick().await;
        let now = value(&server, stream);
        tell.send_if_modified(|before| mem::replace(before, now) != now);
    }
}

/// Reads every new root, and tells of all blocks that roots have named so far.
async fn explore(target: Target, server: Arc<DhtServer>, tell: watch::Sender<Arc<Vec<Cid>>>) {
    let (mut reader, mut all, mut last) = (None, Vec::new(), None);
    let mut look = interval(LOOK);
    loop {
        look.tick().await;
        let root = value(&server, target.station);
        let Some(cid) = root.filter(|_| root != last) else { continue };
        let Some(connected) = connected(&mut reader, &target.address).await else { continue };
        if let Ok(named) = named_by(connected, cid).await {
            last = root;
            all.extend(named);
            all.sort_unstable();
            all.dedup();
            tell.send_replace(Arc::new(all.clone()));
        }
    }
}

/// The root and all blocks that it and its folders name.
async fn named_by(reader: &mut Reader, root: Cid) -> Result<Vec<Cid>, Error> {
    let (mut named, mut folders) = (vec![root], vec![root]);
    while let Some(cid) = folders.pop() {
        for fetched in reader.fetch(&[cid], LIMIT).await? {
            if let Ok(dag::Target::Directory(_, folder)) = dag::decode(fetched.cid, fetched.bytes) {
                let entries = || folder.entries().iter().map(|entry| entry.cid);
                named.extend(entries());
                folders.extend(entries().filter(|cid| cid.codec() == segment::DAG_PB));
            }
        }
    }
    Ok(named)
}

/// Fetches every list and every segment that it adds, as soon as it is listed.
async fn listen(address: String, mut list: watch::Receiver<Option<Cid>>, tally: Arc<Tally>) {
    let (mut reader, mut heard) = (None, HashSet::new());
    while list.changed().await.is_ok() {
        let Some(cid) = *list.borrow_and_update() else { continue };
        loop {
            let fresh = reader.is_none();
            let Some(connected) = connected(&mut reader, &address).await else {
                tally.served(|served| served.failures += 1);
                continue;
            };
            tally.served(|served| served.calls += u64::from(fresh));
            match play(connected, cid, &mut heard, &tally).await {
                Ok(()) => break,
                Err(_) => {
                    reader = None;
                    tally.served(|served| served.failures += 1);
                }
            }
        }
    }
}

async fn play(reader: &mut Reader, list: Cid, heard: &mut HashSet<Cid>, tally: &Tally) -> Result<(), Error> {
    let text = take(reader, &[list], tally).await?.pop();
    let segments = text.map(|text| segments(&text)).unwrap_or_default();
    let new: Vec<Cid> = match heard.is_empty() {
        true => segments[segments.len().saturating_sub(FIRST)..].to_vec(),
        false => segments.iter().filter(|cid| !heard.contains(*cid)).copied().collect(),
    };
    take(reader, &new, tally).await?;
    *heard = segments.into_iter().collect();
    Ok(())
}

/// Fetches blocks and counts how long each took.
async fn take(reader: &mut Reader, cids: &[Cid], tally: &Tally) -> Result<Vec<bytes::Bytes>, Error> {
    let fetched = reader.fetch(cids, LIMIT).await?;
    tally.served(|served| {
        served.missing += cids.len().saturating_sub(fetched.len()) as u64;
        served.late += fetched.iter().filter(|fetched| fetched.took > LATE).count() as u64;
        served.took_ms.extend(fetched.iter().map(|fetched| fetched.took.as_millis() as u64));
    });
    Ok(fetched.into_iter().map(|fetched| fetched.bytes).collect())
}

/// The segments of a list, in its order.
fn segments(list: &[u8]) -> Vec<Cid> {
    let lines = list.split(|byte| *byte == b'\n').filter_map(|line| std::str::from_utf8(line).ok());
    lines.filter_map(|line| line.strip_prefix("/ipfs/")?.split('?').next()?.parse().ok()).collect()
}

/// The connection that is there, or a new one; `None`, after a pause, when the call was not taken.
async fn connected<'a>(reader: &'a mut Option<Reader>, address: &'a str) -> Option<&'a mut Reader> {
    if reader.as_ref().is_none_or(|reader| !reader.is_connected()) {
        match Reader::connect(address, CALL).await {
            Ok(fresh) => *reader = Some(fresh),
            Err(_) => {
                *reader = None;
                sleep(PAUSE).await;
            }
        }
    }
    reader.as_mut()
}
