//! By what a change of a file is noticed without reading it.

use std::{
    fs::{self, Metadata},
    io,
    os::unix::fs::MetadataExt,
    path::Path,
};

use serde::{Deserialize, Serialize};

use crate::radio::time::Time;

const SECOND_NS: i64 = 1_000_000_000;

/// Size, inode, and when content and inode were changed. Programs that write to a file can put back the first of these times,
/// not the second. The device is none of it: it may have another number after each start of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Stamp {
    size: u64,
    inode: u64,
    mtime_ns: i64,
    ctime_ns: i64,
}

impl Stamp {
    /// That of the file at this path.
    pub fn at(path: &Path) -> io::Result<Self> {
        Ok(Self::of(&fs::metadata(path)?))
    }

    /// That of a file of which this is known.
    pub fn of(file: &Metadata) -> Self {
        let ns = |seconds: i64, ns: i64| seconds.saturating_mul(SECOND_NS).saturating_add(ns);
        Self {
            size: file.size(),
            inode: file.ino(),
            mtime_ns: ns(file.mtime(), file.mtime_nsec()),
            ctime_ns: ns(file.ctime(), file.ctime_nsec()),
        }
    }

    /// The size in bytes.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// When its content was written last, as the file says; before 1970 counts as 1970.
    pub fn modified(&self) -> Time {
        Time(u64::try_from(self.mtime_ns / 1_000).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::File, time::Duration};

    use super::*;

    #[test]
    fn a_change_is_noticed_though_the_time_is_put_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        fs::write(&path, "one").unwrap();
        let written = fs::metadata(&path).unwrap().modified().unwrap();
        let before = Stamp::at(&path).unwrap();
        // The clock of a file system may stand for some milliseconds.
        let noticed = (0..100).any(|_| {
            std::thread::sleep(Duration::from_millis(1));
            fs::write(&path, "two").unwrap();
            File::options().write(true).open(&path).unwrap().set_modified(written).unwrap();
            let after = Stamp::at(&path).unwrap();
            assert_eq!((after.size(), after.modified()), (before.size(), before.modified()));
            after != before
        });
        assert!(noticed);
    }
}
