//! From files to the programme: find, name, make, publish.

use std::{
    collections::{HashMap, HashSet},
    ffi::OsStr,
    ops::ControlFlow,
    os::unix::ffi::OsStrExt,
    panic::resume_unwind,
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
    thread,
};

use super::{
    Amount, Error, Job, Options, Progress, Report, Skipped, TOLD_MAX, Tools, check,
    desk::{Desk, Outcome},
    duplicates, garbage,
    item::{Bench, Chunks, Failure},
    listing::{Listing, fits, leaving},
    pool,
    publish::{Publisher, read_manifest},
    stopped,
    walk::{Folder, Found, walk},
};
use crate::{
    disk::{self, Layout, Store},
    radio::{
        manifest::{Entry, ItemLine, Manifest},
        playlist::unspell,
        rotation::rotate,
        segment::Kind,
        time::{Span, Time},
    },
};

/// Between two publishes of what is ready so far.
const PUBLISH_EVERY: Span = Span::seconds(30);

/// Does the work. The lock is held and the folders are there.
pub(super) fn make(
    layout: &Layout,
    job: &Job,
    options: &Options,
    tools: &Tools<'_>,
    stop: &AtomicBool,
) -> Result<Report, Error> {
    let store = layout.processed();
    let suspects = check::suspects(&store, options)?;
    disk::sweep_beside(&layout.stat_cache())?;
    disk::sweep(&layout.callbacks())?;
    let (chunks, mut run) = found(|| Chunks::swept(&store), || Run::new(layout, job, options, tools, &store))?;
    let bench = Bench::new(&store, tools, job, &job.settings, suspects, chunks);
    let desk = Desk::new(bench, layout, tools, stop, true);
    run.work(&desk, job.jobs)?;
    if let Err(error) = desk.remember_only(layout, run.files()) {
        tracing::warn!(%error, "what was read is not remembered; the next run reads it again");
    }
    if stopped(stop) {
        run.report.stopped = true;
        return Ok(run.report);
    }
    run.finish()
}

/// Tells what [`make`] would do. Writes nothing.
pub(super) fn plan(
    layout: &Layout,
    job: &Job,
    options: &Options,
    tools: &Tools<'_>,
    stop: &AtomicBool,
) -> Result<Report, Error> {
    let store = layout.processed();
    let suspects = check::suspects(&store, options)?;
    let (chunks, mut run) = found(|| Chunks::listed(&store), || Run::new(layout, job, options, tools, &store))?;
    let bench = Bench::new(&store, tools, job, &job.settings, suspects, chunks);
    let desk = Desk::new(bench, layout, tools, stop, false);
    run.work(&desk, job.jobs)?;
    run.report.stopped = stopped(stop);
    run.tell_leaving();
    Ok(run.report)
}

/// Lists the chunks, of which a large library has hundreds of thousands, and finds its recordings meanwhile.
fn found<'a>(
    chunks: impl FnOnce() -> Result<Chunks, Error> + Send,
    run: impl FnOnce() -> Result<Run<'a>, Error>,
) -> Result<(Chunks, Run<'a>), Error> {
    thread::scope(|scope| {
        let chunks = scope.spawn(chunks);
        let run = run();
        Ok((chunks.join().unwrap_or_else(|panic| resume_unwind(panic))?, run?))
    })
}

/// One run: what was there, what is found, what becomes of it.
struct Run<'a> {
    dir: &'a Path,
    job: &'a Job,
    options: &'a Options,
    tools: &'a Tools<'a>,
    publisher: Publisher<'a>,
    old: Option<Manifest>,
    tracks: Folder,
    jingles: Folder,
    files: Vec<Found>,
    listing: Listing,
    /// Why items cannot be made, by id.
    failed: HashMap<String, String>,
    /// Paths whose old entry stays: what is there now cannot be read, or is being written.
    held: HashSet<String>,
    /// Items that were made just now.
    made: HashSet<String>,
    /// Paths that are left out because it is written beside them.
    excluded: HashSet<String>,
    published: Option<Time>,
    report: Report,
    /// Nothing is published before the end: an order airs of which the manifest does not tell, or nothing is written.
    only_at_end: bool,
}

