//! Which recordings there are.

use std::{
    collections::HashSet,
    ffi::OsStr,
    fs, io,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
};

use super::{Error, overrides::ENDING, report::Skipped};
use crate::radio::{manifest::MOST, playlist::spell, rotation::natural, segment::Kind};

/// Files with these endings are taken for recordings; all others are passed over without a word.
const ENDINGS: [&str; 30] = [
    "aac", "ac3", "aif", "aifc", "aiff", "alac", "ape", "caf", "flac", "m4a", "m4b", "m4r", "mka", "mkv", "mov", "mp1",
    "mp2", "mp3", "mp4", "mpc", "oga", "ogg", "ogx", "opus", "spx", "tta", "wav", "webm", "wma", "wv",
];
/// The ending of a cue sheet, in place of the recording's.
const CUE_ENDINGS: [&str; 2] = ["cue", "CUE"];
/// Folders in folders that are followed.
const DEEPEST: usize = 64;

/// A file that should be a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Where it lies.
    pub(super) file: PathBuf,
    /// Its path in the manifest.
    pub(super) path: String,
    pub(super) kind: Kind,
    /// The file beside it that holds for it alone, if there is one.
    pub(super) overrides: Option<PathBuf>,
    /// The cue sheet beside it, if there is one.
    pub(super) cue_sheet: Option<PathBuf>,
}

impl Found {
    /// A file that was named, not found in a folder.
    pub(super) fn named(file: PathBuf, path: String, kind: Kind) -> Self {
        Self::with_beside(file, path, kind, |beside| beside.is_file())
    }

    /// A file with those beside it that are there.
    fn with_beside(file: PathBuf, path: String, kind: Kind, is_there: impl Fn(&PathBuf) -> bool) -> Self {
        let overrides = Some(beside(&file)).filter(&is_there);
        let cue_sheet = CUE_ENDINGS.map(|ending| file.with_extension(ending)).into_iter().find(is_there);
        Self { file, path, kind, overrides, cue_sheet }
    }
}

/// Where what holds for a recording alone would be written.
fn beside(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(ENDING);
    name.into()
}

/// What a folder holds.
#[derive(Debug, Default)]
pub(super) struct Folder {
    /// The recordings in their natural order.
    pub(super) found: Vec<Found>,
    /// What could not be looked into.
    pub(super) skipped: Vec<Skipped>,
}

/// Lists the recordings in `folder` and the folders in it. A folder that is missing is an empty one.
///
/// Links are followed, each folder once; names that begin with a dot are passed over.
pub(super) fn walk(dir: &Path, folder: &Path, kind: Kind) -> Result<Folder, Error> {
    let mut walk = Walk { dir, kind, seen: HashSet::new(), result: Folder::default() };
    let folder = dir.join(folder);
    if folder.exists() {
        walk.enter(&folder, 0);
    }
    if walk.result.found.len() > MOST {
        return Err(Error::TooMany { folder, limit: MOST });
    }
    walk.result.found.sort_by(|a, b| natural(&a.path, &b.path));
    walk.result.skipped.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(walk.result)
}

/// A path as the manifest spells it: relative to the station's folder where it is inside.
pub(super) fn spelled(dir: &Path, file: &Path) -> String {
    spell(file.strip_prefix(dir).unwrap_or(file).as_os_str().as_bytes())
}

struct Walk<'a> {
    dir: &'a Path,
    kind: Kind,
    /// Device and inode of every folder that was entered.
    seen: HashSet<(u64, u64)>,
    result: Folder,
}

impl Walk<'_> {
    fn enter(&mut self, folder: &Path, depth: usize) {
        if depth > DEEPEST {
            return self.skip(folder, format!("it is more than {DEEPEST} folders deep"));
        }
        match fs::metadata(folder) {
            Ok(found) if !self.seen.insert((found.dev(), found.ino())) => return,
            Ok(_) => {}
            Err(error) => return self.skip(folder, error.to_string()),
        }
        let children = match children(folder) {
            Ok(children) => children,
            Err(error) => return self.skip(folder, error.to_string()),
        };
        let beside = self.beside(&children);
        for child in children {
            if self.result.found.len() > MOST {
                return;
            }
            self.look_at(child, depth, &beside);
        }
    }

    /// The files in a folder that could be about a recording alone. One that is called almost like that is told.
    fn beside(&mut self, children: &[PathBuf]) -> HashSet<PathBuf> {
        let cue = |child: &Path| child.extension().is_some_and(|ending| CUE_ENDINGS.map(OsStr::new).contains(&ending));
        let ends = |child: &&PathBuf| child.as_os_str().as_bytes().ends_with(ENDING.as_bytes()) || cue(child);
        let all: HashSet<PathBuf> = children.iter().filter(ends).cloned().collect();
        if all.is_empty() {
            return all;
        }
        for recording in children.iter().filter(|child| is_recording(child)) {
            let (almost, meant) = (recording.with_extension(&ENDING[1..]), beside(recording));
            if all.contains(&almost) && !all.contains(&meant) {
                let name = meant.file_name().unwrap_or_default().to_string_lossy().into_owned();
                self.skip(&almost, format!("it belongs to no recording; call it `{name}` to make it hold"));
            }
        }
        all
    }

    fn look_at(&mut self, child: PathBuf, depth: usize, beside: &HashSet<PathBuf>) {
        let hidden = child.file_name().is_some_and(|name| name.as_bytes().starts_with(b"."));
        if hidden {
            return;
        }
        match fs::metadata(&child) {
            Ok(found) if found.is_dir() => self.enter(&child, depth + 1),
            Ok(found) if found.is_file() && is_recording(&child) => {
                let path = spelled(self.dir, &child);
                let found = Found::with_beside(child, path, self.kind, |file| beside.contains(file));
                self.result.found.push(found);
            }
            // It may be a folder of recordings: where nobody can look, nothing may be taken for gone.
            Err(error) if is_recording(&child) || error.kind() != io::ErrorKind::NotFound => {
                self.skip(&child, error.to_string());
            }
            _ => {}
        }
    }

    fn skip(&mut self, path: &Path, why: String) {
        self.result.skipped.push(Skipped { path: spelled(self.dir, path), why });
    }
}

