//! The command `ipfs-radio`.

use std::process::ExitCode;

use tikv_jemallocator::Jemalloc;

/// Gives memory back to the system for months on end: what glibc keeps free in the arena of each thread grows for hours.
#[global_allocator]
static MEMORY: Jemalloc = Jemalloc;

/// What is free goes back within tenths of a second: setup frees the sound of whole recordings, and keeps to its bound.
/// Read by the allocator when the program is loaded (jemalloc(3), TUNING).
#[allow(unsafe_code)]
#[unsafe(export_name = "_rjem_malloc_conf")]
pub static MEMORY_SETTINGS: &[u8; 59] = b"background_thread:true,dirty_decay_ms:100,muzzy_decay_ms:0\0";

fn main() -> ExitCode {
    ipfs_radio::cli::main()
}