impl<'a> Run<'a> {
    fn new(
        layout: &'a Layout,
        job: &'a Job,
        options: &'a Options,
        tools: &'a Tools<'a>,
        store: &'a Store,
    ) -> Result<Self, Error> {
        let jingles = match &job.jingles {
            Some(folder) => walk(layout.dir(), folder, Kind::Jingle)?,
            None => Folder::default(),
        };
        let mut tracks = walk(layout.dir(), &job.source, Kind::Track)?;
        let taken: HashSet<&str> = jingles.found.iter().map(|found| found.path.as_str()).collect();
        tracks.found.retain(|found| !taken.contains(found.path.as_str()));
        let files = rotate(&tracks.found, &jingles.found, job.cycle);
        let mut seen = HashSet::new();
        let files: Vec<Found> = files.into_iter().filter(|found| seen.insert(found.path.clone())).collect();
        let pipeline = super::pipeline(&job.settings);
        let publisher = Publisher { store, disk: &tools.disk, pipeline, cycle: job.cycle, reorder: options.reorder };
        let mut run = Self {
            dir: layout.dir(),
            job,
            options,
            tools,
            publisher,
            old: read_manifest(store),
            tracks,
            jingles,
            files,
            listing: Listing::default(),
            failed: HashMap::new(),
            held: HashSet::new(),
            made: HashSet::new(),
            excluded: HashSet::new(),
            published: None,
            report: Report::default(),
            only_at_end: false,
        };
        run.only_at_end = options.dry_run || (run.old.is_none() && store.playlist().exists());
        run.add_idle_jingles();
        run.add_suspects_on_demand();
        let skipped = [&run.tracks.skipped, &run.jingles.skipped];
        run.report.skipped = skipped.into_iter().flatten().cloned().collect();
        Ok(run)
    }

    /// Jingles that one round has no room for are made all the same, last.
    fn add_idle_jingles(&mut self) {
        let seen: HashSet<&str> = self.files.iter().map(|found| found.path.as_str()).collect();
        let idle: Vec<_> = self.jingles.found.iter().filter(|f| !seen.contains(f.path.as_str())).cloned().collect();
        self.files.extend(idle);
    }

    /// A repair makes what is there on demand as well, as long as its recording is there.
    fn add_suspects_on_demand(&mut self) {
        if !self.options.repair {
            return;
        }
        let on_demand = self.old.iter().flat_map(Manifest::entries).filter(|entry| entry.kind == Kind::Vod);
        let found = on_demand.map(|entry| Found::named(self.recording_of(entry), entry.path.clone(), entry.kind));
        let found: Vec<_> = found.filter(|found| found.file.is_file()).collect();
        self.files.extend(found);
    }

    fn files(&self) -> &[Found] {
        &self.files
    }

    fn work(&mut self, desk: &Desk<'_>, jobs: usize) -> Result<(), Error> {
        (self.tools.tell)(&Progress::Found { files: self.files.len() });
        let files = std::mem::take(&mut self.files);
        desk.note_jingles(&files);
        desk.note_overrides(&files);
        self.report.skipped.extend(desk.note_cue_sheets(self.dir, &files));
        desk.note_work(&files, self.old.as_ref().is_some_and(|old| *old.pipeline() != self.publisher.pipeline));
        let mut fatal = None;
        let mut done = 0;
        pool::each(
            &files,
            jobs,
            |found| desk.deal_with(found),
            |found, outcome| {
                done += 1;
                let taken = self.take(found, outcome, desk.amount(), (done, files.len()));
                let dealt = if desk.is_stopped() { taken } else { taken.and_then(|()| self.publish_so_far()) };
                match dealt {
                    Ok(()) => ControlFlow::Continue(()),
                    Err(error) => {
                        fatal = Some(error);
                        ControlFlow::Break(())
                    }
                }
            },
        );
        self.files = files;
        fatal.map_or(Ok(()), Err)
    }

