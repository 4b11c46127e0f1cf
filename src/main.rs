//! The command `ipfs-radio`.

use std::process::ExitCode;

fn main() -> ExitCode {
    ipfs_radio::cli::main()
}
