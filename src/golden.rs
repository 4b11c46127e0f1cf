//! Playlists as they are, byte for byte.
//!
//! `BLESS=1 cargo test --no-default-features --lib golden` writes the files anew: look at the difference before it
//! is committed, for a station that is on air has published lists in these words.

use std::{env, fs, path::Path};

use crate::radio::golden::texts;

#[test]
fn lists_are_what_they_were() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    for (name, text) in texts() {
        let file = folder.join(&name);
        if env::var_os("BLESS").is_some() {
            fs::write(&file, &text).unwrap();
        }
        let stored = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        assert_eq!(text, stored, "{name}");
    }
}