    /// Takes note of what became of a file, `done` of `total`.
    fn take(
        &mut self,
        found: &Found,
        outcome: Outcome,
        amount: Amount,
        (done, total): (usize, usize),
    ) -> Result<(), Error> {
        let entry = |id: &str| Entry { path: found.path.clone(), kind: found.kind, id: id.to_owned() };
        let mut skipped = None;
        match outcome {
            Outcome::Item { line, encoded } => {
                *if encoded { &mut self.report.encoded } else { &mut self.report.ready } += 1;
                self.listing.add_entry(entry(&line.id));
                if encoded {
                    self.made.insert(line.id.clone());
                }
                self.listing.add_item(line);
            }
            Outcome::Same { id } => self.listing.add_entry(entry(&id)),
            Outcome::Excluded => _ = self.excluded.insert(found.path.clone()),
            Outcome::Failed { failure: Failure::Fatal(error), .. } => return Err(error),
            Outcome::Failed { failure: Failure::Stopped, .. } => return Ok(()),
            Outcome::Failed { failure: Failure::Changing, .. } => {
                self.held.insert(found.path.clone());
                self.report.unsettled.push(found.path.clone());
            }
            Outcome::Failed { failure: Failure::Unreadable(why), .. } => {
                self.held.insert(found.path.clone());
                skipped = Some(why);
            }
            Outcome::Failed { id, failure: Failure::Bad(why) } => {
                if let Some(id) = id {
                    self.failed.insert(id, why.clone());
                }
                skipped = Some(why);
            }
        }
        let (path, why) = (&found.path, skipped.as_deref());
        (self.tools.tell)(&Progress::Done { path, skipped: why, amount, done, total });
        if let Some(why) = skipped {
            self.report.skipped.push(Skipped { path: found.path.clone(), why });
        }
        Ok(())
    }

    /// Publishes what is ready: the first time as soon as there is enough to go on air, then now and again.
    fn publish_so_far(&mut self) -> Result<(), Error> {
        let nothing_new = self.report.encoded == 0 && self.old.is_some();
        if self.only_at_end || nothing_new {
            return Ok(());
        }
        let now = (self.tools.now)();
        let due = match self.published {
            Some(last) => now.since(last) >= PUBLISH_EVERY,
            None => self.listing.samples() >= self.options.first_samples,
        };
        if !due {
            return Ok(());
        }
        let mut listing = self.listing.clone().playable();
        for entry in self.old.iter().flat_map(Manifest::entries) {
            self.keep_old(&mut listing, entry, |line| entry.kind == Kind::Vod || fits(line, &self.job.settings));
        }
        self.published = Some(now);
        let entries = listing.len();
        self.publisher.publish(listing, self.old.as_ref())?;
        (self.tools.tell)(&Progress::Published { entries, complete: false });
        Ok(())
    }

    fn keep_old(&self, listing: &mut Listing, entry: &Entry, usable: impl Fn(&ItemLine) -> bool) {
        let Some(old) = &self.old else { return };
        if old.item(&entry.id).is_some_and(usable) {
            listing.keep(entry, old);
        }
    }

    /// The last step: settles what stays, what goes and what airs.
    fn finish(mut self) -> Result<Report, Error> {
        self.name_duplicates_of_failures();
        let listing = self.settle();
        if listing.is_empty() && self.old.is_none() {
            return Ok(self.sorted_report());
        }
        let (entries, items) = listing.clone().into_parts();
        let stays: HashSet<&str> = items.iter().map(|line| line.id.as_str()).collect();
        let leaves = self.old.iter().flat_map(Manifest::items).any(|line| !stays.contains(line.id.as_str()));
        if leaves {
            garbage::announce(self.publisher.store, &self.tools.disk)?;
        }
        self.tell_gone(&listing, "has left the programme");
        (self.report.entries, self.report.items) = (entries.len(), items.len());
        self.report.order = self.publisher.publish(listing, self.old.as_ref())?;
        (self.tools.tell)(&Progress::Published { entries: self.report.entries, complete: true });
        self.report.copies = duplicates::notices(self.publisher.store, &self.made, self.old.as_ref());
        let keep = if self.options.prune { Span(0) } else { garbage::keep_for(self.tools.retention) };
        self.tidy_up(keep)?;
        Ok(self.sorted_report())
    }

    /// Retires what nobody needs any more, and removes what was retired long enough ago.
    fn tidy_up(&mut self, keep: Span) -> Result<(), Error> {
        let store = self.publisher.store;
        if !self.options.prune && !store.retired().exists() {
            return Ok(());
        }
        let Some(manifest) = read_manifest(store) else { return Ok(()) };
        if self.options.prune || garbage::is_due(store, &manifest, keep, (self.tools.now)()) {
            self.report.notices.extend(garbage::collect(store, &manifest, self.tools, keep)?);
        }
        Ok(())
    }

    fn sorted_report(mut self) -> Report {
        self.report.skipped.sort_by(|a, b| a.path.cmp(&b.path));
        self.report.unsettled.sort();
        if !self.excluded.is_empty() {
            let count = self.excluded.len();
            self.report.notices.push(format!("recordings that are left out, as is written beside them: {count}"));
        }
        self.report
    }

