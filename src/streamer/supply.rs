//! Where audio comes from: `processed/`, the generator's folder, and what the repo still holds of either. Nothing is
//! taken that does not hash to its name.

use std::sync::Arc;

use bytes::Bytes;
use cid::Cid;
use tokio::task;

use super::{
    ahead::Seen,
    catalog::{Catalog, Read, Unfit},
    repairs::{Place, Repairs},
};
use crate::{
    ipfs::{Blocks, Store},
    radio::{
        aired::{Run, segment_list},
        ladder::RUNGS_MAX,
        programme::{Entry, Slot},
        receipt::CidText,
        segment::{Item, Kind, Rung, Segment},
        timeline::Event,
    },
};

/// Segments of an item that are verified when it is its turn: all of a song. Of a longer item the rest was verified
/// ahead of time, and each is once more when it is stored.
const VERIFIED_MAX: usize = 64;

/// Both folders with items, and the repo. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Supply {
    pub(super) processed: Catalog,
    pub(super) generated: Catalog,
    pub(super) store: Store,
    /// Samples per second of the station.
    pub(super) rate: u32,
    pub(super) repairs: Repairs,
}

/// Whether an item can air, and why not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Soundness {
    /// All of it is in its folder.
    Whole,
    /// It can air from the repo, and in its folder something is wrong.
    Ailing(String),
    /// It cannot air.
    Lost(String),
}

impl Supply {
    /// Where the item of an entry lies.
    pub(super) const fn place(entry: &Entry) -> Place {
        if matches!(entry.kind, Kind::Filler) { Place::Generated } else { Place::Processed }
    }

    fn catalog(&self, place: Place) -> &Catalog {
        match place {
            Place::Processed => &self.processed,
            Place::Generated => &self.generated,
        }
    }

    /// Reads the item of a slot. Blocking.
    fn item(&self, slot: &Slot) -> Result<Read, Unfit> {
        self.catalog(Self::place(&slot.entry)).item(slot, self.rate)
    }

    /// Reads the item of a slot whose turn it is, and verifies that it can air. Tells what was found of it, too.
    pub(super) async fn fetch(&self, slot: Slot) -> (Event, Seen) {
        let (item, soundness) = self.examine(&slot, VERIFIED_MAX).await;
        let event = match (&item, &soundness) {
            (Some(item), Soundness::Whole | Soundness::Ailing(_)) => Event::Fetched(slot.clone(), item.clone()),
            (_, Soundness::Lost(why) | Soundness::Ailing(why)) => Event::NotFetched(slot.clone(), why.clone()),
            (None, Soundness::Whole) => Event::NotFetched(slot.clone(), "it is not there".into()),
        };
        (event, Seen { path: slot.entry.path, item, soundness })
    }

    /// Reads the item of a slot and verifies its first `count` segments. What is wrong is asked to be mended.
    pub(super) async fn examine(&self, slot: &Slot, count: usize) -> (Option<Arc<Item>>, Soundness) {
        let place = Self::place(&slot.entry);
        let (supply, of) = (self.clone(), slot.clone());
        let looked = task::spawn_blocking(move || {
            let Read { item, coverless } = supply.item(&of)?;
            let looked_at = &item.segments[..count.min(item.segments.len())];
            let bad = supply.bad_chunks(place, looked_at);
            let rungs = looked_at
                .iter()
                .enumerate()
                .flat_map(|(index, segment)| item.rungs_of(index).iter().map(|rung| rung.segment(segment.samples)));
            let bad_rungs = supply.bad_chunks(place, &rungs.collect::<Vec<_>>());
            Ok((item, bad, bad_rungs, coverless))
        });
        let id = slot.entry.id.as_str();
        let (item, bad, bad_rungs, coverless) = match looked.await {
            Ok(Ok(found)) => found,
            Ok(Err(Unfit::Damaged(why))) => return (None, Soundness::Lost(self.mend(place, id, why))),
            Ok(Err(Unfit::Other(why))) => return (None, Soundness::Lost(why)),
            Err(error) => return (None, Soundness::Lost(error.to_string())),
        };
        if let ([], [(_, first), ..]) = (&bad[..], &bad_rungs[..]) {
            let why = format!("{first}; where a rendition is lost its default one airs");
            return (Some(item), Soundness::Ailing(self.mend(place, id, why)));
        }
        if let ([], Some(why)) = (&bad[..], &coverless) {
            let why = format!("{why}; the item airs without its picture");
            return (Some(item), Soundness::Ailing(self.mend(place, id, why)));
        }
        let Some((_, first)) = bad.first() else {
            // An item that was only looked at in part may be wrong behind it.
            if count >= item.segments.len() {
                self.repairs.mended(place, id);
            }
            return (Some(item), Soundness::Whole);
        };
        let more = if bad.len() > 1 { format!(", and {} more are", bad.len() - 1) } else { String::new() };
        let why = format!("{first}{more}");
        for (cid, _) in &bad {
            if !matches!(self.store.get(*cid).await, Ok(Some(_))) {
                return (Some(item), Soundness::Lost(self.mend(place, id, why)));
            }
        }
        (Some(item), Soundness::Ailing(self.mend(place, id, format!("{why}; it airs from the block store"))))
    }

