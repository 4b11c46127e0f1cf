//! Pieces that come from a generator instead of a file, as items like any other.

use std::{collections::HashSet, sync::atomic::AtomicBool};

use sha2::{Digest, Sha256};

use super::{
    Error, Progress, Report, Skipped, Tools, audio,
    item::{Bench, Failure, Work},
    listing::Listing,
    publish::{Publisher, read_manifest},
    stopped,
};
use crate::{
    audio::Source,
    disk::{self, Layout, Lock},
    radio::{
        manifest::{
            Entry, Meta,
            meta::{Origin, Tags},
        },
        rotation::rotate,
        segment::Kind,
    },
};

/// A piece that is rendered when it is wanted.
#[derive(Clone)]
pub struct Piece<'a> {
    /// Its path in the manifest; no such file exists.
    pub path: String,
    /// Track or jingle.
    pub kind: Kind,
    /// What it is called.
    pub title: String,
    /// Who plays it.
    pub artist: String,
    /// Everything that its sound depends on: generator, version, seed, name. Stands for the bytes of a recording.
    pub identity: String,
    /// The sound.
    pub source: &'a dyn Source,
}

impl std::fmt::Debug for Piece<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Piece").field("path", &self.path).field("identity", &self.identity).finish_non_exhaustive()
    }
}

/// Renders the pieces that are not there yet into `state/generated/` and publishes after each.
///
/// Holds the lock of that folder meanwhile; `processed/` is left alone.
pub fn generated(
    layout: &Layout,
    settings: &audio::Settings,
    cycle: usize,
    pieces: &[Piece<'_>],
    tools: &Tools<'_>,
    stop: &AtomicBool,
) -> Result<Report, Error> {
    let store = layout.generated();
    layout.create_state()?;
    tools.disk.create_folder(&store.chunks())?;
    tools.disk.create_folder(&store.items())?;
    let _lock = Lock::take(&store.lock())?;
    disk::sweep(store.root())?;
    let bench = Bench::new(&store, &tools.disk, settings, tools.encode, HashSet::new())?;
    let pipeline = super::pipeline(settings);
    let publisher = Publisher { store: &store, disk: &tools.disk, pipeline, cycle, reorder: false };

    let old = read_manifest(&store);
    let (mut report, mut listing, mut missing) = (Report::default(), Listing::default(), Vec::new());
    for piece in in_rotation(pieces, cycle) {
        match bench.ready(&piece.id()) {
            Some(meta) => list(&mut listing, piece, &meta),
            None => missing.push(piece),
        }
    }
    report.ready = listing.len();
    for piece in missing {
        if stopped(stop) {
            break;
        }
        (tools.tell)(&Progress::Encoding { path: &piece.path });
        match bench.make(piece.work(), stop) {
            Ok(meta) => list(&mut listing, piece, &meta),
            Err(Failure::Fatal(error)) => return Err(error),
            Err(Failure::Stopped) => break,
            Err(Failure::Bad(why) | Failure::Unreadable(why)) => {
                report.skipped.push(Skipped { path: piece.path.clone(), why });
                continue;
            }
            Err(Failure::Changing) => continue,
        }
        report.encoded += 1;
        report.order = publisher.publish(listing.clone(), old.as_ref())?;
        (tools.tell)(&Progress::Published { entries: listing.len(), complete: listing.len() == pieces.len() });
    }
    report.stopped = stopped(stop);
    let (entries, items) = listing.clone().into_parts();
    (report.entries, report.items) = (entries.len(), items.len());
    if report.encoded == 0 && !listing.is_empty() && !report.stopped {
        report.order = publisher.publish(listing, old.as_ref())?;
    }
    Ok(report)
}

impl Piece<'_> {
    fn sha256(&self) -> String {
        data_encoding::HEXLOWER.encode(&Sha256::digest(&self.identity))
    }

    fn id(&self) -> String {
        self.sha256()[..32].to_owned()
    }

    fn work(&self) -> Work<'_> {
        let tags = Tags { title: self.title.clone(), artist: self.artist.clone(), ..Tags::default() };
        let origin = Origin { sha256: self.sha256(), container: "generator".into(), ..Origin::default() };
        Work { id: self.id(), source: self.source, tags, cover: None, origin, unchanged: &|| true }
    }
}

/// The pieces in the order in which they air, each once.
fn in_rotation<'a, 'b>(pieces: &'a [Piece<'b>], cycle: usize) -> Vec<&'a Piece<'b>> {
    let of = |kind: Kind| pieces.iter().filter(|piece| piece.kind == kind).collect::<Vec<_>>();
    let mut order = rotate(&of(Kind::Track), &of(Kind::Jingle), cycle);
    order.extend(pieces);
    let mut seen = HashSet::new();
    order.retain(|piece| seen.insert(piece.path.as_str()));
    order
}

fn list(listing: &mut Listing, piece: &Piece<'_>, meta: &Meta) {
    listing.add_item(meta.line());
    listing.add_entry(Entry { path: piece.path.clone(), kind: piece.kind, id: meta.id.clone() });
}
