//! `setup`: what is to be made, and how it went.

use std::{
    fs,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    process,
    sync::{Mutex, atomic::Ordering},
    thread,
    time::Duration,
};

use anyhow::Context;
use clap::Args;

use super::{FAILED, OK, STOP, callback::Callbacks, say, stop_on_signal};
use crate::{
    audio, clock, config,
    disk::{self, Layout, ledger::Folder},
    radio::{
        history::BACK,
        ledger::{Ledger, Signer},
        manifest::Meta,
        receipt::{Body, Receipt},
        rules::HEAD_START,
        segment::chunk_name,
        time::Span,
    },
    setup::{self, Aired, OrderFate, Progress, Report, Teller, Tools},
    streamer::Identity,
};

/// How `setup` is called.
#[derive(Clone, Debug, Args)]
pub(super) struct Options {
    /// Put the generated order on air even if playlist.m3u was edited.
    #[arg(long)]
    reorder: bool,
    /// Let go of entries whose sources are gone, and remove what nobody needs any more.
    #[arg(long)]
    prune: bool,
    /// Say what would be done; write nothing.
    #[arg(long)]
    dry_run: bool,
    /// Verify the manifest, the order and every segment; write nothing.
    #[arg(long, conflicts_with_all = ["reorder", "prune", "dry_run", "repair"])]
    check: bool,
    /// Verify every segment and encode anew what is damaged.
    #[arg(long)]
    repair: bool,
    /// Change segment duration or sample rate of a station that has been on air.
    #[arg(long)]
    new_epoch: bool,
    /// Say of every recording how loud it was and is, and what is wrong with it.
    #[arg(long, conflicts_with_all = ["check", "dry_run"])]
    report: bool,
    /// Say it as JSON, and nothing else.
    #[arg(long, requires = "report")]
    json: bool,
    /// Write a recording as it would air, before and after its level is set, as WAV into audition/; encode nothing.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["check", "reorder", "prune", "dry_run", "repair", "new_epoch", "report"])]
    audition: Option<PathBuf>,
    /// Verify the segments of this item, and encode it anew if it is damaged.
    #[arg(long, hide = true, value_name = "ID")]
    suspect: Vec<String>,
    /// Render the built-in pieces instead.
    #[arg(long, hide = true)]
    generated: bool,
    /// Work for a station that runs: end with it, and tell the progress on standard output.
    #[arg(long, hide = true)]
    child: bool,
    /// Take the lowest share of the processor.
    #[arg(long, hide = true)]
    nice: bool,
}

/// How far encoding stands back behind a station that is on air.
const NICE: i32 = 10;

/// From the end of the station to that of its child, at most. What is half made by then is swept by the next one.
const ORPHANED: Duration = Duration::from_millis(500);

/// Ends this process when the station ends that holds the other end of its standard input, whatever it ends by: its next
/// start needs the locks.
fn end_with_parent() {
    thread::spawn(|| {
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        STOP.store(true, Ordering::Relaxed);
        thread::sleep(ORPHANED);
        // What works may hang, and nobody waits for it.
        process::exit(FAILED.into());
    });
}

