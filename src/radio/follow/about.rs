//! `station.json` of another station: which names belong together.

use serde::Deserialize;

use crate::radio::quote::{quote, told};

/// The longest `station.json` that is read, in bytes.
pub const LONGEST: usize = 64 << 10;
const NAME_MAX: usize = 100;

/// What a root says of its station (contract §4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// What the station is called: 1 to 100 characters on one line.
    pub title: String,
    /// The stream name, as it is written there.
    pub stream: String,
}

#[derive(Deserialize)]
struct Raw {
    name: String,
    stream: String,
    station: String,
}

impl About {
    /// Reads the file of a root that was found under the name `station`. The error says why not, for people.
    pub fn read(bytes: &[u8], station: &str) -> Result<Self, String> {
        if bytes.len() > LONGEST {
            return Err(format!("station.json has {} bytes; {LONGEST} at most are read", bytes.len()));
        }
        let raw: Raw = serde_json::from_slice(bytes).map_err(|error| format!("station.json: {}", told(&error)))?;
        if raw.station != station {
            return Err(format!("station.json is of another station, {:?}", quote(&raw.station)));
        }
        if raw.stream == station {
            return Err("station.json gives the station name as the stream name".into());
        }
        let title: String = raw.name.chars().filter(|c| !c.is_control()).take(NAME_MAX).collect();
        let title = if title.trim().is_empty() { "ipfs-radio".into() } else { title };
        Ok(Self { title, stream: raw.stream })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<About, String> {
        About::read(text.as_bytes(), "k51a")
    }

    #[test]
    fn a_station_says_what_it_is_called() {
        let about =
            read(r#"{"name":"Radio\n 1","stream":"k51b","station":"k51a","peer":"12D","epoch":1,"more":[]}"#).unwrap();
        assert_eq!(about, About { title: "Radio 1".into(), stream: "k51b".into() });
        let nameless = read(r#"{"name":" ","stream":"k51b","station":"k51a"}"#).unwrap();
        assert_eq!(nameless.title, "ipfs-radio");
        let long = read(&format!(r#"{{"name":"{}","stream":"k51b","station":"k51a"}}"#, "x".repeat(900))).unwrap();
        assert_eq!(long.title.len(), 100);
    }

    #[test]
    fn what_is_not_this_station_is_refused_in_words() {
        for (text, words) in [
            ("", "station.json"),
            ("[]", "station.json"),
            (r#"{"name":"x","stream":"k51b"}"#, "station"),
            (r#"{"name":"x","station":"k51a"}"#, "stream"),
            (r#"{"name":"x","stream":"k51b","station":"k51c"}"#, "another station, \"k51c\""),
            (r#"{"name":"x","stream":"k51a","station":"k51a"}"#, "as the stream name"),
        ] {
            let refused = read(text).unwrap_err();
            assert!(refused.contains(words), "{text}: {refused}");
        }
        let mut longest = br#"{"name":"x","stream":"k51b","station":"k51a"}"#.to_vec();
        longest.resize(LONGEST, b' ');
        assert!(About::read(&longest, "k51a").is_ok());
        longest.push(b' ');
        assert!(About::read(&longest, "k51a").unwrap_err().contains("at most"));
    }
}
