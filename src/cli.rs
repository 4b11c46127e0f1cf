//! The command line (contract §8): words in, exit codes out.

use std::{
    fs,
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use tokio::signal::unix;

use crate::{config, disk, ipfs, mirror, radio::ledger, setup as making, streamer};

mod callback;
mod files;
mod follow;
mod preview;
mod reanchor;
mod receipts;
mod run;
mod setup;
mod split;

/// Done, green, verified.
const OK: u8 = 0;
const FAILED: u8 = 1;
const DISK: u8 = 4;
const USAGE: u8 = 64;
const BUSY: u8 = 75;
const CONFIGURATION: u8 = 78;

/// A radio station on IPFS: puts it on the air and keeps it there.
#[derive(Debug, Parser)]
#[command(name = "ipfs-radio", version, max_term_width = 100)]
struct Cli {
    /// The station's folder.
    #[arg(long, global = true, default_value = ".", value_name = "FOLDER")]
    dir: PathBuf,
    /// Say more: once for what happens, twice for everything.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Go on air (the default): from what is ready, with setup beside it.
    Run {
        /// Air what is in processed/ and leave the sources alone.
        #[arg(long)]
        no_setup: bool,
        /// Be a mirror: fetch, verify, keep and serve what the station of this name (k51…) publishes.
        #[arg(long, value_name = "STATION", conflicts_with = "no_setup")]
        follow: Option<ipfs::Name>,
    },
    /// Encode music and jingles into processed/ and write the running order.
    Setup(setup::Options),
    /// Put recordings on demand: /audio/…/stream/….m3u8 on the listener port. They never air.
    Split {
        /// The recordings.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Say what will air, to the second.
    Preview {
        /// How far ahead.
        #[arg(long, default_value_t = 1, value_name = "H", value_parser = clap::value_parser!(u32).range(1..=8_784))]
        hours: u32,
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Have the dates on air follow the clock of this machine again; says first what listeners notice.
    Reanchor {
        /// Do it.
        #[arg(long)]
        yes: bool,
    },
    /// Verify, look up, copy and prove what has aired; also while the station is on air.
    Receipts(receipts::Options),
    /// Back up, restore or rotate the station's keys.
    Key(KeyArgs),
}

#[derive(Debug, Args)]
struct KeyArgs {
    #[command(subcommand)]
    action: KeyAction,
}

#[derive(Debug, Subcommand)]
enum KeyAction {
    /// Write all keys into one file; whoever has it is the station.
    Export {
        /// The file to write; it must not exist.
        file: PathBuf,
    },
    /// Take the keys from such a file; keys that are there are never overwritten.
    Import {
        /// The file to read.
        file: PathBuf,
    },
    /// Sign receipts with a new key from now on; a station on air takes it with its next receipt.
    Rotate,
}

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { USAGE } else { OK });
        }
    };
    listen_to_logs(cli.verbose);
    // What a station prints is of no account; of other commands it is all that they do.
    let stays = matches!(cli.command, None | Some(Command::Run { .. }));
    let done = dispatch(cli).and_then(|code| match UNSAID.get() {
        Some(why) if !stays && code == OK => Err(io::Error::other(format!("standard output: {why}")).into()),
        _ => Ok(code),
    });
    match done {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            let _ = writeln!(io::stderr(), "ipfs-radio: {}", words(&error));
            ExitCode::from(code_of(&error))
        }
    }
}

fn dispatch(cli: Cli) -> anyhow::Result<u8> {
    let dir = cli.dir;
    match cli.command.unwrap_or(Command::Run { no_setup: false, follow: None }) {
        Command::Run { follow: Some(station), .. } => follow::run(&dir, station),
        Command::Run { no_setup, follow: None } => run::run(&dir, no_setup),
        Command::Setup(options) => setup::run(&dir, options),
        Command::Split { files } => split::run(&dir, &files),
        Command::Preview { hours, json } => preview::run(&dir, hours, json),
        Command::Reanchor { yes } => reanchor::run(&dir, yes),
        Command::Receipts(options) => receipts::run(&dir, options),
        Command::Key(KeyArgs { action: KeyAction::Rotate }) => rotate(&dir),
        Command::Key(KeyArgs { action: KeyAction::Export { file } }) => export(&dir, &file),
        Command::Key(KeyArgs { action: KeyAction::Import { file } }) => import(&dir, &file),
    }
}

fn export(dir: &Path, file: &Path) -> anyhow::Result<u8> {
    let layout = disk::Layout::new(dir);
    let backup = streamer::Identity::export(&layout.keys())?;
    disk::create_private(file, backup.as_bytes())?;
    Ok(OK)
}

fn import(dir: &Path, file: &Path) -> anyhow::Result<u8> {
    let layout = disk::Layout::new(dir);
    layout.create_state()?;
    let _lock = disk::Lock::take(&layout.state_lock())?;
    let bytes = disk::read(file, BACKUP_BYTES_MAX)?;
    let text = String::from_utf8(bytes).with_context(|| format!("{} is not UTF-8", file.display()))?;
    streamer::Identity::import(&layout.keys(), &text)?;
    Ok(OK)
}

fn rotate(dir: &Path) -> anyhow::Result<u8> {
    let (old, new) = streamer::Identity::rotate(&disk::Layout::new(dir).keys())?;
    say(&format!(
        "receipts are signed by the key {new} from the next one on; {old} still verifies what it has signed.\n\
         Back up the keys again (`ipfs-radio key export FILE`): an older backup does not have {new}."
    ));
    Ok(OK)
}