/// What is in a folder, sorted, so that a folder with two names is always entered by the same one.
fn children(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut children = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    children.sort();
    Ok(children)
}

fn is_recording(file: &Path) -> bool {
    let ending = file.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    ENDINGS.iter().any(|known| known.eq_ignore_ascii_case(ending))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        walk(dir, Path::new("music"), Kind::Track).unwrap().found.into_iter().map(|found| found.path).collect()
    }

    #[test]
    fn lists_recordings_in_their_natural_order() {
        let dir = tempfile::tempdir().unwrap();
        let music = dir.path().join("music");
        fs::create_dir_all(music.join("b/deep")).unwrap();
        for name in ["10.mp3", "9.FLAC", "b/deep/x.ogg", "b/cover.jpg", ".hidden.mp3", "notes.txt", "none", "b/.mp3"] {
            fs::write(music.join(name), b"").unwrap();
        }
        assert_eq!(names(dir.path()), ["music/9.FLAC", "music/10.mp3", "music/b/deep/x.ogg"]);
        let nowhere = walk(dir.path(), Path::new("nowhere"), Kind::Track).unwrap();
        assert!(nowhere.found.is_empty() && nowhere.skipped.is_empty());
    }

    #[test]
    fn follows_links_once_and_names_broken_ones() {
        let dir = tempfile::tempdir().unwrap();
        let music = dir.path().join("music");
        fs::create_dir_all(music.join("a")).unwrap();
        fs::write(music.join("a/1.mp3"), b"").unwrap();
        symlink("../a", music.join("a/loop")).unwrap();
        symlink("..", music.join("a/up")).unwrap();
        symlink("a", music.join("z")).unwrap();
        symlink("a/1.mp3", music.join("link.mp3")).unwrap();
        symlink("gone.mp3", music.join("broken.mp3")).unwrap();
        symlink("itself.mp3", music.join("itself.mp3")).unwrap();
        assert_eq!(names(dir.path()), ["music/a/1.mp3", "music/link.mp3"]);
        let skipped = walk(dir.path(), Path::new("music"), Kind::Track).unwrap().skipped;
        let paths: Vec<&str> = skipped.iter().map(|skipped| skipped.path.as_str()).collect();
        assert_eq!(paths, ["music/broken.mp3", "music/itself.mp3"]);
    }

    #[test]
    fn knows_which_file_holds_for_which_recording() {
        let dir = tempfile::tempdir().unwrap();
        let music = dir.path().join("music");
        fs::create_dir_all(&music).unwrap();
        for name in [
            "a.mp3",
            "a.mp3.toml",
            "a.cue",
            "b.flac",
            "b.CUE",
            "b.mp3",
            "b.mp3.toml",
            "b.toml",
            "c.wav",
            "c.toml",
            "setup.toml",
        ] {
            fs::write(music.join(name), b"").unwrap();
        }
        let folder = walk(dir.path(), Path::new("music"), Kind::Track).unwrap();
        let beside: Vec<_> = folder.found.iter().map(|found| found.overrides.clone()).collect();
        assert_eq!(beside, [Some(music.join("a.mp3.toml")), None, Some(music.join("b.mp3.toml")), None]);
        let sheets: Vec<_> = folder.found.iter().map(|found| found.cue_sheet.clone()).collect();
        assert_eq!(sheets, [Some(music.join("a.cue")), Some(music.join("b.CUE")), Some(music.join("b.CUE")), None]);
        let told: Vec<_> = folder.skipped.iter().map(|skipped| (skipped.path.as_str(), skipped.why.as_str())).collect();
        let words = |name| format!("it belongs to no recording; call it `{name}` to make it hold");
        let [flac, wav] = ["b.flac.toml", "c.wav.toml"].map(words);
        assert_eq!(told, [("music/b.toml", flac.as_str()), ("music/c.toml", wav.as_str())]);
    }

    #[test]
    fn spells_hostile_names() {
        let dir = tempfile::tempdir().unwrap();
        let music = dir.path().join("music");
        fs::create_dir_all(&music).unwrap();
        for name in [&b"a\nb.mp3"[..], b"  x.mp3", b"100%.mp3", b"\xff.mp3", "ü.mp3".as_bytes()] {
            fs::write(music.join(OsStr::from_bytes(name)), b"").unwrap();
        }
        assert_eq!(
            names(dir.path()),
            ["music/  x.mp3", "music/%FF.mp3", "music/100%25.mp3", "music/a%0Ab.mp3", "music/ü.mp3"]
        );
    }

    #[test]
    fn a_folder_elsewhere_is_named_in_full() {
        let elsewhere = tempfile::tempdir().unwrap();
        fs::write(elsewhere.path().join("a.mp3"), b"").unwrap();
        let found = walk(Path::new("."), elsewhere.path(), Kind::Jingle).unwrap().found;
        assert_eq!(found[0].path, elsewhere.path().join("a.mp3").to_str().unwrap());
    }
}
