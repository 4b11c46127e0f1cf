use std::{fs, path::Path, sync::Mutex, time::SystemTime};

use tokio_util::sync::CancellationToken;

use super::*;
use crate::disk::Disk;

/// What came of an attempt: nothing where it arrived.
type Answer = fn(String) -> Failure;

/// Answers each key with what is written for it, the last for ever, and keeps a diary until the stop.
struct Scripted {
    answers: HashMap<String, Vec<Option<Answer>>>,
    diary: Mutex<Vec<(u64, String)>>,
    rested: Mutex<Duration>,
    until: Duration,
    stop: CancellationToken,
}

impl Courier for Scripted {
    async fn carry(&self, key: &str, _body: Vec<u8>) -> Result<(), Failure> {
        let mut diary = self.diary.lock().unwrap();
        let before = diary.iter().filter(|(_, other)| other == key).count();
        diary.push((self.rested.lock().unwrap().as_secs(), key.to_owned()));
        let answers = self.answers.get(key).map_or(&[][..], |answers| answers);
        match answers.get(before).or_else(|| answers.last()).copied().flatten() {
            None => Ok(()),
            Some(kind) => Err(kind(key.to_owned())),
        }
    }

    async fn rest(&self, pause: Duration) {
        let rested = {
            let mut rested = self.rested.lock().unwrap();
            *rested += pause;
            *rested
        };
        if rested >= self.until {
            self.stop.cancel();
            std::future::pending().await
        }
    }
}

fn key(of: char) -> String {
    of.to_string().repeat(32)
}

/// An outbox in which these wait, each a second younger than the one before, the first for so long.
fn outbox(folder: &Path, keys: &[String], age: Duration) -> Outbox {
    for (key, second) in keys.iter().zip(0..) {
        let path = folder.join(format!("{key}.json"));
        fs::write(&path, b"{}").unwrap();
        let put = SystemTime::UNIX_EPOCH + Duration::from_micros(crate::clock::wall().0) - age;
        fs::File::open(&path).unwrap().set_modified(put + Duration::from_secs(second)).unwrap();
    }
    Outbox { folder: folder.to_owned(), disk: Disk::default(), room: 0.into() }
}

/// Lets the rounds go on for so long; gives who was called when, and what waits then.
async fn played(
    outbox: &Outbox,
    until: u64,
    answers: &[(&str, &[Option<Answer>])],
) -> (Vec<(u64, String)>, Vec<String>) {
    let courier = Scripted {
        answers: answers.iter().map(|(key, answers)| ((*key).to_owned(), answers.to_vec())).collect(),
        diary: Mutex::default(),
        rested: Mutex::default(),
        until: Duration::from_secs(until),
        stop: CancellationToken::new(),
    };
    tokio::select! {
        () = courier.stop.cancelled() => {}
        () = Rounds::default().keep_on(outbox, &courier) => {}
    }
    (courier.diary.into_inner().unwrap(), outbox.waiting().unwrap())
}

const FAILED: Option<Answer> = Some(Failure::Failed);
const REFUSED: Option<Answer> = Some(Failure::Refused);
const AWAY: Option<Answer> = Some(Failure::Away);

#[tokio::test]
async fn one_that_fails_is_set_aside_and_the_others_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let [a, b, c, d] = ['a', 'b', 'c', 'd'].map(key);
    let outbox = outbox(folder.path(), &[d.clone(), a.clone(), b.clone(), c.clone()], Duration::from_secs(60));
    let answers: &[(&str, &[_])] = &[(&d, &[REFUSED]), (&a, &[FAILED, FAILED, None])];
    let (diary, waiting) = played(&outbox, 60, answers).await;
    let wanted = [(0, &d), (0, &a), (0, &b), (0, &c), (5, &d), (5, &a), (15, &d), (15, &a), (35, &d)];
    assert!(diary.iter().map(|(at, key)| (*at, key)).eq(wanted), "{diary:#?}");
    assert_eq!(waiting, [d]);
}

