//! Recordings that are there on demand only: made like any other, listed in the manifest, and never aired.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs,
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
};

use super::{
    Error, Job, Options, Progress, Skipped, Tools, check_constants,
    desk::{Desk, Outcome},
    garbage,
    item::{Bench, Chunks, Failure},
    listing::Listing,
    open_store, pipeline, pool,
    publish::{read_manifest, write_changed},
    stopped,
    walk::{Found, spelled},
};
use crate::{
    audio::decode,
    disk::{Layout, Store},
    radio::{
        manifest::{Entry, Manifest},
        segment::Kind,
        vod,
    },
};

/// A recording that is there on demand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Its path in the manifest.
    pub path: String,
    /// The paths of its VOD lists on the listener port, the default rendition's first.
    pub lists: Vec<String>,
}

/// What became of the files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Split {
    /// Those that are there on demand.
    pub recorded: Vec<Recorded>,
    /// Those that cannot be used.
    pub skipped: Vec<Skipped>,
    /// Those that are still being written.
    pub unsettled: Vec<String>,
    /// Whether it was stopped before it was done.
    pub stopped: bool,
}

impl Split {
    /// 0 when all of them are there, 3 when something was skipped or left for later (contract §8).
    pub fn exit_code(&self) -> u8 {
        if self.skipped.is_empty() && self.unsettled.is_empty() { 0 } else { 3 }
    }
}

/// Makes an item of each file and lists it as on demand. What airs, and its order, stay as they are.
///
/// Holds `processed/.lock` meanwhile. The manifest is written last: what was made before an interruption is found again.
pub fn split(
    layout: &Layout,
    job: &Job,
    options: &Options,
    files: &[PathBuf],
    tools: &Tools<'_>,
    stop: &AtomicBool,
) -> Result<Split, Error> {
    check_constants(job, options)?;
    let store = layout.processed();
    let _lock = open_store(layout, &store, tools)?;
    let old = old_manifest(&store)?;
    let chunks = Chunks::swept(&store)?;
    let bench = Bench::new(&store, tools, job, &job.settings, HashSet::new(), chunks);
    let desk = Desk::new(bench, layout, tools, stop, true);
    let jingles = old.iter().flat_map(Manifest::entries).filter(|entry| entry.kind == Kind::Jingle);
    desk.note_jingle_ids(jingles.map(|entry| entry.id.clone()));

    let mut result = Split::default();
    let found = result.choose(layout, job, files);
    desk.note_overrides(&found);
    result.skipped.extend(desk.note_cue_sheets(layout.dir(), &found));
    desk.note_work(&found, false);
    let made = result.make(&desk, &found, job.jobs, tools)?;
    if let Err(error) = desk.remember(layout) {
        tracing::warn!(%error, "what was read is not remembered; the next run reads it again");
    }
    result.stopped = stopped(stop);
    if !result.stopped {
        let manifest = result.list(made, old.as_ref(), job)?;
        write_changed(&tools.disk, &store.manifest(), &manifest.to_bytes())?;
        let keep = garbage::keep_for(tools.retention);
        if store.retired().exists()
            && garbage::is_due(&store, &manifest, keep, (tools.now)())
            && let Some(told) = garbage::collect(&store, &manifest, tools, keep)?
        {
            tracing::warn!(told);
        }
    }
    Ok(result)
}

/// The manifest that is added to. Where it is gone or damaged and others go by it, it is setup's to make anew.
fn old_manifest(store: &Store) -> Result<Option<Manifest>, Error> {
    let old = read_manifest(store);
    if old.is_none() && (store.manifest().exists() || store.playlist().exists()) {
        return Err(Error::NoManifest { path: store.manifest() });
    }
    Ok(old)
}

/// What was made: items, and by path which item it is, or why there is none.
#[derive(Default)]
struct Made {
    listing: Listing,
    ids: BTreeMap<String, String>,
    failed: HashMap<String, String>,
}

impl Split {
    /// The files as setup would find them, each once.
    fn choose(&mut self, layout: &Layout, job: &Job, files: &[PathBuf]) -> Vec<Found> {
        let mut seen = HashSet::new();
        let mut found = Vec::new();
        for file in files {
            let file = std::path::absolute(file).unwrap_or_else(|_| file.clone());
            let path = spelled(layout.dir(), &file);
            if !seen.insert(path.clone()) {
                continue;
            }
            match unfit(layout, job, &file) {
                Some(why) => self.skipped.push(Skipped { path, why }),
                None => found.push(Found::named(file, path, Kind::Vod)),
            }
        }
        found
    }

