//! The bitrates of an item: PCM is encoded section by section, and what comes of it is cut and multiplexed in order.

use std::{collections::VecDeque, io, mem};

use super::{
    Error, Part,
    cut::{Cut, FRAME},
    mpegts::Muxer,
    section::{Common, Packets, Plan, Section, State, frame_len},
};

/// Sections that may be encoded here and wait for one that another core encodes; then that one is waited for.
const MADE_MAX: usize = 1;

/// Where segments go: in order, and for each part rung by rung.
pub(super) type Sink<'a> = dyn FnMut(Part) -> io::Result<()> + 'a;

/// All rungs of an item.
pub(super) struct Rungs<'scope, 'env> {
    common: Common<'scope, 'env>,
    cut: Cut,
    plan: Plan,
    /// Those that have begun and are not handed on, in order.
    sections: VecDeque<Section<'scope>>,
    /// The number of the section that begins next.
    next: u64,
    /// Whole frames of PCM so far, and what there is of the next.
    frames: u64,
    begun: Vec<i16>,
    rungs: Vec<Rung>,
    /// The part that is filled.
    part: u64,
}

/// One rung, behind its encoders.
struct Rung {
    muxer: Muxer,
    /// Frames of the part that is being filled.
    waiting: Packets,
}

impl<'scope, 'env> Rungs<'scope, 'env> {
    /// Begins an item.
    pub(super) fn new(common: Common<'scope, 'env>, cut: Cut, plan: Plan) -> Self {
        let rung = |_: &u32| Rung { muxer: Muxer::new(common.settings.rate), waiting: Vec::new() };
        let rungs = common.settings.bitrates.iter().map(rung).collect();
        let sections = VecDeque::new();
        Self { common, cut, plan, sections, next: 0, frames: 0, begun: Vec::new(), rungs, part: 0 }
    }

    /// Takes interleaved samples.
    pub(super) fn feed(&mut self, mut pcm: &[i16], sink: &mut Sink<'_>) -> Result<(), Error> {
        let whole = frame_len(self.common.settings);
        while !pcm.is_empty() {
            let (taken, rest) = pcm.split_at(pcm.len().min(whole - self.begun.len()));
            self.begun.extend_from_slice(taken);
            pcm = rest;
            if self.begun.len() == whole {
                self.push(sink)?;
            }
        }
        Ok(())
    }

    /// Ends the item.
    pub(super) fn finish(mut self, sink: &mut Sink<'_>) -> Result<(), Error> {
        if !self.begun.is_empty() {
            self.push(sink)?;
        }
        self.begin()?;
        self.sections.iter_mut().try_for_each(|section| section.end(true))?;
        self.send(true, sink)?;
        self.hand_on(true, sink)?;
        let left = self.rungs.iter().any(|rung| !rung.waiting.is_empty());
        if self.cut.part(self.part).is_some() || left {
            return Err(Error::Encoder(format!(
                "{} frames do not give the parts of {}",
                self.frames,
                self.cut.frames()
            )));
        }
        Ok(())
    }

    /// Gives the frame that is there to the sections that take it.
    fn push(&mut self, sink: &mut Sink<'_>) -> Result<(), Error> {
        self.begin()?;
        let mut frame = mem::take(&mut self.begun);
        let (number, short) = (self.frames, frame.len() < frame_len(self.common.settings));
        self.sections.iter_mut().try_for_each(|section| section.push(number, &frame, short))?;
        self.frames += 1;
        frame.clear();
        self.begun = frame;
        self.send(false, sink)?;
        self.hand_on(false, sink)
    }

    /// Opens the sections whose turn it is.
    fn begin(&mut self) -> Result<(), Error> {
        while let Some(own) = self.plan.section(self.next)
            && Section::begins(&own) <= self.frames
        {
            self.next += 1;
            let others = self.sections.iter().any(Section::is_running) || self.common.cores.spare().is_some();
            let may_go = others && self.plan.section(1).is_some();
            self.sections.push_back(Section::open(self.common.settings, own, may_go)?);
        }
        Ok(())
    }

    /// Has what is gathered encoded, each section on a core of its own; waits for one, from the first section on.
    fn send(&mut self, flush: bool, sink: &mut Sink<'_>) -> Result<(), Error> {
        while let Some(at) = self.sections.iter().position(Section::is_gathered) {
            let own_is_busy = self.sections.iter().any(Section::is_on_own);
            let spare = if own_is_busy { self.common.cores.spare() } else { None };
            if own_is_busy && spare.is_none() {
                self.give_first(true, sink)?;
            } else {
                self.sections[at].send(self.common, spare, flush);
            }
        }
        Ok(())
    }

    /// Hands on each part that is complete; `all` of them when the item is over.
    fn hand_on(&mut self, all: bool, sink: &mut Sink<'_>) -> Result<(), Error> {
        let made = self.sections.iter().filter(|section| section.is_made()).count();
        let mut wait = all || made > MADE_MAX;
        while !self.sections.is_empty() && matches!(self.give_first(wait, sink)?, State::Over) {
            wait = all;
        }
        Ok(())
    }

    /// Hands on what there is of the first section, and drops it when that is all; `wait`: for all of it.
    fn give_first(&mut self, wait: bool, sink: &mut Sink<'_>) -> Result<State, Error> {
        let Some(first) = self.sections.front_mut() else { return Ok(State::Over) };
        let (made, state) = first.give(wait)?;
        for (rung, packets) in self.rungs.iter_mut().zip(made) {
            rung.waiting.extend(packets);
        }
        self.cut_parts(sink)?;
        if matches!(state, State::Over) {
            self.sections.pop_front();
        }
        Ok(state)
    }

    fn cut_parts(&mut self, sink: &mut Sink<'_>) -> Result<(), Error> {
        while let Some(frames) = self.cut.part(self.part) {
            let len = (frames.end - frames.start) as usize;
            // All rungs have the same cut: they complete the same parts.
            if self.rungs.iter().any(|rung| rung.waiting.len() < len) {
                break;
            }
            for (index, rung) in self.rungs.iter_mut().enumerate() {
                let frames: Packets = rung.waiting.drain(..len).collect();
                let (bytes, samples) = (rung.muxer.segment(&frames)?, len as u32 * FRAME as u32);
                sink(Part { rung: index, part: self.part as u32, samples, bytes }).map_err(Error::Sink)?;
            }
            self.part += 1;
        }
        Ok(())
    }
}
