//! Whether others can find this node: decided by evidence.

use std::fmt;

use super::{
    Status,
    reach::{Proof, Reach},
};
use crate::radio::status::{Network, Reached, Told};

/// Whether others can find this node, and what is missing. It takes an address under which it is reached, and that
/// others, when asked, say that it has what it told them of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Findable {
    /// They can: an address was called or is passed on by the router.
    Yes,
    /// They can as far as is known: the announced address has not been called yet by a peer that tells.
    Claimed,
    /// They can, but only through a relay, which carries little.
    Relayed,
    /// The world does not know where to call.
    NoAddress,
    /// Nobody is there to tell others.
    NoPeer,
    /// Peers cannot call the announced address.
    Refused,
    /// Nobody who was asked tells of a block of this node.
    NotTold,
}

impl Findable {
    pub(super) fn of(reach: &[Reach], dht_at_hand: bool, told_of: bool) -> Self {
        let any = |wanted: &[Proof]| reach.iter().any(|reach| wanted.contains(&reach.proof));
        match reach {
            [] => Self::NoAddress,
            _ if !dht_at_hand => Self::NoPeer,
            _ if reach.iter().all(|reach| reach.proof == Proof::Refused) => Self::Refused,
            _ if !told_of => Self::NotTold,
            _ if any(&[Proof::Called, Proof::Mapped]) => Self::Yes,
            _ if any(&[Proof::Announced]) => Self::Claimed,
            _ => Self::Relayed,
        }
    }

    /// Whether they can.
    pub const fn is_so(self) -> bool {
        matches!(self, Self::Yes | Self::Claimed | Self::Relayed)
    }

    /// The word used in the status.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::Claimed => "claimed",
            Self::Relayed => "relayed",
            Self::NoAddress => "no_address",
            Self::NoPeer => "no_peer",
            Self::Refused => "refused",
            Self::NotTold => "not_told",
        }
    }
}

impl Status {
    /// Writes down how the peer stands, and says whether others can find it. `told_of`: others, when asked, tell of a block
    /// of this node.
    pub fn describe(&self, network: &mut Network, told_of: bool) -> bool {
        let found = self.findable(told_of);
        let reached = |reach: &Reach| Reached { address: reach.address.clone(), proof: reach.proof.word().into() };
        network.state = found.word().into();
        network.advice = found.to_string();
        network.reach = self.reach.iter().map(reached).collect();
        (network.peers, network.dht_peers) = (self.peers as u64, self.dht_peers as u64);
        network.told = Told {
            done: self.provided.done as u64,
            waiting: self.provided.waiting as u64,
            in_time: self.provided.in_time as u64,
            late: self.provided.late as u64,
        };
        found.is_so()
    }
}

impl fmt::Display for Findable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Yes => "findable: others reach this node and tell of its blocks",
            Self::Claimed => "findable: others tell of this node at the announced address, which none has called yet",
            Self::Relayed => {
                "findable through a relay only, which carries little: open port 4001 (TCP and UDP) to this node, on the \
                 router too"
            }
            Self::NoAddress => {
                "not findable: no address is known under which others reach this node; open port 4001 (TCP and UDP) to \
                 it, on the router too, or write the public address into `[peer] announce` in streaming.toml"
            }
            Self::NoPeer => {
                "not findable: no peer of the DHT is connected; see `[peer] bootstrap` in streaming.toml and the firewall"
            }
            Self::Refused => {
                "not findable: peers cannot call the announced address; check `[peer] announce` in streaming.toml and \
                 that the port is open to this node, on the router too"
            }
            Self::NotTold => {
                "not findable yet: nobody who was asked tells of a block of this node; this comes within minutes of the \
                 start, and if it does not, see that outgoing TCP and UDP are open"
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach(proofs: &[Proof]) -> Vec<Reach> {
        proofs.iter().map(|proof| Reach { address: String::new(), proof: *proof }).collect()
    }

    #[test]
    fn takes_an_address_a_peer_and_somebody_who_tells() {
        use Proof::{Announced, Called, Mapped, Refused, Relayed};
        for (proofs, dht, told, wanted) in [
            (&[][..], true, true, Findable::NoAddress),
            (&[Called], false, true, Findable::NoPeer),
            (&[Refused], true, true, Findable::Refused),
            (&[Called], true, false, Findable::NotTold),
            (&[Called], true, true, Findable::Yes),
            (&[Refused, Mapped], true, true, Findable::Yes),
            (&[Announced, Relayed], true, true, Findable::Claimed),
            (&[Refused, Relayed], true, true, Findable::Relayed),
        ] {
            let found = Findable::of(&reach(proofs), dht, told);
            assert_eq!(found, wanted, "{proofs:?} {dht} {told}");
            assert_eq!(found.is_so(), found.to_string().starts_with("findable"));
        }
    }

    #[test]
    fn says_what_to_do_where_it_is_not_well() {
        for (found, what) in [
            (Findable::Relayed, "open port 4001"),
            (Findable::NoAddress, "announce"),
            (Findable::NoPeer, "bootstrap"),
            (Findable::Refused, "announce"),
            (Findable::NotTold, "outgoing"),
        ] {
            assert!(found.to_string().contains(what), "{found}");
        }
    }
}