    fn make(&mut self, desk: &Desk<'_>, found: &[Found], jobs: usize, tools: &Tools<'_>) -> Result<Made, Error> {
        (tools.tell)(&Progress::Found { files: found.len() });
        let (mut made, mut done, mut fatal) = (Made::default(), 0, None);
        let all = found;
        let take = |found: &Found, outcome: Outcome| {
            let mut skipped = None;
            match outcome {
                Outcome::Item { line, .. } => {
                    made.ids.insert(found.path.clone(), line.id.clone());
                    made.listing.add_item(line);
                }
                Outcome::Excluded => skipped = Some("what is written beside it leaves it out".to_owned()),
                Outcome::Same { id } => _ = made.ids.insert(found.path.clone(), id),
                Outcome::Failed { failure: Failure::Fatal(error), .. } => {
                    fatal = Some(error);
                    return ControlFlow::Break(());
                }
                Outcome::Failed { failure: Failure::Stopped, .. } => return ControlFlow::Continue(()),
                Outcome::Failed { failure: Failure::Changing, .. } => self.unsettled.push(found.path.clone()),
                Outcome::Failed { id, failure: Failure::Bad(why) | Failure::Unreadable(why) } => {
                    made.failed.extend(id.map(|id| (id, why.clone())));
                    skipped = Some(why);
                }
            }
            done += 1;
            let (path, amount, total) = (&found.path, desk.amount(), all.len());
            (tools.tell)(&Progress::Done { path, skipped: skipped.as_deref(), amount, done, total });
            self.skipped.extend(skipped.map(|why| Skipped { path: found.path.clone(), why }));
            ControlFlow::Continue(())
        };
        pool::each(found, jobs, |found| deal_with(desk, found), take);
        fatal.map_or(Ok(made), Err)
    }

    /// The manifest with what was made.
    fn list(&mut self, made: Made, old: Option<&Manifest>, job: &Job) -> Result<Manifest, Error> {
        let Made { mut listing, ids, failed } = made;
        for (path, id) in ids {
            match listing.item(&id) {
                Some(line) => {
                    let lists = line.renditions.iter().map(|rendition| vod::address(&id, &rendition.stream)).collect();
                    self.recorded.push(Recorded { path: path.clone(), lists });
                    listing.add_entry(Entry { path, kind: Kind::Vod, id });
                }
                // It has the same bytes as one that could not be used.
                None => match failed.get(&id) {
                    Some(why) => self.skipped.push(Skipped { path, why: why.clone() }),
                    None => self.unsettled.push(path),
                },
            }
        }
        if let Some(old) = old {
            old.entries().iter().for_each(|entry| listing.keep(entry, old));
        }
        self.skipped.sort_by(|a, b| a.path.cmp(&b.path));
        self.unsettled.sort();
        let pipeline = old.map_or_else(|| pipeline(&job.settings), |old| old.pipeline().clone());
        let order_sha256 = old.map(|old| old.order_sha256().to_owned()).unwrap_or_default();
        let (entries, items) = listing.into_parts();
        Manifest::new(pipeline, order_sha256, entries, items).map_err(Error::Manifest)
    }
}

/// Why a file cannot be on demand only, if it cannot.
fn unfit(layout: &Layout, job: &Job, file: &Path) -> Option<String> {
    let found = match fs::metadata(file) {
        Ok(found) => found,
        Err(error) => return Some(error.to_string()),
    };
    if !found.is_file() {
        return Some("it is no file; name the recordings one by one".into());
    }
    let mut airs = [Some(&job.source), job.jingles.as_ref()].into_iter().flatten();
    let airs = airs.find(|folder| lies_in(layout, folder, file))?;
    Some(format!("it lies in `{}`, so setup makes it and it airs; its VOD list is there as well", airs.display()))
}

/// Whether a file lies in a folder of the station, whatever the two are called.
pub(super) fn lies_in(layout: &Layout, folder: &Path, file: &Path) -> bool {
    let (folder, file) = (fs::canonicalize(layout.dir().join(folder)), fs::canonicalize(file));
    folder.is_ok_and(|folder| file.is_ok_and(|file| file.starts_with(folder)))
}

fn deal_with(desk: &Desk<'_>, found: &Found) -> Outcome {
    match decode::probe(&found.file) {
        Ok(probe) if probe.is_video => {
            let why = "it is a video, and only recordings can be split; take its sound out first: `ffmpeg -i VIDEO -vn \
                       SOUND.flac`";
            Outcome::Failed { id: None, failure: Failure::Bad(why.into()) }
        }
        _ => desk.deal_with(found),
    }
}
