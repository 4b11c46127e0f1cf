//! `state/follow.json`, and whose folder it is.

use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::{
    disk::{self, Layout},
    ipfs::{Name, Record},
    radio::follow::{SAVED_BYTES_MAX, Said, Saved, SavedName},
};

/// Why a folder cannot be a mirror's, or a station's.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// It has the keys or the receipts of a station.
    #[error(
        "{} is there, so this folder is a station of its own and cannot be a mirror; name another folder with --dir",
        .0.display()
    )]
    Station(PathBuf),
    /// It follows another station.
    #[error("this folder follows {followed}; name another folder with --dir, or move {} away", file.display())]
    Another {
        /// The station that it follows.
        followed: String,
        /// The file that says so.
        file: PathBuf,
    },
    /// It is a mirror's.
    #[error(
        "this folder is a mirror of {followed}: start it with `run --follow {followed}`, or name another folder with \
         --dir for a station of your own"
    )]
    Mirror {
        /// The station that it follows.
        followed: String,
    },
    /// The state file makes no sense.
    #[error("{} cannot be used: {why}; move it away, and the mirror begins anew", file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

/// Whether the folder may be used: to follow a station, or, with `None`, as a station.
pub fn check_folder(layout: &Layout, follow: Option<Name>) -> anyhow::Result<()> {
    let state = layout.follow();
    let followed = read(&state)?.map(|saved| saved.station);
    let Some(name) = follow else {
        return followed.map_or(Ok(()), |followed| Err(Refused::Mirror { followed }.into()));
    };
    let of_a_station = [layout.station_key(), layout.stream_key(), layout.receipt_keys(), layout.ledger()];
    if let Some(path) = of_a_station.into_iter().find(|path| path.exists()) {
        return Err(Refused::Station(path).into());
    }
    match followed {
        Some(followed) if followed != name.to_string() => Err(Refused::Another { followed, file: state }.into()),
        _ => Ok(()),
    }
}

/// What was saved; a mirror that begins says at once what it is, so that its folder is not taken for a station's.
pub(super) fn load(path: &Path, station: Name) -> anyhow::Result<Saved> {
    if let Some(saved) = read(path)? {
        return Ok(saved);
    }
    let saved = Saved::new(&station.to_string());
    disk::replace(path, saved.write().as_bytes())?;
    Ok(saved)
}

fn read(path: &Path) -> anyhow::Result<Option<Saved>> {
    let Some(text) = disk::read_if_there(path, SAVED_BYTES_MAX)? else { return Ok(None) };
    let saved = Saved::read(&text).map_err(|why| Refused::Damaged { file: path.to_owned(), why })?;
    Ok(Some(saved))
}

/// The records of root and list that were saved, with their signatures verified.
pub(super) fn verified(path: &Path, saved: &Saved, station: Name) -> Result<(Option<Said>, Option<Said>), Refused> {
    let refuse = |why: String| Refused::Damaged { file: path.to_owned(), why };
    let open = |name: Name, saved: &Option<SavedName>| {
        let record = saved.as_ref().map(|saved| Record::open(name, Bytes::copy_from_slice(&saved.record)));
        let record = record.transpose().map_err(|error| refuse(error.to_string()))?;
        Ok(record.as_ref().map(said))
    };
    let stream = match &saved.stream {
        Some(stream) => Some(stream.parse::<Name>().map_err(|error| refuse(error.to_string()))?),
        None => None,
    };
    let list = stream.map_or(Ok(None), |stream| open(stream, &saved.list))?;
    Ok((open(station, &saved.root)?, list))
}

/// What a record says, for the core.
pub(super) fn said(record: &Record) -> Said {
    let view = record.view();
    Said {
        value: view.value.clone(),
        sequence: view.sequence,
        validity: view.validity,
        ttl: view.ttl,
        bytes: record.bytes().to_vec().into(),
    }
}
