//! What the repo leaves to us on its disk.

use std::{
    collections::BTreeSet,
    fs::{self, DirEntry},
    io,
    path::{Path, PathBuf},
};

use cid::Cid;

use super::{failed, refused::is_refusal};
use crate::ipfs::Error;

/// Deletes the temporary files that a killed writer left, and says how many. They are not only waste: a temporary file
/// may share its inode with a block, and a later process of the same id would write into it.
pub(super) async fn sweep(folder: PathBuf) -> Result<usize, Error> {
    off_thread(move || {
        let mut swept = 0;
        for part in ["blockstore", "datastore/pins"] {
            for shard in fs::read_dir(folder.join(part))? {
                let shard = shard?;
                if shard.file_type()?.is_dir() {
                    swept += sweep_shard(&shard.path())?;
                }
            }
        }
        Ok(swept)
    })
    .await
}

/// The blocks in the repo with `told` of each file, which lists those it can and says nothing of others; and why some are
/// not among them, if so.
pub(super) async fn list<T: Send + 'static>(
    folder: PathBuf,
    told: fn(&DirEntry) -> io::Result<T>,
) -> Result<(Vec<(Cid, T)>, Option<String>), Error> {
    off_thread(move || {
        let (mut blocks, mut wrong) = (Vec::new(), None);
        for shard in fs::read_dir(folder.join("blockstore"))? {
            let shard = shard?.path();
            if let Err(error) = list_shard(&shard, told, &mut blocks) {
                wrong = Some(format!("{}: {error}", shard.display()));
            }
        }
        Ok((blocks, wrong))
    })
    .await
}

fn list_shard<T>(shard: &Path, told: fn(&DirEntry) -> io::Result<T>, blocks: &mut Vec<(Cid, T)>) -> io::Result<()> {
    if !shard.is_dir() {
        return Ok(());
    }
    for file in fs::read_dir(shard)? {
        let file = file?;
        let path = file.path();
        let is_block = path.extension().is_some_and(|extension| extension == "data");
        let name = path.file_stem().and_then(|stem| stem.to_str()).filter(|_| is_block);
        if let Some(cid) = name.and_then(|name| Cid::try_from(name).ok()) {
            blocks.push((cid, told(&file)?));
        }
    }
    Ok(())
}

/// Makes durable where these files lie, and the shards themselves: the repo does so with what is in the files, and does not
/// say when it could not with their names.
pub(super) async fn sync(folder: PathBuf, files: Vec<PathBuf>) -> Result<(), Error> {
    off_thread(move || {
        let shards: BTreeSet<&Path> = files.iter().filter_map(|file| file.parent()).collect();
        let parts = ["blockstore", "datastore/pins"].map(|part| folder.join(part));
        for shard in shards {
            match fs::File::open(shard) {
                // All that belongs there was refused, and is held in memory.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                opened => opened?.sync_all()?,
            }
        }
        for part in parts {
            fs::File::open(part)?.sync_all()?;
        }
        Ok(())
    })
    .await
}

fn sweep_shard(shard: &Path) -> io::Result<usize> {
    let mut swept = 0;
    for file in fs::read_dir(shard)? {
        let path = file?.path();
        if path.extension().is_some_and(|extension| extension == "tmp" || extension == "recursive_temp") {
            fs::remove_file(path)?;
            swept += 1;
        }
    }
    Ok(swept)
}

async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T, Error> {
    let worked = tokio::task::spawn_blocking(work).await.map_err(failed)?;
    worked.map_err(|error| if is_refusal(&error) { Error::Refused(error.to_string()) } else { failed(error) })
}
