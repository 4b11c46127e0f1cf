//! Sections of an item, each with encoders of its own, so that a long recording keeps more than one core busy. Where they
//! begin depends on the item's length alone: the bytes are the same however many cores there are.

use std::{
    mem,
    ops::Range,
    panic::resume_unwind,
    sync::atomic::AtomicBool,
    thread::{Scope, ScopedJoinHandle},
};

use super::{
    Error, Settings, check,
    cores::{Core, Cores},
    cut::{Cut, FRAME},
    encode::Encoder,
    pass::{Held, Room},
};

/// AAC frames in a section, about: three quarters of a minute.
const FRAMES: u64 = 2_048;
/// Frames that an encoder takes ahead of its section; what it makes of them is dropped. With four, what is decoded at a seam is
/// as near to the source as with one encoder for all (35 seams measured, 1.2 dB at most; with none, 38 dB); eight are a 250th of
/// a section and leave room for sounds that were not measured.
const RUN_IN: u64 = 8;
/// Room for what other cores get and make, of all items together, in bytes: four sections at the defaults.
const AWAY_BYTES: usize = 40 << 20;
static ROOM: Room = Room::new(AWAY_BYTES);

/// AAC frames of one rung.
pub(super) type Packets = Vec<Vec<u8>>;

/// Where sections begin and end: where parts do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    cut: Cut,
    sections: u64,
}

impl Plan {
    /// The sections of an item with this cut.
    pub(super) fn new(cut: Cut) -> Self {
        Self::of(cut, FRAMES)
    }

    /// The same with so many frames in a section, about.
    pub(super) fn of(cut: Cut, frames: u64) -> Self {
        let sections = cut.frames().saturating_add(frames / 2) / frames.max(1);
        Self { cut, sections: sections.clamp(1, cut.parts()) }
    }

    /// The AAC frames of a section; `None` behind the last one.
    pub(super) fn section(self, index: u64) -> Option<Range<u64>> {
        let part = |section: u64| section * self.cut.parts() / self.sections;
        let edge = |section: u64| self.cut.part(part(section)).map_or_else(|| self.cut.frames(), |part| part.start);
        (index < self.sections).then(|| edge(index)..edge(index + 1))
    }
}

/// What all sections of an item have in common. `'scope`: until all threads have ended that encode them.
#[derive(Clone, Copy)]
pub(super) struct Common<'scope, 'env> {
    pub(super) scope: &'scope Scope<'scope, 'env>,
    pub(super) settings: &'env Settings,
    pub(super) cores: &'env Cores,
    pub(super) stop: &'env AtomicBool,
}

/// One section.
pub(super) struct Section<'scope> {
    /// The frames of PCM that it takes: the run-in, its own, and one more, with which its last AAC frame is complete.
    takes: Range<u64>,
    size: Size,
    work: Work<'scope>,
}

/// How many AAC frames come first that are not its own, and how many then.
#[derive(Clone, Copy)]
struct Size {
    dropped: u64,
    kept: u64,
}

enum Work<'scope> {
    /// It is encoded as it comes.
    Here(Vec<Strand>),
    /// Its PCM is gathered for a thread of its own.
    Gathered(Gathered),
    /// That thread encodes it, or has.
    Away(Away<'scope>),
    /// It is encoded.
    Made(Vec<Packets>),
}

struct Gathered {
    pcm: Vec<i16>,
    held: Held<'static>,
    /// Whether that is all of it.
    is_whole: bool,
}

struct Away<'scope> {
    running: ScopedJoinHandle<'scope, Result<Vec<Packets>, Error>>,
    _held: Held<'static>,
    /// Whether it keeps the core busy that the item took.
    on_own: bool,
}

/// How far a section is.
pub(super) enum State {
    /// There is more to come.
    Waits,
    /// There is nothing more.
    Over,
}

impl<'scope> Section<'scope> {
    /// The first frame of PCM that the section of these AAC frames takes.
    pub(super) fn begins(own: &Range<u64>) -> u64 {
        own.start.saturating_sub(RUN_IN)
    }

