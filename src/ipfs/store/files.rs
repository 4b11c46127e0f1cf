//! What the repo leaves to us on its disk.

use std::{fs, io, path::PathBuf};

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

/// Makes the shards themselves durable; the repo does so with the files in them only.
pub(super) async fn sync(folder: PathBuf) -> Result<(), Error> {
    off_thread(move || {
        for part in ["blockstore", "datastore/pins"] {
            fs::File::open(folder.join(part))?.sync_all()?;
        }
        Ok(())
    })
    .await
}

fn sweep_shard(shard: &std::path::Path) -> io::Result<usize> {
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
