//! The pictures of the items that are on air, or were a moment ago: which of them the repo has, so that the root's folder
//! names no other. Pure.

use std::collections::{HashMap, hash_map::Entry};

use cid::Cid;

use super::publisher::Held;
use crate::radio::segment::Cover;

/// What has become of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Asked,
    Here,
    Lost,
}

/// The pictures of what is held.
#[derive(Debug, Default)]
pub(super) struct Covers(HashMap<Cid, Standing>);

impl Covers {
    /// Takes what is held now. Gives the pictures that are to be stored, each once, with the ids of their items.
    pub(super) fn take<'a>(&mut self, held: impl Iterator<Item = &'a Held> + Clone) -> Vec<(String, Cover)> {
        let covers = || held.clone().filter_map(|held| Some((held.item.as_str(), held.cover?)));
        let named: HashMap<Cid, (&str, Cover)> = covers().map(|(item, cover)| (cover.cid, (item, cover))).collect();
        self.0.retain(|cid, _| named.contains_key(cid));
        let mut asked = Vec::new();
        for (cid, (item, cover)) in named {
            if let Entry::Vacant(new) = self.0.entry(cid) {
                new.insert(Standing::Asked);
                asked.push((item.to_owned(), cover));
            }
        }
        asked
    }

    /// A picture was stored, or cannot be had: then its item airs without one.
    pub(super) fn ended(&mut self, cid: Cid, well: bool) {
        if let Some(standing) = self.0.get_mut(&cid) {
            *standing = if well { Standing::Here } else { Standing::Lost };
        }
    }

    /// Whether the repo has it.
    pub(super) fn has(&self, cover: &Cover) -> bool {
        self.0.get(&cover.cid) == Some(&Standing::Here)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::radio::{
        segment::{RAW, cid_of},
        time::Time,
    };

    fn cover(of: &str) -> Cover {
        Cover { cid: cid_of(RAW, of.as_bytes()), bytes: of.len() as u32 }
    }

    fn held(seq: u64, item: &str, cover: Option<Cover>) -> Held {
        let (item, until) = (item.to_owned(), Time(seq));
        Held { seq, cid: cid_of(RAW, &seq.to_be_bytes()), bytes: 8, rungs: Vec::new(), item, cover, until }
    }

    #[test]
    fn a_picture_is_stored_once_and_named_while_its_item_is_held() {
        let (a, b) = (cover("a"), cover("b"));
        let mut covers = Covers::default();
        let air = [held(1, "one", Some(a)), held(2, "one", Some(a)), held(3, "bare", None), held(4, "two", Some(b))];
        let mut asked = covers.take(air.iter());
        asked.sort_by(|left, right| left.0.cmp(&right.0));
        assert_eq!(asked, [("one".to_owned(), a), ("two".to_owned(), b)]);
        assert!(!covers.has(&a), "it is not there yet");
        assert_eq!(covers.take(air.iter()), [], "it is being stored");
        covers.ended(a.cid, true);
        covers.ended(b.cid, false);
        assert_eq!((covers.has(&a), covers.has(&b)), (true, false));
        assert_eq!(covers.take(air.iter()), [], "one that cannot be had is not asked for with every list");
        assert_eq!(covers.take(air[3..].iter()), []);
        assert!(!covers.has(&a), "its item has left");
        assert_eq!(covers.take(air.iter()), [("one".to_owned(), a)], "and is on air again");
        covers.ended(cover("c").cid, true);
        assert!(!covers.has(&cover("c")), "nobody holds it");
    }
}