/// No backup of keys is longer.
const BACKUP_BYTES_MAX: u64 = 1 << 20;

/// An error with its causes. Most errors of this program tell their cause themselves: it is told once.
fn words(error: &anyhow::Error) -> String {
    let mut told = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if told.is_empty() {
            told = cause;
        } else if !told.contains(&cause) {
            told = format!("{told}: {cause}");
        }
    }
    told
}

/// The exit code of an error: what it is at the root decides.
fn code_of(error: &anyhow::Error) -> u8 {
    for cause in error.chain() {
        match cause.downcast_ref::<config::Error>() {
            // The disk refuses: nothing is wrong with what is written there.
            Some(config::Error::Read { source, .. }) if source.raw_os_error().is_some() => return DISK,
            Some(_) => return CONFIGURATION,
            None => {}
        }
        if cause.is::<mirror::Refused>() {
            return USAGE;
        }
        if let Some(error) = cause.downcast_ref::<making::Error>() {
            return error.exit_code();
        }
        match cause.downcast_ref::<disk::Error>() {
            Some(disk::Error::Busy { .. }) => return BUSY,
            Some(_) => return DISK,
            None => {}
        }
        let unusable = matches!(cause.downcast_ref(), Some(ipfs::Error::Listen(_) | ipfs::Error::Store(_)));
        if unusable || cause.is::<ledger::Error>() || cause.is::<io::Error>() {
            return DISK;
        }
    }
    FAILED
}

fn listen_to_logs(verbose: u8) {
    let ours: String = match verbose {
        0 => "ipfs_radio=warn,symphonia=off,error".into(),
        1 => format!("ipfs_radio=info,symphonia=off,{},warn", ipfs::QUIET),
        _ => "ipfs_radio=debug,info".into(),
    };
    let filter = tracing_subscriber::EnvFilter::try_from_default_env();
    let filter = filter.unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(ours));
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let colours = io::stderr().is_terminal() && !plain;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(io::stderr);
    // A log that cannot be written ends nothing: to tell of that, the program would break where it cannot either.
    let _ = log.log_internal_errors(false).try_init();
}

/// Why something could not be printed: then a command has not done what it was asked for.
static UNSAID: OnceLock<String> = OnceLock::new();

/// Prints to standard output; a reader that has gone away ends nothing.
fn say(text: &str) {
    let mut out = io::stdout().lock();
    let said = writeln!(out, "{text}").and_then(|()| out.flush());
    if let Some(error) = said.err().filter(|error| !is_unread(error)) {
        let _ = UNSAID.set(error.to_string());
    }
}

/// Whether whoever reads standard output has read enough, which is no error.
fn is_unread(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::BrokenPipe
}

/// SIGINT, SIGTERM and SIGHUP: caught from the moment this is made, also before anybody waits for them.
struct Signals {
    interrupt: unix::Signal,
    terminate: unix::Signal,
    hangup: Option<unix::Signal>,
}

impl Signals {
    /// Catches them. Must be called within a runtime.
    fn catch() -> io::Result<Self> {
        let (interrupt, terminate) = (unix::SignalKind::interrupt(), unix::SignalKind::terminate());
        let hangup = if ignores_hangup() { None } else { Some(unix::signal(unix::SignalKind::hangup())?) };
        Ok(Self { interrupt: unix::signal(interrupt)?, terminate: unix::signal(terminate)?, hangup })
    }

    /// Waits for the next one.
    async fn any(&mut self) {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => drop(hangup.recv().await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            () = hangup => {}
        }
    }
}

/// Whether whoever has started this process wants it to outlive a terminal that is closed, as `nohup` does.
fn ignores_hangup() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    // The last bit is the first signal.
    ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}

/// Raised by these signals in commands that are not asynchronous.
static STOP: AtomicBool = AtomicBool::new(false);

/// A runtime that watches for signals while blocking work goes on.
fn stop_on_signal() -> anyhow::Result<tokio::runtime::Runtime> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let mut signals = {
        let _within = runtime.enter();
        Signals::catch()?
    };
    runtime.spawn(async move {
        signals.any().await;
        STOP.store(true, Ordering::Relaxed);
    });
    Ok(runtime)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_told_once() {
        let gone = || io::Error::from(io::ErrorKind::NotFound);
        let error = anyhow::Error::new(disk::read(Path::new("/nowhere"), 1).unwrap_err()).context("the keys");
        assert_eq!(words(&error), "the keys: cannot read /nowhere: No such file or directory (os error 2)");
        assert_eq!(words(&anyhow::Error::new(gone()).context("no port")), "no port: entity not found");
        assert_eq!(words(&anyhow::anyhow!("alone")), "alone");
    }

    #[test]
    fn whatever_the_system_refuses_is_input_or_output() {
        let error = anyhow::Error::new(io::Error::from(io::ErrorKind::AddrInUse)).context("http.listen");
        assert_eq!(code_of(&error), DISK);
        assert_eq!(code_of(&ipfs::Error::Listen("in use".into()).into()), DISK);
        assert_eq!(code_of(&anyhow::anyhow!("something else")), FAILED);
        let refused = |source| anyhow::Error::new(config::Error::Read { path: "setup.toml".into(), source });
        assert_eq!(code_of(&refused(io::Error::from_raw_os_error(24))), DISK, "too many open files");
        assert_eq!(code_of(&refused(io::ErrorKind::InvalidData.into())), CONFIGURATION);
    }
}
