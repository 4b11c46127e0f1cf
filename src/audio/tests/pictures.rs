//! Covers and videos.

use super::{super::decode::*, files::*};

/// A file in which each of these words, the first behind the one before, is another one.
pub(super) fn altered(name: &str, words: &[(&[u8; 4], &[u8; 4])]) -> Vec<u8> {
    let (mut bytes, mut from) = (bytes_of(name), 0);
    for (old, new) in words {
        from += bytes[from..].windows(4).position(|word| word == *old).unwrap();
        bytes[from..from + 4].copy_from_slice(*new);
    }
    bytes
}

fn is_video(bytes: &[u8]) -> bool {
    let (_folder, file) = written(bytes, "a.mp4");
    let probe = probe(&file.path).unwrap();
    assert_eq!(probe.container, "isomp4");
    probe.is_video
}

#[test]
fn moving_pictures_are_told_from_covers_whatever_their_codec() {
    assert!(is_video(&bytes_of("clip.mp4")), "MPEG-4");
    for codec in [b"vp08", b"vp09", b"av01", b"apcn", b"mjp2"] {
        let clip = altered("clip.mp4", &[(b"mp4v", codec), (b"esds", b"free")]);
        assert!(is_video(&clip), "{}", String::from_utf8_lossy(codec));
    }
    for codec in [b"jpeg", b"png "] {
        let slides = altered("clip.mp4", &[(b"mp4v", codec), (b"esds", b"free")]);
        assert!(!is_video(&slides), "a picture for each chapter: {}", String::from_utf8_lossy(codec));
    }
    assert!(!is_video(&bytes_of("cover.mov")));
    assert!(!is_video(&altered("cover.mov", &[(b"jpeg", b"png ")])));
    assert!(!is_video(&altered("cover.mov", &[(b"jpeg", b"vp09")])), "one picture does not move");
    assert!(!is_video(&bytes_of("stereo.m4a")), "its cover is a tag");
}
