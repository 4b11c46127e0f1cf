//! Pieces that come from a generator instead of a file, as items like any other.

use std::{collections::HashSet, ops::ControlFlow, sync::atomic::AtomicBool};

use sha2::{Digest, Sha256};

use super::{
    Error, Job, Options, Overrides, Progress, Report, Skipped, Tools, audio, check, garbage,
    item::{Bench, Chunks, Failure, Titles, Work},
    listing::Listing,
    open_store,
    pool::each,
    publish::{Publisher, read_manifest},
    stopped,
};
use crate::{
    audio::synth::{Piece, PieceKind, programme},
    disk::Layout,
    radio::{
        manifest::{
            Entry, Manifest, Meta,
            meta::{Origin, Tags},
        },
        playlist::spell,
        rotation::rotate,
        segment::Kind,
    },
};

/// Renders what the generator has for `seed` and is not there yet into `state/generated/`; publishes after each piece.
///
/// Holds the lock of that folder meanwhile; `processed/` is left alone. Segment duration and rate are those of a station
/// that has been on air, whatever the job says: it must be able to air the pieces.
pub fn generated(
    layout: &Layout,
    job: &Job,
    options: &Options,
    seed: u64,
    tools: &Tools<'_>,
    stop: &AtomicBool,
) -> Result<Report, Error> {
    let (settings, cycle, jobs) = (&airable(&job.settings, options), job.cycle, job.jobs);
    let pieces = named(programme(seed, settings.rate)?);
    let store = layout.generated();
    layout.create_state()?;
    let _lock = open_store(layout, &store, tools)?;
    let suspects = check::suspects(&store, options)?;
    let chunks = Chunks::swept(&store)?;
    let bench = Bench::new(&store, tools, job, settings, suspects, chunks);
    let pipeline = super::pipeline(settings);
    let publisher = Publisher { store: &store, disk: &tools.disk, pipeline, cycle, reorder: false };

    let (old, alone) = (read_manifest(&store), Overrides::default());
    let (mut report, mut listing, mut missing) = (Report::default(), Listing::default(), Vec::new());
    for piece in in_rotation(&pieces, cycle) {
        match bench.ready(&piece.id(), piece.kind, &alone) {
            Some(meta) => list(&mut listing, piece, &meta),
            None => missing.push(piece),
        }
    }
    report.ready = listing.len();
    let mut failed = None;
    let make = |piece: &&Named| {
        (tools.tell)(&Progress::Encoding { path: &piece.path });
        bench.make(piece.work(&alone), stop)
    };
    each(&missing, jobs, make, |piece, made| {
        match made {
            Ok(meta) => list(&mut listing, piece, &meta),
            Err(Failure::Fatal(error)) => {
                failed = Some(error);
                return ControlFlow::Break(());
            }
            Err(Failure::Stopped) => return ControlFlow::Break(()),
            Err(Failure::Bad(why) | Failure::Unreadable(why)) => {
                report.skipped.push(Skipped { path: piece.path.clone(), why });
                return ControlFlow::Continue(());
            }
            Err(Failure::Changing) => return ControlFlow::Continue(()),
        }
        report.encoded += 1;
        match publisher.publish(listing.clone(), old.as_ref()) {
            Ok(order) => report.order = order,
            Err(error) => {
                failed = Some(error);
                return ControlFlow::Break(());
            }
        }
        (tools.tell)(&Progress::Published { entries: listing.len(), complete: listing.len() == pieces.len() });
        ControlFlow::Continue(())
    });
    if let Some(error) = failed {
        return Err(error);
    }
    report.stopped = stopped(stop);
    let (entries, items) = listing.clone().into_parts();
    (report.entries, report.items) = (entries.len(), items.len());
    if report.encoded == 0 && !listing.is_empty() && !report.stopped {
        report.order = publisher.publish(listing, old.as_ref())?;
    }
    let (keep, manifest) = (garbage::keep_for(tools.retention), read_manifest(&store));
    let due = |manifest: &Manifest| garbage::is_due(&store, manifest, keep, (tools.now)());
    if let Some(manifest) = manifest.filter(|manifest| !report.stopped && store.retired().exists() && due(manifest)) {
        report.notices.extend(garbage::collect(&store, &manifest, tools, keep)?);
    }
    Ok(report)
}

/// The settings with the constants of the station.
fn airable(settings: &audio::Settings, options: &Options) -> audio::Settings {
    let constants = options.station_constants.filter(|_| !options.new_epoch);
    let (segment_seconds, rate) = constants.unwrap_or((settings.segment_seconds, settings.rate));
    audio::Settings { segment_seconds, rate, ..settings.clone() }
}

/// A piece of the generator and its place in the programme.
struct Named {
    /// Its path in the manifest; no such file exists.
    path: String,
    kind: Kind,
    piece: Piece,
}

/// Gives each piece a path that sorts as the generator meant it.
fn named(pieces: Vec<Piece>) -> Vec<Named> {
    let name = |(index, piece): (usize, Piece)| {
        let kind = match piece.kind {
            PieceKind::Track => Kind::Track,
            PieceKind::Jingle => Kind::Jingle,
        };
        let path = spell(format!("generated/{} {}", index + 1, piece.title).as_bytes());
        Named { path, kind, piece }
    };
    pieces.into_iter().enumerate().map(name).collect()
}

impl Named {
    /// The SHA-256 of what the samples depend on, in hex: stands for the bytes of a recording.
    fn sha256(&self) -> String {
        data_encoding::HEXLOWER.encode(&Sha256::digest(self.piece.fingerprint()))
    }

    fn id(&self) -> String {
        self.sha256()[..32].to_owned()
    }

    fn work<'a>(&'a self, overrides: &'a Overrides) -> Work<'a> {
        let tags = Tags { title: self.piece.title.clone(), artist: self.piece.artist.clone(), ..Tags::default() };
        let origin = Origin {
            sha256: self.sha256(),
            bytes: 0,
            container: "generator".into(),
            codec: self.piece.fingerprint(),
            rate: Some(self.piece.rate()),
            channels: Some(2),
        };
        Work {
            id: self.id(),
            kind: self.kind,
            overrides,
            source: &self.piece,
            titles: Titles::default(),
            tags,
            cover: None,
            origin,
            stated: None,
            unchanged: &|| true,
            made: &|_| {},
            advance: &|_| {},
        }
    }
}

/// The pieces in the order in which they air, each once.
fn in_rotation(pieces: &[Named], cycle: usize) -> Vec<&Named> {
    let of = |kind: Kind| pieces.iter().filter(|named| named.kind == kind).collect::<Vec<_>>();
    let mut order = rotate(&of(Kind::Track), &of(Kind::Jingle), cycle);
    order.extend(pieces);
    let mut seen = HashSet::new();
    order.retain(|named| seen.insert(named.path.as_str()));
    order
}

fn list(listing: &mut Listing, piece: &Named, meta: &Meta) {
    listing.add_item(meta.line());
    listing.add_entry(Entry { path: piece.path.clone(), kind: piece.kind, id: meta.id.clone() });
}