    /// A file with the same bytes as one that cannot be used cannot be used either.
    fn name_duplicates_of_failures(&mut self) {
        for found in &self.files {
            let Some(entry) = self.listing.entry(&found.path) else { continue };
            if self.listing.item(&entry.id).is_some() {
                continue;
            }
            match self.failed.get(&entry.id) {
                Some(why) => self.report.skipped.push(Skipped { path: found.path.clone(), why: why.clone() }),
                None => {
                    self.held.insert(found.path.clone());
                    self.report.unsettled.push(found.path.clone());
                }
            }
        }
    }

    /// The entries of this run, and those of the last one that stay although they were not found.
    fn settle(&mut self) -> Listing {
        let mut listing = self.listing.clone().playable();
        let Some(old) = self.old.clone() else {
            if self.tracks.found.is_empty() {
                let source = self.job.source.display();
                self.report.notices.push(format!("`{source}` is missing or has no recordings"));
            }
            return listing;
        };
        old.entries().iter().filter(|entry| self.is_held(&entry.path)).for_each(|entry| listing.keep(entry, &old));
        let on_demand = old.entries().iter().filter(|entry| entry.kind == Kind::Vod);
        let stays = |entry: &&Entry| !self.options.prune || self.recording_of(entry).exists();
        on_demand.filter(stays).for_each(|entry| listing.keep(entry, &old));
        if self.options.prune {
            return listing;
        }
        for (kind, folder, name) in self.folders() {
            if folder {
                continue;
            }
            let kept: Vec<_> = old.entries().iter().filter(|entry| entry.kind == kind).collect();
            kept.iter().for_each(|entry| listing.keep(entry, &old));
            if !kept.is_empty() {
                self.report.kept.push(format!(
                    "`{name}` is missing or empty; the {} entries that came from it stay (`setup --prune` lets them go)",
                    kept.len()
                ));
            }
        }
        let no_jingles = self.job.jingles.is_none();
        let missed = |entry: &Entry| !(no_jingles && entry.kind == Kind::Jingle || self.excluded.contains(&entry.path));
        let leaving = leaving(&old, &listing, missed);
        let kept = leaving.entries.iter().filter(|entry| missed(entry));
        if leaving.too_many {
            let kept: Vec<_> = kept.collect();
            kept.iter().for_each(|entry| listing.keep(entry, &old));
            self.report.kept.push(format!(
                "more than half of the items would go with {} entries that are no longer found; they stay (`setup \
                 --prune` lets them go)",
                kept.len()
            ));
        }
        listing
    }

    /// Where the recording of an entry lies, or lay.
    fn recording_of(&self, entry: &Entry) -> PathBuf {
        self.dir.join(OsStr::from_bytes(&unspell(&entry.path)))
    }

    /// Whether nobody could see what is at this path now.
    fn is_held(&self, path: &str) -> bool {
        let inside =
            |folder: &str| path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        let unseen = self.tracks.skipped.iter().chain(&self.jingles.skipped);
        self.held.contains(path) || unseen.into_iter().any(|skipped| inside(&skipped.path))
    }

    /// By kind: whether its folder holds recordings, and what it is called.
    fn folders(&self) -> Vec<(Kind, bool, String)> {
        let mut folders = vec![(Kind::Track, !self.tracks.found.is_empty(), self.job.source.display().to_string())];
        if let Some(folder) = &self.job.jingles {
            folders.push((Kind::Jingle, !self.jingles.found.is_empty(), folder.display().to_string()));
        }
        folders
    }

    /// For a dry run: which entries would leave, and how many there would be.
    fn tell_leaving(&mut self) {
        self.name_duplicates_of_failures();
        let listing = self.settle();
        (self.report.entries, self.report.items) = (listing.len(), listing.clone().into_parts().1.len());
        self.tell_gone(&listing, "would leave the programme");
    }

    fn tell_gone(&mut self, listing: &Listing, what: &str) {
        let Some(old) = &self.old else { return };
        let mut gone = leaving(old, listing, |_| true).entries;
        gone.retain(|entry| !self.excluded.contains(&entry.path));
        self.report.notices.extend(gone.iter().take(TOLD_MAX).map(|entry| format!("`{}` {what}", entry.path)));
        let more = gone.len().saturating_sub(TOLD_MAX);
        self.report.notices.extend((more > 0).then(|| format!("and {more} more {what}")));
    }
}