    fn mend(&self, place: Place, id: &str, why: String) -> String {
        format!("{why}; {}", self.repairs.want(place, id))
    }

    /// Which chunks are not in their folder as they should be, and what is wrong with each. Blocking.
    fn bad_chunks(&self, place: Place, segments: &[Segment]) -> Vec<(Cid, String)> {
        let look = |segment: &Segment| self.catalog(place).chunk(segment).err().map(|why| (segment.cid, why));
        segments.iter().filter_map(look).collect()
    }

    /// The bytes of a segment from one of the folders. An error says what is wrong with its chunk.
    pub(super) async fn chunk(&self, segment: Segment) -> Result<Bytes, String> {
        let folders = [self.processed.clone(), self.generated.clone()];
        let read = task::spawn_blocking(move || {
            let [processed, generated] = &folders;
            processed.chunk(&segment).or_else(|why| generated.chunk(&segment).map_err(|_| why))
        });
        read.await.unwrap_or_else(|error| Err(error.to_string()))
    }

    /// The bytes of an item's picture from one of the folders. An error says what is wrong with its file.
    pub(super) async fn cover(&self, id: String, cid: Cid) -> Result<Bytes, String> {
        let folders = [self.processed.clone(), self.generated.clone()];
        let read = task::spawn_blocking(move || {
            let [processed, generated] = &folders;
            processed.cover(&id, cid).or_else(|why| generated.cover(&id, cid).map_err(|_| why))
        });
        read.await.unwrap_or_else(|error| Err(error.to_string()))
    }

    /// The bytes of a segment, from a folder or, if they are gone from there, as they lie in the repo.
    async fn bytes(&self, segment: Segment) -> Result<Bytes, String> {
        match self.chunk(segment).await {
            Ok(bytes) => Ok(bytes),
            Err(why) => match self.store.get(segment.cid).await {
                Ok(Some(bytes)) => {
                    tracing::warn!(why, "a chunk cannot be had from its folder; its block airs");
                    Ok(bytes)
                }
                _ => Err(why),
            },
        }
    }

    /// The list of the segments of an item that has begun, if the item is still in its folder as it was then.
    pub(super) async fn segment_list(&self, run: &Run) -> Result<Bytes, String> {
        let entry = Entry { path: run.entry.clone(), kind: run.kind, id: run.item.clone() };
        let slot = Slot { order: run.order.clone(), position: run.position as usize, entry };
        let (supply, list) = (self.clone(), run.list);
        let read = task::spawn_blocking(move || match supply.item(&slot) {
            Ok(Read { item, .. }) => {
                // One that was begun before its other renditions were made has none, and one of very many segments fewer.
                let mut possible = (0..=RUNGS_MAX).rev();
                let same = possible.find_map(|most| {
                    Some(segment_list(&item.segments, &item.first_rungs(most))).filter(|(cid, _)| *cid == list)
                });
                same.map(|(_, text)| text.into()).ok_or_else(|| "the item is another one by now".to_owned())
            }
            Err(Unfit::Damaged(why) | Unfit::Other(why)) => Err(why),
        });
        read.await.map_err(|error| error.to_string())?
    }

    /// Stores, pins and verifies segments, their other renditions as far as they can be had, and lists.
    pub(super) async fn put(
        &self,
        segments: Vec<Segment>,
        rungs: Vec<(usize, Rung)>,
        lists: Vec<(CidText, String)>,
    ) -> Event {
        let mut blocks: Vec<(Cid, Bytes)> = lists.into_iter().map(|(cid, text)| (cid.0, text.into())).collect();
        for (index, segment) in segments.iter().enumerate() {
            match self.bytes(*segment).await {
                Ok(bytes) => blocks.push((segment.cid, bytes)),
                Err(why) => return Event::Missing(index, why),
            }
        }
        let mut lost = Vec::new();
        for (index, rung) in rungs {
            match self.bytes(rung.segment(segments.get(index).map_or(0, |segment| segment.samples))).await {
                Ok(bytes) => blocks.push((rung.cid, bytes)),
                Err(why) => {
                    tracing::warn!(why, bitrate = rung.bitrate, "the default rendition stands in");
                    lost.push((index, rung));
                }
            }
        }
        match self.store.put_first(blocks).await {
            Ok(()) if !lost.is_empty() => Event::StoredWithout(lost),
            Ok(()) => Event::Stored,
            Err(error) => Event::NotStored(error.to_string()),
        }
    }
}
