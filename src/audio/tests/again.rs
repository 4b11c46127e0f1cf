//! Passes over what was not kept: it is decoded again, on a thread beside.

use super::{
    super::{
        level::Setting,
        pass::{Room, Survey, levelled},
    },
    *,
};

const SETTING: Setting = Setting { gain_db: 0.0, ceiling_db: None };
/// Samples per channel: several batches between the threads.
const LONG: u64 = 20 * 44_100;

/// What comes the first time, and how what is read again differs: how many blocks more or fewer there are, and after how many the
/// disk fails.
struct Other {
    pcm: Pcm,
    opened: AtomicBool,
    more: isize,
    fails: usize,
}

struct Blocks<'a> {
    blocks: Vec<&'a [f32]>,
    next: usize,
    fails: usize,
    pcm: &'a Block,
}

impl Source for Other {
    fn open(&self) -> Result<Box<dyn Stream + '_>, Error> {
        let again = self.opened.swap(true, Ordering::Relaxed);
        let mut blocks: Vec<&[f32]> = self.pcm.0.samples.chunks(2_048).collect();
        if again {
            let first = blocks[0];
            blocks.resize(blocks.len().checked_add_signed(self.more).unwrap(), first);
        }
        let fails = if again { self.fails } else { usize::MAX };
        Ok(Box::new(Blocks { blocks, next: 0, fails, pcm: &self.pcm.0 }))
    }
}

impl Stream for Blocks<'_> {
    fn next(&mut self) -> Result<Option<Block>, Error> {
        if self.next == self.fails {
            return Err(Error::Read(io::ErrorKind::NotConnected.into()));
        }
        let samples = self.blocks.get(self.next).map(|samples| samples.to_vec());
        self.next += 1;
        Ok(samples.map(|samples| Block { samples, ..*self.pcm }))
    }
}

/// Passes over it once more, and hands the number of samples so far to `take`. Gives how many there were.
fn again(
    more: isize,
    fails: usize,
    stop: &AtomicBool,
    mut take: impl FnMut(usize) -> Result<(), Error>,
) -> Result<usize, Error> {
    let source = Other { pcm: sweep(44_100, LONG), opened: AtomicBool::new(false), more, fails };
    let room = Room::new(0);
    let survey = Survey::of(&source, &plain(), &AtomicBool::new(false), &room).unwrap();
    assert!(!survey.keeps());
    let mut samples = 0;
    levelled(&survey, &source, &plain(), SETTING, stop, |pcm| {
        samples += pcm.len();
        take(samples)
    })?;
    Ok(samples)
}

#[test]
fn what_is_decoded_again_is_as_long_as_before_or_is_told_of() {
    let stop = AtomicBool::new(false);
    let whole = again(0, usize::MAX, &stop, |_| Ok(()));
    assert_eq!(whole.unwrap() as u64, 2 * LONG);
    for more in [-1, 1] {
        let changed = again(more, usize::MAX, &stop, |_| Ok(()));
        assert!(matches!(changed, Err(Error::Read(error)) if error.to_string().contains("changed")), "{more}");
    }
}

#[test]
fn whichever_thread_fails_is_the_one_that_is_told_of() {
    let stop = AtomicBool::new(false);
    for fails in [0, 1, 200, 430] {
        let read = again(0, fails, &stop, |_| Ok(()));
        assert!(matches!(read, Err(Error::Read(error)) if error.kind() == io::ErrorKind::NotConnected), "{fails}");
    }
    for from in [1, LONG as usize] {
        let full = || Err(Error::Sink(io::ErrorKind::StorageFull.into()));
        let sink = again(0, usize::MAX, &stop, |samples| if samples >= from { full() } else { Ok(()) });
        assert!(matches!(sink, Err(Error::Sink(_))), "{from}");
    }
    let stopped = again(0, usize::MAX, &stop, |_| {
        stop.store(true, Ordering::Relaxed);
        Ok(())
    });
    assert!(matches!(stopped, Err(Error::Stopped)));
}

#[test]
fn what_is_kept_takes_no_more_than_its_samples() {
    let mut source = sweep(44_100, LONG);
    source.0.samples.iter_mut().for_each(|sample| *sample = (*sample * 32_768.0).round() / 32_768.0);
    let bytes = source.0.samples.len() * size_of::<i16>();
    let keeps = |bytes: usize| {
        let room = Room::new(bytes);
        Survey::of(&source, &plain(), &AtomicBool::new(false), &room).unwrap().keeps()
    };
    assert_eq!([bytes - 1, bytes].map(keeps), [false, true]);
}
