//! The rules of the air, as the receipts of a ledger must have kept them: lives of items, numbers and dates.

use super::super::{
    aired::Axis,
    coarse,
    quote::quote,
    receipt::{Body, SegmentBody, StartedBody},
};

/// Jumps of the dates ahead of one segment that are remembered: a crash may come between each of them and it.
const STEPS_MAX: usize = 64;

/// A jump of the dates that was told.
#[derive(Clone, Copy, Debug)]
struct Step {
    samples: i64,
    /// Whether an operator asked for it: it may go back.
    back: bool,
}

/// What has aired so far.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct Airing {
    axis: Option<Axis>,
    /// The item that was begun last: none of its segments may have aired, if a crash came between.
    started: Option<StartedBody>,
    /// The item of the last segment.
    run: Option<StartedBody>,
    last: Option<SegmentBody>,
    /// The jumps of the dates since the last segment.
    steps: Vec<Step>,
    /// Whether another axis came since the last segment: its numbers need not follow.
    other_axis: bool,
}

impl Airing {
    /// Takes the next receipt. Gives how many numbers on air before it have no receipt.
    pub(in super::super) fn take(&mut self, body: &Body) -> Result<u64, String> {
        match body {
            Body::LedgerOpen(constants) => {
                let axis = Axis::from_constants(constants).ok_or("its constants make no sense")?;
                let known = self.axis.replace(axis).filter(|known| *known != axis);
                if let Some(known) = known {
                    if axis.epoch <= known.epoch && self.last.is_some() {
                        return Err(format!("epoch {} has other constants than before", axis.epoch));
                    }
                    (self.other_axis, self.started, self.run) = (true, None, None);
                    self.steps.clear();
                }
                Ok(0)
            }
            Body::ClockStep { samples, reason } => {
                if self.steps.len() >= STEPS_MAX {
                    self.steps.remove(0);
                }
                self.steps.push(Step { samples: *samples, back: reason == "reanchor" });
                Ok(0)
            }
            Body::ItemStarted(run) => {
                let next = self.last.as_ref().map_or(0, |last| last.media_seq + 1);
                if run.media_seq < next {
                    return Err(format!("an item begins with number {}, and {next} is the next one", run.media_seq));
                }
                if run.part >= run.parts {
                    return Err(format!("an item begins with part {} of {}", run.part, run.parts));
                }
                self.started = Some((**run).clone());
                Ok(0)
            }
            Body::Segment(segment) => {
                // One that was started at a segment that goes on without a discontinuity never came to be.
                let first = |run: &StartedBody| run.media_seq == segment.media_seq;
                if let Some(run) = self.started.take().filter(|run| first(run) == segment.disc) {
                    self.run = Some(run);
                }
                let unproved = self.segment(segment)?;
                self.groups(segment, unproved)?;
                self.last = Some((**segment).clone());
                self.other_axis = false;
                self.steps.clear();
                Ok(unproved)
            }
            Body::OrderAccepted { .. }
            | Body::IpnsReserved { .. }
            | Body::CatalogChanged { .. }
            | Body::KeyRotated { .. }
            | Body::Checkpoint(_)
            | Body::Repair { .. } => Ok(0),
        }
    }

    fn segment(&self, segment: &SegmentBody) -> Result<u64, String> {
        self.alone(segment)?;
        let unproved = self.number(segment)?;
        let gap = unproved > 0;
        if let Some(run) = &self.run {
            of_run(segment, run)?;
            if segment.media_seq == run.media_seq {
                return self.date(segment, gap).map(|()| unproved);
            }
        }
        if segment.disc && (self.run.is_some() || self.last.is_some()) && !gap {
            return Err("a discontinuity, and no item begins".into());
        }
        let follows = self.last.as_ref().is_none_or(|last| segment.part == last.part + 1);
        if !follows && !gap {
            return Err(format!("part {} of its item does not follow", segment.part));
        }
        self.date(segment, gap).map(|()| unproved)
    }

    /// What a segment says of itself.
    fn alone(&self, segment: &SegmentBody) -> Result<(), String> {
        let hash = segment.cid.0.hash();
        if data_encoding::HEXLOWER.encode(hash.digest()) != segment.sha256_audio {
            return Err("its CID and its SHA-256 are of two blocks".into());
        }
        renditions(segment)?;
        let Some(axis) = &self.axis else { return Ok(()) };
        if (segment.epoch, segment.rate) != (axis.epoch, u64::from(axis.rate)) {
            return Err(format!("it is not of epoch {} at {} Hz", axis.epoch, axis.rate));
        }
        if segment.pdt != axis.date(segment.air_samples).to_string() {
            return Err(format!("it is dated {}, and airs {}", quote(&segment.pdt), axis.date(segment.air_samples)));
        }
        // EXT-X-TARGETDURATION bounds the rounded EXTINF (RFC 8216 §4.3.3.1).
        let rounded = (segment.samples + segment.rate / 2) / segment.rate.max(1);
        if segment.samples == 0 || rounded > u64::from(axis.target_seconds) {
            return Err(format!("it is {} samples long", segment.samples));
        }
        Ok(())
    }