/// Runs setup to its end or until a signal.
pub(super) fn run(dir: &Path, options: Options) -> anyhow::Result<u8> {
    let runtime = stop_on_signal()?;
    if options.child {
        end_with_parent();
    }
    let layout = Layout::new(std::path::absolute(dir)?);
    let streaming = config::Streaming::load(&layout.streaming_toml())?;
    let config = config::Setup::load(&layout.setup_toml())?;
    if options.check {
        return check(&layout);
    }
    if let Some(file) = options.audition {
        return audition(&layout, &file, &config.job());
    }
    if options.nice {
        let _ = rustix::process::nice(NICE);
    }
    let look_ahead = Span::seconds(u64::from(streaming.look_ahead * config.audio.segment_seconds));
    let first_samples = Span(look_ahead.0 + HEAD_START.0).to_samples(config.audio.rate);
    let job = config.job();
    let how = setup::Options {
        reorder: options.reorder,
        prune: options.prune,
        dry_run: options.dry_run,
        repair: options.repair,
        suspects: options.suspect,
        first_samples,
        station_constants: constants(&layout, &job.settings)?,
        new_epoch: options.new_epoch,
    };
    let teller = Mutex::new(Teller::new());
    let child = options.child;
    let tell = |progress: &Progress<'_>| match progress {
        _ if !child => {
            if let Ok(mut teller) = teller.lock() {
                teller.tell(progress);
            }
        }
        Progress::Done { done, total, .. } => say(&format!("{done} {total}")),
        Progress::Published { .. } => say("written"),
        Progress::Found { .. } | Progress::Encoding { .. } | Progress::Advanced { .. } => {}
    };
    let aired = || aired(&layout);
    let callbacks = Callbacks::load(&layout, &config)?;
    let made = |meta: &Meta| callbacks.made(meta);
    let tools = Tools { retention: retention(&streaming, &config), aired: &aired, made: &made, ..tools(&tell) };
    let report = if options.generated {
        setup::generated(&layout, &job, &how, SEED, &tools, &STOP)?
    } else {
        setup::run(&layout, &job, &how, &tools, &STOP)?
    };
    drop(teller);
    let new_epoch = options.new_epoch && !options.dry_run && how.station_constants.is_some();
    if new_epoch && !report.stopped {
        layout.ask_for_epoch(job.settings.segment_seconds, job.settings.rate)?;
        say("restart the station to begin the new epoch");
    }
    if options.json {
        say(&json(&layout, &report)?);
    } else if !child {
        if options.report {
            say_all(&layout);
        }
        summary(&report, options.dry_run, options.report);
    } else {
        report.kept.iter().for_each(|why| say(&format!("kept {why}")));
    }
    if !child && !options.dry_run && !report.stopped {
        callbacks.deliver(&runtime);
    }
    Ok(if report.stopped { FAILED } else { report.exit_code() })
}

