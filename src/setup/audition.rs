//! A recording as it would air, to be heard before it is made.

use std::{io::Write, path::Path, sync::atomic::AtomicBool};

use super::{
    Job, Overrides, Quality, audio,
    publish::read_manifest,
    quality::{flaws, loudness},
    recipe::Recipe,
    split::lies_in,
    stat_cache::sha256_of,
    walk::{Found, spelled},
};
use crate::{
    audio::{decode, excerpt::Excerpt},
    disk::Layout,
    radio::segment::Kind,
};

/// Why there is nothing to hear.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuditionError {
    /// What is written beside the recording cannot stand there.
    #[error("{0}")]
    Mistaken(String),
    /// The recording cannot be used.
    #[error(transparent)]
    Audio(#[from] audio::Error),
}

/// Writes a recording as WAV, before and after its level is set, as setup would make it: with what is written beside it,
/// and at the level of jingles if it is one. Gives what is known of it then.
///
/// A jingle lies in their folder, or has the bytes of one that the manifest lists.
pub fn audition(
    layout: &Layout,
    job: &Job,
    file: &Path,
    overrides: &dyn Fn(&Path) -> Result<Overrides, String>,
    stop: &AtomicBool,
    [before, after]: [&mut dyn Write; 2],
) -> Result<Quality, AuditionError> {
    let file = std::path::absolute(file).map_err(audio::Error::Read)?;
    let sha256 = sha256_of(&file, stop).map_err(audio::Error::Read)?.ok_or(audio::Error::Stopped)?;
    let (path, kind) = (spelled(layout.dir(), &file), kind_of(layout, job, &file, &sha256[..32]));
    let found = Found::named(file, path, kind);
    let overrides = match &found.overrides {
        Some(beside) => overrides(beside).map_err(AuditionError::Mistaken)?,
        None => Overrides::default(),
    };
    let offset = if kind == Kind::Jingle { job.jingle_offset } else { 0.0 };
    let Recipe { settings, part, .. } = Recipe::new(&job.settings, offset).with(&overrides);
    let source = Excerpt { source: &decode::File { path: found.file.clone() }, part };
    let mastered = audio::audition(&source, &settings, stop, before, after)?;
    let stated = decode::probe(&found.file)?.tags.loudness(settings.reference);
    let (id, loudness) = (sha256[..32].to_owned(), loudness(&mastered.levels, stated));
    let (flaws, mut warnings) = (flaws(&mastered.flaws), mastered.warnings);
    warnings.extend(overrides.exclude.then(|| "it is left out, as is written beside it".to_owned()));
    Ok(Quality { path: found.path, kind, id, loudness, flaws, warnings })
}

fn kind_of(layout: &Layout, job: &Job, file: &Path, id: &str) -> Kind {
    let is_listed = || {
        let manifest = read_manifest(&layout.processed());
        manifest
            .is_some_and(|manifest| manifest.entries().iter().any(|entry| entry.kind == Kind::Jingle && entry.id == id))
    };
    let airs = job.jingles.as_ref();
    if airs.is_some_and(|folder| lies_in(layout, folder, file) || is_listed()) { Kind::Jingle } else { Kind::Track }
}
