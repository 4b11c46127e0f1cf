//! The targets of `ipfs_radio::fuzz` under libFuzzer, for scripts/fuzz. FUZZ_TARGET names the one that runs. Where
//! FUZZ_FOLDER is set none does: for each of them what a run begins with is written there.
//!
//! An input may take 64 MiB of memory and a second of the processor; more is a fault like a panic.

#![no_main]
#![allow(unsafe_code, reason = "libFuzzer calls two functions by their names, and an allocator is unsafe by nature")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    env, fs,
    path::Path,
    process,
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use ipfs_radio::fuzz::{Target, targets};
use libfuzzer_sys::fuzz_target;
use rustix::time::{ClockId, clock_gettime};

const INPUT_BYTES: usize = 64 << 20;
const INPUT_NANOS: i64 = 1_000_000_000;

static TARGET: OnceLock<fn(&[u8])> = OnceLock::new();
/// The bytes that are allocated, and how many may be.
static TAKEN: AtomicUsize = AtomicUsize::new(0);
static BOUND: AtomicUsize = AtomicUsize::new(usize::MAX);

#[global_allocator]
static COUNTED: Counted = Counted;

/// The allocator of the system, which counts. More than the bound ends the process.
struct Counted;

// SAFETY: all is done by the allocator of the system.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        take(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        take(layout.size());
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        take(size);
        TAKEN.fetch_sub(layout.size(), Relaxed);
        unsafe { System.realloc(at, layout, size) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        TAKEN.fetch_sub(layout.size(), Relaxed);
        unsafe { System.dealloc(at, layout) }
    }
}

fn take(bytes: usize) {
    let taken = TAKEN.fetch_add(bytes, Relaxed) + bytes;
    if taken > BOUND.load(Relaxed) {
        BOUND.store(usize::MAX, Relaxed);
        eprintln!("panicked at an allocation of {bytes} bytes: this input takes more than {INPUT_BYTES} bytes");
        process::abort();
    }
}

/// Runs a target within what an input may take.
fn bounded(run: fn(&[u8]), data: &[u8]) {
    let cpu_nanos = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        time.tv_sec * 1_000_000_000 + time.tv_nsec
    };
    let begun = cpu_nanos();
    BOUND.store(TAKEN.load(Relaxed) + INPUT_BYTES, Relaxed);
    run(data);
    BOUND.store(usize::MAX, Relaxed);
    let took = cpu_nanos() - begun;
    assert!(took <= INPUT_NANOS, "this input takes {took} ns of the processor");
}

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
            bounded(*run, data);
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