    /// Opens the section of these AAC frames: for a thread of its own, if it `may` go and there is room, or to be encoded as it
    /// comes.
    pub(super) fn open(settings: &Settings, own: Range<u64>, may: bool) -> Result<Self, Error> {
        let takes = Self::begins(&own)..own.end + 1;
        let size = Size { dropped: own.start - takes.start, kept: own.end - own.start };
        let gathered = if may { Gathered::begin(settings, &takes) } else { None };
        let work = match gathered {
            Some(gathered) => Work::Gathered(gathered),
            None => Work::Here(Strand::open(settings, size)?),
        };
        Ok(Self { takes, size, work })
    }

    /// Takes the frame of PCM with this number, if it is one of those that it takes. One that is `short` is the last of the item,
    /// which then ends.
    pub(super) fn push(&mut self, number: u64, pcm: &[i16], short: bool) -> Result<(), Error> {
        if !self.takes.contains(&number) {
            return Ok(());
        }
        match &mut self.work {
            Work::Here(strands) => strands.iter_mut().try_for_each(|strand| strand.push(pcm))?,
            Work::Gathered(gathered) => gathered.pcm.extend_from_slice(pcm),
            Work::Away(_) | Work::Made(_) => {}
        }
        if number + 1 < self.takes.end || short { Ok(()) } else { self.end(false) }
    }

    /// Ends it; `flush`: because the item ends.
    pub(super) fn end(&mut self, flush: bool) -> Result<(), Error> {
        self.work = match mem::replace(&mut self.work, Work::Made(Vec::new())) {
            Work::Here(strands) => Work::Made(ended(strands, flush)?),
            Work::Gathered(gathered) => Work::Gathered(Gathered { is_whole: true, ..gathered }),
            work => work,
        };
        Ok(())
    }

    /// Has a thread encode what is gathered, on the core that the item took or on a `spare` one.
    pub(super) fn send<'env>(&mut self, common: Common<'scope, 'env>, spare: Option<Core<'scope>>, flush: bool) {
        let (size, Common { settings, stop, .. }) = (self.size, common);
        self.work = match mem::replace(&mut self.work, Work::Made(Vec::new())) {
            Work::Gathered(Gathered { pcm, held, .. }) => {
                let on_own = spare.is_none();
                let running = common.scope.spawn(move || encode(&pcm, settings, size, flush, stop, spare));
                Work::Away(Away { running, _held: held, on_own })
            }
            work => work,
        };
    }

    /// What has been made and not been given yet, rung by rung. With `wait` another core is waited for.
    pub(super) fn give(&mut self, wait: bool) -> Result<(Vec<Packets>, State), Error> {
        let (made, state, rest) = match mem::replace(&mut self.work, Work::Made(Vec::new())) {
            Work::Here(mut strands) => {
                let made = strands.iter_mut().map(|strand| mem::take(&mut strand.packets)).collect();
                (made, State::Waits, Work::Here(strands))
            }
            Work::Away(away) if !wait && !away.running.is_finished() => (Vec::new(), State::Waits, Work::Away(away)),
            Work::Away(away) => {
                let made = away.running.join().unwrap_or_else(|panic| resume_unwind(panic))?;
                (made, State::Over, Work::Made(Vec::new()))
            }
            Work::Made(made) => (made, State::Over, Work::Made(Vec::new())),
            gathered @ Work::Gathered(_) => (Vec::new(), State::Waits, gathered),
        };
        self.work = rest;
        Ok((made, state))
    }

    /// Whether it is encoded, here, and waits for one before it.
    pub(super) const fn is_made(&self) -> bool {
        matches!(self.work, Work::Made(_))
    }

    /// Whether all of it is gathered.
    pub(super) const fn is_gathered(&self) -> bool {
        matches!(self.work, Work::Gathered(Gathered { is_whole: true, .. }))
    }

    /// Whether a thread is at it.
    pub(super) fn is_running(&self) -> bool {
        matches!(&self.work, Work::Away(away) if !away.running.is_finished())
    }

    /// Whether that keeps the core busy that the item took.
    pub(super) fn is_on_own(&self) -> bool {
        self.is_running() && matches!(&self.work, Work::Away(away) if away.on_own)
    }
}

