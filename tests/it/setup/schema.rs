//! `docs/*.schema.json` against what setup really writes: all of it is described, and what is described is required.

use std::{collections::BTreeSet, fs};

use serde_json::{Map, Value, json};

use super::{
    quality::with_gains,
    world::{Station, wav, with_settings},
};

/// A schema of the part of JSON Schema (2020-12) that is used here; any other keyword is a mistake in the schema.
struct Schema {
    root: Value,
}

impl Schema {
    fn load(name: &str) -> Self {
        let path = format!("{}/docs/{name}.schema.json", env!("CARGO_MANIFEST_DIR"));
        Self { root: serde_json::from_slice(&fs::read(path).unwrap()).unwrap() }
    }

    /// Everything that is wrong with a document, each with its place. Properties that are not described count as wrong.
    fn faults(&self, document: &Value) -> Vec<String> {
        let mut faults = Vec::new();
        self.check(&self.root, document, "", &mut faults);
        faults
    }

    fn check(&self, schema: &Value, value: &Value, place: &str, faults: &mut Vec<String>) {
        let schema = schema.as_object().unwrap();
        for (keyword, wanted) in schema {
            if !self.holds(schema, keyword, wanted, value, place, faults) {
                faults.push(format!("{place}: {keyword} {wanted}, found {value}"));
            }
        }
    }

    fn holds(
        &self,
        schema: &Map<String, Value>,
        keyword: &str,
        wanted: &Value,
        value: &Value,
        place: &str,
        faults: &mut Vec<String>,
    ) -> bool {
        let number = || wanted.as_f64().unwrap();
        match keyword {
            "$schema" | "$id" | "$defs" | "title" | "description" => true,
            "$ref" => {
                let name = wanted.as_str().unwrap().strip_prefix("#/$defs/").unwrap();
                self.check(&self.root["$defs"][name], value, place, faults);
                true
            }
            "const" => value == wanted,
            "enum" => wanted.as_array().unwrap().contains(value),
            "type" => match wanted {
                Value::Array(kinds) => kinds.iter().any(|kind| is(kind.as_str().unwrap(), value)),
                kind => is(kind.as_str().unwrap(), value),
            },
            "minimum" => value.as_f64().is_none_or(|value| value >= number()),
            "maximum" => value.as_f64().is_none_or(|value| value <= number()),
            "exclusiveMinimum" => value.as_f64().is_none_or(|value| value > number()),
            "minLength" => value.as_str().is_none_or(|value| value.chars().count() as f64 >= number()),
            "minItems" => value.as_array().is_none_or(|value| value.len() as f64 >= number()),
            "maxItems" => value.as_array().is_none_or(|value| value.len() as f64 <= number()),
            "pattern" => value.as_str().is_none_or(|value| matches(wanted.as_str().unwrap(), value)),
            "required" => {
                let keys = wanted.as_array().unwrap().iter().map(|key| key.as_str().unwrap());
                value.as_object().is_none_or(|value| keys.into_iter().all(|key| value.contains_key(key)))
            }
            "properties" => {
                for (key, value) in value.as_object().into_iter().flatten() {
                    match wanted.get(key) {
                        Some(schema) => self.check(schema, value, &format!("{place}/{key}"), faults),
                        None => faults.push(format!("{place}: {key} is not described")),
                    }
                }
                true
            }
            "items" => {
                for (index, value) in value.as_array().into_iter().flatten().enumerate() {
                    self.check(wanted, value, &format!("{place}/{index}"), faults);
                }
                true
            }
            other => panic!("{place}: no keyword {other} in {schema:?}"),
        }
    }
}

fn is(kind: &str, value: &Value) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "number" => value.is_number(),
        "integer" => value.is_u64() || value.is_i64(),
        other => panic!("no type {other}"),
    }
}

