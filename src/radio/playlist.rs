//! `playlist.m3u`: the running order, one path a line (contract §1).
//!
//! Setup writes it, and so may people and other programs: what cannot be used is skipped and reported with its line.

use super::{
    manifest::{Entry, Manifest},
    segment::Kind,
    time::Span,
};

/// Longest order that is read, in bytes.
pub const LONGEST: u64 = 64 << 20;
/// Most entries in an order.
pub const MOST: usize = 500_000;
/// Most skipped lines that are told one by one.
pub const MOST_TOLD: usize = 100;

/// A running order that can air: at least one entry, each of which the manifest knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// The paths of the entries as the manifest spells them.
    pub paths: Vec<String>,
    /// The lines that name no entry, at most [`MOST_TOLD`] of them.
    pub skipped: Vec<Skipped>,
    /// How many lines name no entry.
    pub skipped_count: usize,
}

/// A line that names no entry, or one that is there on demand only.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: `{text}` names no entry of the manifest that airs")]
pub struct Skipped {
    /// The line, from 1.
    pub line: usize,
    /// What stands there, spelled as the manifest spells paths.
    pub text: String,
}

/// Why an order cannot air.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// There is no line that could name an entry.
    #[error("{file}: the order is empty; write one path a line, as in playlist.generated.m3u")]
    Empty {
        /// The file.
        file: String,
    },
    /// Not one line names an entry.
    #[error(
        "{file}:{line}: `{text}` names no entry of the manifest that airs, nor does any other line; see playlist.generated.m3u"
    )]
    NothingUsable {
        /// The file.
        file: String,
        /// The first line that should name an entry, from 1.
        line: usize,
        /// What stands there.
        text: String,
    },
    /// It is longer than an order can be.
    #[error("{file}:{line}: an order has at most {MOST} lines")]
    TooLong {
        /// The file.
        file: String,
        /// The first line too many, from 1.
        line: usize,
    },
}

/// Reads an order; `file` is its name for messages.
///
/// CRLF, a byte order mark, `./` in front, and blanks around a path are understood; comments are passed over.
pub fn parse(file: &str, bytes: &[u8], manifest: &Manifest) -> Result<Order, Refused> {
    let mut order = Order { paths: Vec::new(), skipped: Vec::new(), skipped_count: 0 };
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.trim_ascii().is_empty() || line.starts_with(b"#") {
            continue;
        }
        if order.paths.len() + order.skipped_count >= MOST {
            return Err(Refused::TooLong { file: file.to_owned(), line: index + 1 });
        }
        match entry_named(line, manifest) {
            Some(entry) => order.paths.push(entry.path.clone()),
            None => order.skip(index + 1, line),
        }
    }
    match (order.paths.is_empty(), order.skipped.first()) {
        (false, _) => Ok(order),
        (true, None) => Err(Refused::Empty { file: file.to_owned() }),
        (true, Some(first)) => {
            Err(Refused::NothingUsable { file: file.to_owned(), line: first.line, text: first.text.clone() })
        }
    }
}

/// Writes an order: extended M3U, UTF-8, LF. The same bytes for the same order.
pub fn print<'a>(order: impl IntoIterator<Item = &'a Entry>, manifest: &Manifest) -> String {
    let mut text = String::from("#EXTM3U\n");
    for entry in order {
        let (seconds, name) = match manifest.item(&entry.id) {
            Some(item) => (whole_seconds(item.samples, item.rate), shown(&item.artist, &item.title)),
            None => (-1, String::new()),
        };
        text.push_str(&format!("#EXTINF:{seconds},{name}\n{}\n", entry.path));
    }
    text
}