    /// Media and discontinuity sequence. Gives how many numbers before it have no receipt.
    fn number(&self, segment: &SegmentBody) -> Result<u64, String> {
        let Some(last) = &self.last else { return Ok(0) };
        let next = last.media_seq + 1;
        if segment.media_seq < next {
            return Err(format!("its media sequence is {}, and {next} is the next one", segment.media_seq));
        }
        if self.other_axis {
            return if segment.disc_seq > last.disc_seq { Ok(0) } else { Err(miscounted(segment)) };
        }
        let unproved = segment.media_seq - next;
        let counted = last.disc_seq + u64::from(segment.disc);
        if segment.disc_seq != counted && (unproved == 0 || segment.disc_seq < counted) {
            return Err(miscounted(segment));
        }
        if segment.first_seq < last.first_seq || segment.first_seq > segment.media_seq {
            return Err(format!("its list begins with number {}", segment.first_seq));
        }
        Ok(unproved)
    }

    /// Numbers of the coarse list. A ledger of before there was one has none.
    fn groups(&self, segment: &SegmentBody, unproved: u64) -> Result<(), String> {
        let last = self.last.as_ref().filter(|last| last.group_seq > 0 && !self.other_axis);
        let Some((axis, last)) = self.axis.as_ref().zip(last) else { return Ok(()) };
        let counted = last.group_seq + u64::from(coarse::begins(segment.disc, segment.part as u32, axis));
        let follows = if unproved == 0 { segment.group_seq == counted } else { segment.group_seq >= last.group_seq };
        if !follows || segment.group_end < last.group_end {
            return Err(format!("its group is {} of a list that ends before {}", segment.group_seq, segment.group_end));
        }
        Ok(())
    }

    /// Air time goes on where it was, or jumps by what was told before, at a discontinuity.
    fn date(&self, segment: &SegmentBody, gap: bool) -> Result<(), String> {
        let Some(last) = self.last.as_ref().filter(|_| !self.other_axis) else { return Ok(()) };
        let jump = segment.air_samples.saturating_sub(last.air_samples.saturating_add_unsigned(last.samples));
        // Behind numbers without a receipt the receipt of a jump may be missing too.
        if jump == 0 || gap {
            return Ok(());
        }
        // A crash may have come between a jump that was told and its segment; it was told again afterwards.
        let (mut told, mut back) = (0_i64, false);
        let known = self.steps.iter().rev().any(|step| {
            (told, back) = (told.saturating_add(step.samples), back || step.back);
            told == jump
        });
        // Back only where an operator asked for it and an item begins.
        if jump < 0 && !(known && back && segment.part == 0) {
            return Err(format!("it airs {} samples before the end of the one before", jump.unsigned_abs()));
        }
        if !segment.disc || !known {
            return Err(format!("the dates jump by {jump} samples, and no receipt tells why"));
        }
        Ok(())
    }
}

/// What a segment says of its other renditions.
fn renditions(segment: &SegmentBody) -> Result<(), String> {
    for (index, one) in segment.renditions.iter().enumerate() {
        if data_encoding::HEXLOWER.encode(one.cid.0.hash().digest()) != one.sha256 {
            return Err(format!("CID and SHA-256 of its rendition of {} b/s are of two blocks", one.bitrate));
        }
        if segment.renditions[..index].iter().any(|known| known.bitrate == one.bitrate) {
            return Err(format!("it has two renditions of {} b/s", one.bitrate));
        }
    }
    Ok(())
}

fn miscounted(segment: &SegmentBody) -> String {
    format!("its discontinuity sequence is {}, which is miscounted", segment.disc_seq)
}

/// Whether a segment is of the item that has begun.
fn of_run(segment: &SegmentBody, run: &StartedBody) -> Result<(), String> {
    let same = (&segment.item, &segment.entry, segment.item_kind, &segment.order, segment.position, segment.parts)
        == (&run.item, &run.entry, run.item_kind, &run.order, run.position, run.parts);
    if !same || (&segment.title, &segment.artist) != (&run.title, &run.artist) {
        return Err(format!("it is not of the item that has begun, {}", quote(&run.entry)));
    }
    let first = segment.media_seq == run.media_seq;
    if first && (!segment.disc || segment.part != run.part || segment.air_samples != run.air_samples) {
        return Err("it is not how its item begins".into());
    }
    if segment.media_seq < run.media_seq || segment.part < run.part || segment.part >= segment.parts {
        return Err(format!("it is part {} of {}", segment.part, segment.parts));
    }
    Ok(())
}