/// The disk, the encoder, the configuration and the clock; nothing goes until it is said for how long what has aired is kept,
/// and what that is.
pub(super) fn tools<'a>(tell: &'a (dyn Fn(&Progress<'_>) + Sync)) -> Tools<'a> {
    Tools {
        disk: disk::Disk::default(),
        encode: &audio::encode,
        overrides: &overrides,
        retention: Span(u64::MAX / 2),
        aired: &|| None,
        made: &|_| {},
        now: &clock::wall,
        tell,
    }
}

/// How long what has aired is kept.
pub(super) fn retention(streaming: &config::Streaming, setup: &config::Setup) -> Span {
    Span::seconds(streaming.retention_seconds(setup.audio.segment_seconds))
}

/// What the end of the ledger names; nothing where it cannot be read.
pub(super) fn aired(layout: &Layout) -> Option<Aired> {
    let mut aired = Aired::default();
    if !layout.ledger().exists() {
        return Some(aired);
    }
    let mut take = |receipt: &Receipt| match &receipt.body {
        Body::ItemStarted(started) => _ = aired.items.insert(started.item.clone()),
        Body::Segment(segment) => {
            aired.items.insert(segment.item.clone());
            aired.chunks.insert(chunk_name(&segment.cid.0));
            aired.chunks.extend(segment.renditions.iter().map(|rendition| chunk_name(&rendition.cid.0)));
        }
        _ => {}
    };
    let mut read = || -> anyhow::Result<()> {
        let signer = Signer::reader(Identity::load(&layout.keys(), false)?.receipts);
        Ledger::read(&Folder::new(layout.ledger()), &signer, clock::wall().minus(BACK), &mut take)?;
        Ok(())
    };
    read().inspect_err(|error| tracing::warn!(%error, "the ledger cannot be read")).ok()?;
    Some(aired)
}

/// The seed of the built-in programme: the same pieces on every station.
const SEED: u64 = 808;

/// Segment duration and rate by which a station that has been on air goes on: those of its ledger, or `wanted` where
/// `setup --new-epoch` has asked for them and the next start will begin with them.
pub(super) fn constants(layout: &Layout, wanted: &audio::Settings) -> anyhow::Result<Option<(u32, u32)>> {
    if !layout.ledger().exists() {
        return Ok(None);
    }
    let wanted = (wanted.segment_seconds, wanted.rate);
    if layout.asked_epoch() == Some(wanted) {
        return Ok(Some(wanted));
    }
    let identity = Identity::load(&layout.keys(), false)?;
    let signer = Signer::reader(identity.receipts);
    let Some(constants) = Ledger::constants(&Folder::new(layout.ledger()), &signer)? else { return Ok(None) };
    let (seconds, rate) = (u32::try_from(constants.target_duration)?, u32::try_from(constants.rate)?);
    Ok(Some((seconds, rate)))
}

fn check(layout: &Layout) -> anyhow::Result<u8> {
    let damages = setup::check(layout)?;
    damages.iter().for_each(|damage| say(&damage.to_string()));
    say(&match damages.len() {
        0 if !layout.processed().manifest().exists() => "nothing was made yet: `ipfs-radio setup` does".to_owned(),
        0 => "every segment is what it should be".to_owned(),
        count => format!("{count} damaged; `ipfs-radio setup --repair` makes anew what has its recording"),
    });
    Ok(if damages.is_empty() { OK } else { FAILED })
}

/// Every recording and what became of the others, as one document.
fn json(layout: &Layout, report: &Report) -> anyhow::Result<String> {
    let document = serde_json::json!({
        "v": 1,
        "recordings": setup::qualities(layout),
        "skipped": report.skipped,
        "unsettled": report.unsettled,
        "copies": setup::copies(layout),
        "kept": report.kept,
        "notices": report.notices,
    });
    Ok(serde_json::to_string_pretty(&document)?)
}

/// Writes a recording before and after its level is set; nothing where it cannot be used.
fn audition(layout: &Layout, file: &Path, job: &setup::Job) -> anyhow::Result<u8> {
    let folder = layout.dir().join("audition");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let name = file.file_name().unwrap_or_default();
    let paths = [".before.wav", ".after.wav"].map(|ending| {
        let mut name = name.to_owned();
        name.push(ending);
        folder.join(name)
    });
    let create = |path: &Path| fs::File::create(path).with_context(|| format!("cannot write {}", path.display()));
    let mut files = [BufWriter::new(create(&paths[0])?), BufWriter::new(create(&paths[1])?)];
    let [before, after] = &mut files;
    let made = setup::audition(layout, job, file, &overrides, &STOP, [before, after]);
    if made.is_err() {
        paths.iter().for_each(|path| _ = fs::remove_file(path));
    }
    let quality = made.with_context(|| file.display().to_string())?;
    files.iter_mut().try_for_each(Write::flush).context("cannot write what is to be heard")?;
    say(&quality.to_string());
    paths.iter().for_each(|path| say(&format!("written: {}", path.display())));
    Ok(OK)
}

/// What is written beside a recording.
fn overrides(file: &Path) -> Result<setup::Overrides, String> {
    config::overrides(file).map_err(|error| error.to_string())
}

/// What is known of every recording, and of all copies.
fn say_all(layout: &Layout) {
    setup::qualities(layout).iter().for_each(|quality| say(&quality.to_string()));
    setup::copies(layout).iter().for_each(|(one, other)| say(&format!("{one} sounds like {other}")));
}

/// `told`: of all copies.
fn summary(report: &Report, dry_run: bool, told: bool) {
    for skipped in &report.skipped {
        say(&format!("skipped {}: {}", skipped.path, skipped.why));
    }
    for path in &report.unsettled {
        say(&format!("not settled yet: {path}"));
    }
    let copies = report.copies.iter().filter(|_| !told);
    report.kept.iter().chain(copies).chain(&report.notices).for_each(|line| say(line));
    if let OrderFate::Edited { new, gone } = &report.order {
        say(
            "playlist.m3u was edited and is left alone; playlist.generated.m3u is setup's proposal (`--reorder` takes it)",
        );
        new.iter().for_each(|path| say(&format!("  new, and not in playlist.m3u: {path}")));
        gone.iter().for_each(|line| say(&format!("  in playlist.m3u, and gone: {line}")));
    }
    let encoded = if dry_run { "would be encoded" } else { "encoded" };
    say(&format!(
        "{} entries, {} items: {} {encoded}, {} ready before, {} skipped",
        report.entries,
        report.items,
        report.encoded,
        report.ready,
        report.skipped.len()
    ));
}
