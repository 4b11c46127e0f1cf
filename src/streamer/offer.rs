//! The lists and roots that the node tells the DHT of. Pure: time is an argument.

use std::collections::VecDeque;

use cid::Cid;

use crate::radio::time::{Span, Time};

/// How long what a name pointed to is provided after it was put: who resolved the name late still finds it.
const PROVIDE: Span = Span::seconds(900);

/// What the names have pointed to, oldest first.
#[derive(Debug, Default)]
pub(super) struct Offer {
    named: VecDeque<(Cid, Time)>,
}

impl Offer {
    /// A name has been pointed to `cid` at `now`.
    pub(super) fn named(&mut self, cid: Cid, now: Time) {
        self.named.push_back((cid, now));
    }

    /// What is to be provided no more at `now`. What a name was pointed to again since then stays.
    pub(super) fn past(&mut self, now: Time) -> Vec<Cid> {
        let over = self.named.iter().take_while(|(_, at)| at.plus(PROVIDE) < now).count();
        let mut past: Vec<Cid> = self.named.drain(..over).map(|(cid, _)| cid).collect();
        past.retain(|cid| self.named.iter().all(|(kept, _)| kept != cid));
        past
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, time::Duration};

    use super::*;
    use crate::{
        ipfs::{
            Key, Node, Options, Store,
            lab::DhtServer,
            node::{Provided, Status},
        },
        radio::segment::{RAW, cid_of},
        streamer::publisher::TAIL,
    };

    /// Nothing here takes so long; what hangs fails instead.
    const BOUND: Duration = Duration::from_secs(120);
    const SEGMENT: Span = Span::seconds(6);
    const LISTED: u64 = 100;

    fn cid(kind: &str, number: u64) -> Cid {
        cid_of(RAW, format!("{kind} {number}").as_bytes())
    }

    fn at(number: u64) -> Time {
        Time(1_000_000_000_000 + number * SEGMENT.0)
    }

    #[test]
    fn a_name_that_points_back_keeps_what_it_points_to() {
        let mut offer = Offer::default();
        offer.named(cid("list", 1), at(0));
        offer.named(cid("list", 2), at(1));
        offer.named(cid("list", 1), at(2));
        assert_eq!(offer.past(at(152)), [cid("list", 2)]);
        assert_eq!(offer.past(at(153)), [cid("list", 1)]);
        assert_eq!(offer.past(at(1_000)), []);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn after_a_thousand_segments_the_dht_knows_what_is_listed_and_is_told_of_no_more() {
        let server = DhtServer::start().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        let list = |text: &str| vec![text.to_owned()];
        let options = Options::check(&[], &list("/ip4/127.0.0.1/tcp/4001"), &list(server.address())).unwrap();
        let node = Node::start(options, &Key::generate(), &store).await.unwrap();
        let (mut offer, mut told) = (Offer::default(), HashSet::new());
        for number in 0..1_000 {
            let (mut fresh, mut gone) = (vec![cid("segment", number)], offer.past(at(number)));
            let tail = TAIL.0 / SEGMENT.0;
            gone.extend(number.checked_sub(LISTED + tail).map(|old| cid("segment", old)));
            // A name is put at most every twelve seconds.
            if number % 2 == 0 {
                for kind in ["list", "root"] {
                    fresh.push(cid(kind, number));
                    offer.named(cid(kind, number), at(number));
                }
            }
            told.extend(fresh.iter().copied());
            gone.iter().for_each(|cid| assert!(told.remove(cid)));
            node.provide(fresh).await.unwrap();
            node.stop_providing(gone).await.unwrap();
        }
        assert_eq!(
            told.len(),
            200 + 2 * 75,
            "segments of the list and its tail, lists and roots of a quarter of an hour"
        );
        let settled =
            |status: &Status| matches!(status.provided, Provided { done, waiting: 0, .. } if done == told.len());
        tokio::time::timeout(BOUND, node.watch().wait_for(settled)).await.expect("it hangs").unwrap();
        for cid in &told {
            assert!(server.provider(cid).is_some(), "{cid} was not told");
        }
    }
}
