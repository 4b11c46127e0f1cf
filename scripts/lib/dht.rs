//! Servers of the DHT, for scripts/bench and scripts/netlab: prints their addresses, one a line, and runs until standard
//! input ends. Arguments: where each listens, as multiaddresses; without one it is one server on loopback.

use std::io::{self, Read, Write};

use ipfs_radio::ipfs::{Key, lab::DhtServer};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut listen: Vec<String> = std::env::args().skip(1).collect();
    if listen.is_empty() {
        listen.push("/ip4/127.0.0.1/tcp/0".into());
    }
    let mut servers = Vec::new();
    for address in listen {
        let server = DhtServer::start_at(&Key::generate(), &address).await?;
        writeln!(io::stdout(), "{}", server.address())?;
        servers.push(server);
    }
    tokio::task::spawn_blocking(|| io::stdin().read_to_end(&mut Vec::new())).await??;
    Ok(())
}
