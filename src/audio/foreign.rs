//! Kinds of recordings that cannot be decoded, by their first bytes: some are taken for another kind otherwise, and a
//! name says more than that nothing fits.

/// Bytes of a file that are looked at.
pub(super) const START: usize = 16;

/// What the file is, if it is of such a kind.
pub(super) fn named(start: &[u8]) -> Option<&'static str> {
    if start.starts_with(b"RIFF") && start.get(8..12) == Some(b"AVI ") {
        return Some("AVI, a video");
    }
    let kinds: [(&[u8], &str); 12] = [
        (b"wvpk", "WavPack"),
        (b"RF64", "RF64, the WAV of more than 4 GB"),
        (b"BW64", "BW64, the WAV of more than 4 GB"),
        (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "Windows Media"),
        (b"\x0b\x77", "AC-3"),
        (b"MAC ", "Monkey's Audio"),
        (b"MPCK", "Musepack"),
        (b"MP+", "Musepack"),
        (b"TTA1", "True Audio"),
        (b"DSD ", "DSD"),
        (b"FLV\x01", "Flash video"),
        (b"\0\0\x01\xba", "an MPEG program stream, a video"),
    ];
    kinds.into_iter().find(|(magic, _)| start.starts_with(magic)).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_told_by_its_first_bytes() {
        let riff = |kind: &str| [b"RIFF\x24\0\0\0", kind.as_bytes(), b"LIST"].concat();
        let kinds = [
            (riff("AVI "), Some("AVI, a video")),
            (riff("WAVE"), None),
            (b"BW64\xff\xff\xff\xffWAVE".to_vec(), Some("BW64, the WAV of more than 4 GB")),
            (b"MAC \x96\x0f".to_vec(), Some("Monkey's Audio")),
            (b"MPCKSH".to_vec(), Some("Musepack")),
            (b"MP+\x07".to_vec(), Some("Musepack")),
            (b"TTA1\x01\0".to_vec(), Some("True Audio")),
            (b"DSD \x1c\0".to_vec(), Some("DSD")),
            (b"FLV\x01\x05".to_vec(), Some("Flash video")),
            (b"\0\0\x01\xba\x44".to_vec(), Some("an MPEG program stream, a video")),
            (b"fLaC\0\0\0\x22".to_vec(), None),
            (b"MP".to_vec(), None),
            (Vec::new(), None),
        ];
        for (start, kind) in kinds {
            assert_eq!(named(&start), kind, "{}", start.escape_ascii());
        }
    }
}
