//! How many files a node may have open, and who may have how many of them.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::{http, ipfs};

/// Files that are kept for the repo, the ledger, the running order and what is started.
const OWN: usize = 64;

/// Connections that there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Share {
    /// Of listeners.
    pub(super) listeners: usize,
    /// Of peers.
    pub(super) peers: usize,
}

impl Share {
    const WHOLE: Self = Self { listeners: http::MAX_CONNECTIONS, peers: ipfs::MAX_CONNECTIONS };

    /// Raises how many files this process may have open to what a node can need, as far as it may, and divides them.
    pub(super) fn take() -> Self {
        let wanted = (OWN + Self::WHOLE.listeners + Self::WHOLE.peers) as u64;
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        let may = maximum.map_or(wanted, |most| most.min(wanted));
        let Some(has) = current.filter(|has| *has < wanted) else { return Self::WHOLE };
        let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(may), maximum });
        let files = if raised.is_ok() { may } else { has };
        let share = Self::of(files as usize);
        if share != Self::WHOLE {
            tracing::warn!(
                files,
                wanted,
                listeners = share.listeners,
                "few files may be open at once, so that few listeners are served: raise the limit (`ulimit -Hn`, systemd's LimitNOFILE)"
            );
        }
        share
    }

    /// What there is when so many files may be open: a quarter is for listeners.
    fn of(files: usize) -> Self {
        let rest = files.saturating_sub(OWN);
        let Self { listeners, peers } = Self::WHOLE;
        if rest >= listeners + peers {
            return Self::WHOLE;
        }
        let listeners = (rest / 4).clamp(1, listeners);
        Self { listeners, peers: rest.saturating_sub(listeners).clamp(1, peers) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_and_peers_leave_what_the_station_needs_itself() {
        assert_eq!(Share::of(1 << 20), Share::WHOLE);
        assert_eq!(Share::of(256), Share { listeners: 48, peers: 144 });
        assert_eq!(Share::of(10), Share { listeners: 1, peers: 1 });
        for files in OWN + 4..4_000 {
            let Share { listeners, peers } = Share::of(files);
            assert!(OWN + listeners + peers <= files, "{files}");
            assert!(listeners <= http::MAX_CONNECTIONS && peers <= ipfs::MAX_CONNECTIONS, "{files}");
        }
    }
}