impl Gathered {
    /// If there is room for these frames of PCM and for what is made of them.
    fn begin(settings: &Settings, frames: &Range<u64>) -> Option<Self> {
        let frames = (frames.end - frames.start) as usize;
        let samples = frames * frame_len(settings);
        let bits: u64 = settings.bitrates.iter().map(|bitrate| u64::from(*bitrate)).sum();
        let made = frames as u64 * FRAME * bits / u64::from(settings.rate) / 8;
        let held = ROOM.hold(samples * size_of::<i16>() + made as usize)?;
        Some(Self { pcm: Vec::with_capacity(samples), held, is_whole: false })
    }
}

/// Samples of a frame of PCM, interleaved.
pub(super) fn frame_len(settings: &Settings) -> usize {
    FRAME as usize * usize::from(settings.channels)
}

/// What a thread does with a section.
fn encode(
    pcm: &[i16],
    settings: &Settings,
    size: Size,
    flush: bool,
    stop: &AtomicBool,
    _busy: Option<Core<'_>>,
) -> Result<Vec<Packets>, Error> {
    let mut strands = Strand::open(settings, size)?;
    for frame in pcm.chunks(frame_len(settings)) {
        check(stop)?;
        strands.iter_mut().try_for_each(|strand| strand.push(frame))?;
    }
    ended(strands, flush)
}

/// What is left of the strands of a section, all of whose PCM they have.
fn ended(strands: Vec<Strand>, flush: bool) -> Result<Vec<Packets>, Error> {
    strands.into_iter().map(|strand| strand.end(flush)).collect()
}

/// One rung of a section.
struct Strand {
    encoder: Encoder,
    /// What is to come yet.
    size: Size,
    packets: Packets,
}

impl Strand {
    /// Opens all rungs.
    fn open(settings: &Settings, size: Size) -> Result<Vec<Self>, Error> {
        let open = |bitrate: &u32| {
            let encoder = Encoder::open(settings.rate, settings.channels, *bitrate)?;
            Ok(Self { encoder, size, packets: Vec::new() })
        };
        settings.bitrates.iter().map(open).collect()
    }

    fn push(&mut self, pcm: &[i16]) -> Result<(), Error> {
        let mut made = Vec::new();
        self.encoder.push(pcm, &mut made)?;
        self.keep(made);
        Ok(())
    }

    fn keep(&mut self, made: Packets) {
        for packet in made {
            if self.size.dropped > 0 {
                self.size.dropped -= 1;
            } else if self.size.kept > 0 {
                self.size.kept -= 1;
                self.packets.push(packet);
            }
        }
    }

    fn end(mut self, flush: bool) -> Result<Packets, Error> {
        if flush {
            let mut made = Vec::new();
            self.encoder.finish(&mut made)?;
            self.keep(made);
        }
        if self.size.kept > 0 {
            return Err(Error::Encoder(format!("{} frames of a section are missing", self.size.kept)));
        }
        Ok(self.packets)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn sections_are_of_whole_parts_and_about_as_long_as_each_other(
            samples in 1_u64..400_000_000,
            seconds in 1_u32..=30,
        ) {
            let cut = Cut::new(samples, 44_100, seconds);
            let plan = Plan::new(cut);
            let sections: Vec<_> = (0..).map_while(|index| plan.section(index)).collect();
            let edges: Vec<u64> = (0..).map_while(|index| cut.part(index)).map(|part| part.start).collect();
            prop_assert_eq!((sections[0].start, sections.last().unwrap().end), (0, cut.frames()));
            prop_assert!(sections.windows(2).all(|pair| pair[0].end == pair[1].start));
            prop_assert!(sections.iter().all(|section| edges.binary_search(&section.start).is_ok()));
            let longest_part = u64::from(seconds) * 44_100 / FRAME;
            let of = |section: &Range<u64>| section.end - section.start;
            prop_assert!(sections.iter().all(|section| of(section) <= 3 * FRAMES / 2 + longest_part));
            prop_assert!(sections.len() == 1 || sections.iter().all(|section| of(section) + longest_part >= FRAMES / 2));
        }
    }

    #[test]
    fn a_song_is_a_few_sections_and_a_jingle_is_one() {
        let count = |seconds: u64| Plan::new(Cut::new(seconds * 44_100, 44_100, 6)).sections;
        assert_eq!([5, 60, 90, 150, 210, 240, 3_600].map(count), [1, 1, 2, 3, 4, 5, 76]);
    }
}