/// The patterns of the schemas: letters and digits so often, behind fixed ones or not at all.
fn matches(pattern: &str, text: &str) -> bool {
    let all = |text: &str, len: usize, set: fn(u8) -> bool| text.len() == len && text.bytes().all(set);
    let hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let base32 = |byte: u8| matches!(byte, b'a'..=b'z' | b'2'..=b'7');
    match pattern {
        "^[0-9a-f]{32}$" => all(text, 32, hex),
        "^[0-9a-f]{64}$" => all(text, 64, hex),
        "^([0-9a-f]{64})?$" => text.is_empty() || all(text, 64, hex),
        "^bafkrei[a-z2-7]{52}$" => text.strip_prefix("bafkrei").is_some_and(|rest| all(rest, 52, base32)),
        "^(|b[a-z2-7]{58})$" => text.is_empty() || text.strip_prefix('b').is_some_and(|rest| all(rest, 58, base32)),
        other => panic!("no pattern {other}"),
    }
}

/// A station with something of everything: manifest and items.
fn written() -> (Value, Vec<Value>) {
    let station = Station::with_music();
    let fixture = |name: &str| fs::read(format!("{}/tests/fixtures/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    for name in ["stereo.mp3", "chapters.mp3", "mono.flac"] {
        station.write(&format!("music/{name}"), &fixture(name));
    }
    let silent_start = [wav(440, 100)[..44].to_vec(), vec![0; 44_100], wav(440, 1_500)[44..].to_vec()];
    let mut late = silent_start.concat();
    let data = (late.len() - 44) as u32;
    late[4..8].copy_from_slice(&(36 + data).to_le_bytes());
    late[40..44].copy_from_slice(&data.to_le_bytes());
    station.write("music/late.wav", &late);
    station.write("music/stated.wav", &with_gains(&wav(520, 1_000), &[("REPLAYGAIN_TRACK_GAIN", "-3.5 dB")]));
    station.write("music/1.wav.toml", b"title = \"One\"\n");
    station.write("music/10.cue", b"TRACK 1 AUDIO\nTITLE \"A\"\nINDEX 01 00:01:00\n");
    station.record("talk.wav", 700, 1_000);
    let job = with_settings(|settings| {
        settings.bitrates = vec![64_000, 128_000];
        settings.trim_silence = true;
    });
    assert_eq!(station.run(&job).exit_code(), 0);
    station.split(&job, &[station.path("talk.wav")]).unwrap();
    let manifest = serde_json::from_slice(&station.manifest().to_bytes()).unwrap();
    let items = station.manifest().items().iter().map(|line| station.meta(&line.id).to_bytes()).collect::<Vec<_>>();
    (manifest, items.iter().map(|bytes| serde_json::from_slice(bytes).unwrap()).collect())
}

#[test]
fn what_setup_writes_is_what_the_schemas_say() {
    let (manifest, items) = written();
    let (manifest_schema, meta_schema) = (Schema::load("manifest"), Schema::load("meta"));
    assert_eq!(manifest_schema.faults(&manifest), [""; 0]);
    for meta in &items {
        assert_eq!(meta_schema.faults(meta), [""; 0]);
    }
    // Nothing is described that never comes.
    let all: BTreeSet<&String> = items.iter().flat_map(|meta| meta.as_object().unwrap().keys()).collect();
    let described: BTreeSet<&String> = meta_schema.root["properties"].as_object().unwrap().keys().collect();
    assert_eq!(all, described);
    assert!(items.iter().any(|meta| meta["loudness"]["stated_lufs"] == -14.5));
    assert!(items.iter().any(|meta| meta["cover"] != "") && manifest.to_string().contains("\"vod\""));
}

#[test]
fn the_schemas_refuse_what_setup_does_not_write() {
    let (manifest, items) = written();
    for (schema, document) in [(Schema::load("manifest"), manifest), (Schema::load("meta"), items[0].clone())] {
        for key in schema.root["required"].as_array().unwrap() {
            let key = key.as_str().unwrap();
            let mut without = document.clone();
            without.as_object_mut().unwrap().remove(key).unwrap();
            assert_ne!(schema.faults(&without), [""; 0], "without {key}");
            let mut other = document.clone();
            other[key] = json!({"of": ["another", "kind"]});
            assert_ne!(schema.faults(&other), [""; 0], "another {key}");
        }
        let mut more = document.clone();
        more["mood"] = json!("blue");
        assert_eq!(schema.faults(&more), [": mood is not described"]);
        let hollow = document.to_string().replace("\"segments\":", "\"parts\":");
        assert_ne!(schema.faults(&serde_json::from_str(&hollow).unwrap()), [""; 0]);
    }
}