/// A path as orders and manifests spell it: control characters, `%`, a leading `#` and bytes that are not UTF-8 are
/// percent-encoded, everything else stands for itself.
pub fn spell(path: &[u8]) -> String {
    let mut text = String::with_capacity(path.len());
    let encode = |text: &mut String, bytes: &[u8]| {
        for byte in bytes {
            text.push_str(&format!("%{byte:02X}"));
        }
    };
    for chunk in path.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() || c == '%' || (c == '#' && text.is_empty()) {
                encode(&mut text, c.encode_utf8(&mut [0; 4]).as_bytes());
            } else {
                text.push(c);
            }
        }
        encode(&mut text, chunk.invalid());
    }
    text
}

/// The bytes of a path that is spelled so. A `%` without two hex digits behind it stands for itself.
pub fn unspell(text: &str) -> Vec<u8> {
    unescape(text.as_bytes())
}

fn unescape(text: &[u8]) -> Vec<u8> {
    let mut path = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, behind)) = rest.split_first() {
        let escaped = match (first, behind) {
            (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)),
            _ => None,
        };
        match escaped {
            Some((high, low)) => {
                path.push(high * 16 + low);
                rest = &behind[2..];
            }
            None => {
                path.push(*first);
                rest = behind;
            }
        }
    }
    path
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

fn entry_named<'a>(line: &[u8], manifest: &'a Manifest) -> Option<&'a Entry> {
    let known = |line: &[u8]| manifest.entry(&spell(&unescape(line))).filter(|entry| entry.kind != Kind::Vod);
    let bare = line.trim_ascii();
    known(line).or_else(|| known(bare.strip_prefix(b"./").unwrap_or(bare)))
}

impl Order {
    fn skip(&mut self, line: usize, text: &[u8]) {
        self.skipped_count += 1;
        if self.skipped.len() < MOST_TOLD {
            let text = spell(&unescape(text)).chars().take(200).collect();
            self.skipped.push(Skipped { line, text });
        }
    }
}

fn whole_seconds(samples: u64, rate: u32) -> i64 {
    let seconds = (Span::of_samples(samples, rate).0 + 500_000) / 1_000_000;
    i64::try_from(seconds).unwrap_or(i64::MAX)
}

