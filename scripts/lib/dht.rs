//! A server of the DHT on loopback, for the bench: prints its address and runs until standard input ends.

use std::io::{self, Read, Write};

use ipfs_radio::ipfs::lab::DhtServer;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let server = DhtServer::start().await?;
    writeln!(io::stdout(), "{}", server.address())?;
    tokio::task::spawn_blocking(|| io::stdin().read_to_end(&mut Vec::new())).await??;
    Ok(())
}
