//! The targets of `ipfs_radio::fuzz` under libFuzzer, for scripts/fuzz. FUZZ_TARGET names the one that runs. Where
//! FUZZ_FOLDER is set none does: for each of them what a run begins with is written there.

#![no_main]
#![allow(unsafe_code, reason = "libFuzzer calls two functions by their names")]

use std::{env, fs, path::Path, process, sync::OnceLock};

use ipfs_radio::fuzz::{Target, targets};
use libfuzzer_sys::fuzz_target;

static TARGET: OnceLock<fn(&[u8])> = OnceLock::new();

fuzz_target!(
    init: {
        if let Some(folder) = env::var_os("FUZZ_FOLDER") {
            write_all(Path::new(&folder));
            process::exit(0);
        }
        let name = env::var("FUZZ_TARGET").expect("FUZZ_TARGET is set");
        let target = targets().into_iter().find(|target| target.name == name).expect("a target has this name");
        TARGET.get_or_init(|| target.run);
    },
    |data: &[u8]| {
        if let Some(run) = TARGET.get() {
            run(data);
        }
    }
);

/// All targets, and their names in order.
fn write_all(folder: &Path) {
    let targets = targets();
    targets.iter().for_each(|target| write(folder, target));
    let names: Vec<&str> = targets.iter().map(|target| target.name).collect();
    fs::write(folder.join("targets"), names.join("\n")).expect("a file can be written");
}

/// The first inputs, the length of the longest one, and a dictionary.
fn write(folder: &Path, target: &Target) {
    let place = folder.join(target.name);
    fs::create_dir_all(place.join("seeds")).expect("the folder can be made");
    let put = |name: &str, bytes: &[u8]| fs::write(place.join(name), bytes).expect("a file can be written");
    for (index, seed) in (target.seeds)().iter().enumerate() {
        put(&format!("seeds/{index:03}"), seed);
    }
    put("longest", target.longest.to_string().as_bytes());
    let quoted = |word: &String| word.bytes().map(|byte| format!("\\x{byte:02x}")).collect::<String>();
    let words: String = target.words.iter().map(|word| format!("\"{}\"\n", quoted(word))).collect();
    put("words", words.as_bytes());
}
