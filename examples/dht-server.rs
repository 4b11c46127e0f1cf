//! A server of the DHT on loopback for scripts: prints its address on a line, then serves until it is killed.
//! Give that address to `peer.bootstrap`, and the node has a DHT to publish to.

use std::io::Write;

use ipfs_radio::ipfs::lab::DhtServer;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let server = DhtServer::start().await?;
    writeln!(std::io::stdout(), "{}", server.address())?;
    std::io::stdout().flush()?;
    std::future::pending::<()>().await;
    Ok(())
}