#[tokio::test]
async fn a_receiver_that_is_away_is_called_with_longer_and_longer_pauses_and_by_one_alone() {
    let folder = tempfile::tempdir().unwrap();
    let [a, b] = ['a', 'b'].map(key);
    let outbox = outbox(folder.path(), &[a.clone(), b.clone()], Duration::ZERO);
    let answers: &[(&str, &[_])] = &[(&a, &[AWAY, AWAY, AWAY, AWAY, AWAY, AWAY, AWAY, AWAY, AWAY, None])];
    let (diary, waiting) = played(&outbox, 3_000, answers).await;
    let tried = [0, 5, 15, 35, 75, 155, 315, 635, 1_235, 1_835].map(|at| (at, a.clone()));
    assert_eq!(diary, [&tried[..], &[(1_835, b)]].concat());
    assert_eq!(waiting, [""; 0]);
}

#[tokio::test]
async fn a_receiver_that_fails_for_all_is_not_called_for_each() {
    let folder = tempfile::tempdir().unwrap();
    let keys: Vec<_> = (0..40).map(|number| format!("{number:032}")).collect();
    let outbox = outbox(folder.path(), &keys, Duration::from_secs(60));
    let answers: Vec<(&str, &[_])> = keys[..38].iter().map(|key| (key.as_str(), &[FAILED][..])).collect();
    let (diary, waiting) = played(&outbox, 15, &answers).await;
    let at = |second| diary.iter().filter(|(at, _)| *at == second).map(|(_, key)| key.clone()).collect::<Vec<_>>();
    assert_eq!(at(0), keys[..16]);
    assert_eq!(at(5), keys[16..32], "those that never were tried come first");
    assert_eq!(at(10), [&keys[32..], &keys[..16]].concat(), "what arrives shows that it does not fail for all");
    assert_eq!(waiting, keys[..38]);
}

#[tokio::test]
async fn what_is_refused_for_a_week_is_given_up_and_what_fails_never_is() {
    let folder = tempfile::tempdir().unwrap();
    let [a, b] = ['a', 'b'].map(key);
    let answers: &[(&str, &[_])] = &[(&a, &[REFUSED]), (&b, &[FAILED])];
    let old = outbox(folder.path(), &[a.clone(), b.clone()], REFUSED_MAX);
    let (diary, waiting) = played(&old, 86_400, answers).await;
    assert_eq!(diary.iter().filter(|(_, key)| *key == a).count(), REFUSALS_MAX as usize);
    assert_eq!(waiting, std::slice::from_ref(&b));
    let young = outbox(folder.path(), &[a.clone(), b.clone()], REFUSED_MAX / 2);
    assert_eq!(played(&young, 86_400, answers).await.1, [a, b]);
}

#[tokio::test]
async fn what_has_arrived_does_not_go_out_again_while_the_disk_keeps_it() {
    let folder = tempfile::tempdir().unwrap();
    let [a, b] = ['a', 'b'].map(key);
    let mut outbox = outbox(folder.path(), &[a.clone(), b.clone()], Duration::ZERO);
    let fuse = disk::Fuse::fails_once_after(0, std::io::ErrorKind::ReadOnlyFilesystem);
    outbox.disk = Disk::with_fuse(std::sync::Arc::new(fuse));
    let (diary, waiting) = played(&outbox, 60, &[]).await;
    assert_eq!((diary, waiting), (vec![(0, a), (0, b)], Vec::new()));
}

#[tokio::test]
async fn what_cannot_be_listed_is_told_of_and_goes_out_later() {
    let folder = tempfile::tempdir().unwrap();
    let a = key('a');
    let (place, away) = (folder.path().join("callbacks"), folder.path().join("away"));
    fs::create_dir(&place).unwrap();
    let outbox = outbox(&place, std::slice::from_ref(&a), Duration::ZERO);
    fs::rename(&place, &away).unwrap();
    fs::write(&place, "no folder").unwrap();
    let courier = Scripted {
        answers: HashMap::new(),
        diary: Mutex::default(),
        rested: Mutex::default(),
        until: Duration::MAX,
        stop: CancellationToken::new(),
    };
    let mut rounds = Rounds::default();
    let round = rounds.go(&outbox, &courier).await;
    assert!(round.away && round.failed == 0 && round.why.unwrap().starts_with("cannot list "));
    fs::remove_file(&place).unwrap();
    fs::rename(&away, &place).unwrap();
    assert_eq!(rounds.go(&outbox, &courier).await.why, None);
    assert_eq!(courier.diary.into_inner().unwrap(), [(0, a)]);
    assert_eq!(outbox.waiting().unwrap(), [""; 0]);
}
