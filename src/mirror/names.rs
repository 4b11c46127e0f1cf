//! The two names in the network: asked of the DHT and of the routers, and given to both.

use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;

use crate::{
    clock,
    ipfs::{Error, Name, Node, Record, Router},
    radio::{follow::Said, status::LastPublish},
};

/// How long the DHT is asked for a record.
const LOOKUP: Duration = Duration::from_secs(30);

/// The newest record of `name` that anybody has, verified but perhaps expired. An error: nobody could be asked.
pub(super) async fn resolve(node: &Node, routers: &[Router], name: Name) -> Result<Option<Record>, String> {
    let told = join_all(routers.iter().map(|router| router.record(name)));
    let (found, told) = tokio::join!(node.lookup(name, LOOKUP), told);
    let answers: Vec<Result<Option<Record>, Error>> = [found].into_iter().chain(told).collect();
    if answers.iter().all(Result::is_err) {
        return Err(words(answers.into_iter().filter_map(Result::err)));
    }
    let records = answers.into_iter().flatten().flatten();
    Ok(records.reduce(|best, record| if record.is_newer_than(&best) { record } else { best }))
}

/// Puts a record as it is, into the DHT and to the routers; one that takes it is enough.
pub(super) async fn put(node: &Node, routers: &[Router], name: Name, said: &Said) -> Result<LastPublish, String> {
    let record = Record::open(name, Bytes::copy_from_slice(&said.bytes)).map_err(|error| error.to_string())?;
    let given = join_all(routers.iter().map(|router| router.put(&record)));
    let (put, given) = tokio::join!(node.publish(&record), given);
    let by_routers = routers.iter().map(Router::url).zip(given);
    let outcomes: Vec<_> = [("dht", put.map(|done| done.took))].into_iter().chain(by_routers).collect();
    let first = outcomes.iter().filter_map(|(by, outcome)| outcome.as_ref().ok().map(|took| (took, by))).min();
    match first {
        Some((took, by)) => {
            let (at, seconds) = (clock::wall().to_string(), took.as_secs_f64());
            Ok(LastPublish { sequence: said.sequence, at, seconds, by: (*by).into() })
        }
        None => Err(words(outcomes.into_iter().filter_map(|(_, outcome)| outcome.err()))),
    }
}

fn words(errors: impl Iterator<Item = Error>) -> String {
    errors.map(|error| error.to_string()).collect::<Vec<_>>().join("; ")
}