/// `artist - title` on one line.
fn shown(artist: &str, title: &str) -> String {
    let joined = if artist.is_empty() { title.to_owned() } else { format!("{artist} - {title}") };
    joined.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::radio::manifest::tests::manifest_of;

    fn paths(text: &str, manifest: &Manifest) -> Vec<String> {
        parse("playlist.m3u", text.as_bytes(), manifest).unwrap().paths
    }

    #[test]
    fn spells_what_a_line_cannot_hold() {
        for (path, text) in [
            (&b"music/a b.mp3"[..], "music/a b.mp3"),
            (b"music/100%.mp3", "music/100%25.mp3"),
            (b"#1.mp3", "%231.mp3"),
            (b"music/#1.mp3", "music/#1.mp3"),
            (b"music/a\nb.mp3", "music/a%0Ab.mp3"),
            (b"music/a\r\x7f.mp3", "music/a%0D%7F.mp3"),
            ("music/\u{85}é.mp3".as_bytes(), "music/%C2%85é.mp3"),
            (b"music/\xff\xe9.mp3", "music/%FF%E9.mp3"),
            (b"  leading.mp3", "  leading.mp3"),
        ] {
            assert_eq!(spell(path), text);
            assert_eq!(unspell(text), path);
        }
    }

    #[test]
    fn prints_extended_m3u() {
        let manifest = manifest_of(&["music/a.mp3", "#b\n.mp3"]);
        let text = print(manifest.entries(), &manifest);
        assert_eq!(text, "#EXTM3U\n#EXTINF:10,Artist - Title\n%23b%0A.mp3\n#EXTINF:10,Artist - Title\nmusic/a.mp3\n");
        assert_eq!(paths(&text, &manifest), ["%23b%0A.mp3", "music/a.mp3"]);
        let strange = Entry { path: "music/c.mp3".into(), kind: Kind::Track, id: "none".into() };
        assert_eq!(print([&strange], &manifest), "#EXTM3U\n#EXTINF:-1,\nmusic/c.mp3\n");
    }

    #[test]
    fn understands_what_people_write() {
        let manifest = manifest_of(&["music/a.mp3", "music/100%.mp3", " music/b.mp3 "]);
        let text = "\u{feff}#EXTM3U\r\n\r\n  music/a.mp3  \r\n./music/a.mp3\nmusic/100%.mp3\nmusic/100%25.mp3\n#music/a.mp3\n music/b.mp3 \nmusic/a.mp3";
        assert_eq!(
            paths(text, &manifest),
            ["music/a.mp3", "music/a.mp3", "music/100%25.mp3", "music/100%25.mp3", " music/b.mp3 ", "music/a.mp3"]
        );
    }

    #[test]
    fn skips_and_names_lines_of_no_use() {
        let manifest = manifest_of(&["music/a.mp3"]);
        let order = parse("playlist.m3u", b"#EXTM3U\nmusic/gone.mp3\nmusic/a.mp3\n\xff\n../etc\n", &manifest).unwrap();
        assert_eq!(order.paths, ["music/a.mp3"]);
        let told: Vec<_> = order.skipped.iter().map(|skipped| (skipped.line, skipped.text.as_str())).collect();
        assert_eq!(told, [(2, "music/gone.mp3"), (4, "%FF"), (5, "../etc")]);
    }

    #[test]
    fn refuses_an_order_of_which_nothing_can_air() {
        let manifest = manifest_of(&["music/a.mp3"]);
        let refused = |text: &str| parse("processed/playlist.m3u", text.as_bytes(), &manifest).unwrap_err().to_string();
        assert!(refused("").starts_with("processed/playlist.m3u: the order is empty"));
        assert!(refused("#EXTM3U\n\n# only comments\n").contains("the order is empty"));
        assert!(refused("#EXTM3U\n\nx.mp3\ny.mp3\n").starts_with("processed/playlist.m3u:3: `x.mp3` names no entry"));
    }

    #[test]
    fn tells_a_limited_number_of_lines() {
        let manifest = manifest_of(&["music/a.mp3"]);
        let text = format!("music/a.mp3\n{}", "nothing\n".repeat(1_000));
        let order = parse("playlist.m3u", text.as_bytes(), &manifest).unwrap();
        assert_eq!((order.skipped.len(), order.skipped_count), (MOST_TOLD, 1_000));
        let endless = "nothing\n".repeat(MOST + 1);
        let refused = parse("playlist.m3u", endless.as_bytes(), &manifest).unwrap_err();
        assert_eq!(refused, Refused::TooLong { file: "playlist.m3u".into(), line: MOST + 1 });
    }

    proptest! {
        #[test]
        fn every_path_comes_back(path in prop::collection::vec(any::<u8>(), 0..40)) {
            let text = spell(&path);
            prop_assert_eq!(unspell(&text), path);
            prop_assert!(!text.contains(char::is_control) && !text.starts_with('#'));
        }

        #[test]
        fn every_order_comes_back(names in prop::collection::hash_set("[\\PC\n\r%# ./]{1,12}", 1..8), picks in prop::collection::vec(0usize..8, 1..20)) {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            prop_assume!(names.iter().any(|name| !name.trim_ascii().is_empty()));
            let manifest = manifest_of(&names);
            let entries = manifest.entries();
            let order: Vec<_> = picks.iter().map(|pick| &entries[pick % entries.len()]).filter(|e| !e.path.trim_ascii().is_empty()).collect();
            prop_assume!(!order.is_empty());
            let read = parse("p", print(order.iter().copied(), &manifest).as_bytes(), &manifest).unwrap();
            let expected: Vec<_> = order.iter().map(|entry| entry.path.clone()).collect();
            prop_assert_eq!(read.paths, expected);
            prop_assert_eq!(read.skipped, vec![]);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = parse("p", &bytes, &manifest_of(&["a"]));
        }
    }
}
