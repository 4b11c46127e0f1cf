//! `receipts prove`: what anybody can check with the station's name alone.

use anyhow::{Context, bail};
use clap::{ArgGroup, Args};

use super::{super::OK, SELECTORS, Which, check, note, say, seq, signed};
use crate::{
    disk::{
        Layout,
        ledger::book::{Book, Wanted},
    },
    radio::{
        checkpoint::{Note, Proof, Prover},
        receipt::{Body, Unverified, VERSION},
    },
    streamer::Identity,
};

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("what").required(true).args(SELECTORS).arg("since"))]
pub(super) struct Options {
    #[command(flatten)]
    which: Which,
    /// Prove instead that a checkpoint goes on from this older one.
    #[arg(long, value_name = "FILE|CID")]
    since: Option<String>,
    /// The checkpoint: a file, or the CID of one that the station has. The newest one if it is not given.
    #[arg(long, value_name = "FILE|CID")]
    checkpoint: Option<String>,
}

/// Prints a proof as one JSON object.
pub(super) fn run(layout: &Layout, options: &Options) -> anyhow::Result<u8> {
    let book = Book::open(&layout.ledger())?;
    let (checkpoint, text) = checkpoint(layout, &book, options.checkpoint.as_deref())?;
    let (proof, code) = if let Some(since) = &options.since {
        let (older, older_text) = note(layout, since)?;
        if older.origin != checkpoint.origin || older.size > checkpoint.size {
            bail!("{since} is not an older checkpoint of {}", checkpoint.origin);
        }
        let proof = nodes(&book, Prover::consistency(&older, checkpoint))?;
        (Proof::Consistency { v: VERSION, older: older_text, proof, checkpoint: text }, OK)
    } else {
        let place = options.which.find(&book)?;
        let code = check(&place, &Identity::receipt_keys(&layout.keys())?)?;
        let index = seq(place.text.as_bytes()).with_context(|| format!("{place}: no number"))?;
        let size = checkpoint.size;
        if index >= size {
            bail!("receipt {index} is behind the {size} that the checkpoint counts; another one comes within an hour");
        }
        let proof = nodes(&book, Prover::inclusion(index, checkpoint))?;
        (Proof::Inclusion { v: VERSION, line: place.text, index, proof, checkpoint: text }, code)
    };
    say(&serde_json::to_string_pretty(&proof)?);
    Ok(code)
}

/// The checkpoint that was given, or the newest one.
fn checkpoint(layout: &Layout, book: &Book, given: Option<&str>) -> anyhow::Result<(Note, String)> {
    if let Some(given) = given {
        return note(layout, given);
    }
    let place = book.find(&Wanted::Checkpoint)?.context("there is no checkpoint yet")?;
    let body = Unverified::read(&place.text).with_context(|| place.to_string())?.unchecked().body;
    let Body::Checkpoint(body) = body else { bail!("{place}: not a checkpoint") };
    let note = Note::parse(&body.note).with_context(|| place.to_string())?;
    signed(&note).map_err(|why| anyhow::anyhow!("{place}: {why}"))?;
    Ok((note, body.note))
}

/// Reads the ledger as far as the checkpoint goes.
fn nodes(book: &Book, mut prover: Prover) -> anyhow::Result<Vec<String>> {
    book.lines(0..=u64::MAX, &mut |line| prover.push(line))?;
    prover.nodes().map_err(|why| anyhow::anyhow!(why))
}
