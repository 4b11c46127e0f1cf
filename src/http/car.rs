//! `format=car`: a path and what is below it as one verifiable stream, block by block as the client takes them
//! (<https://specs.ipfs.tech/http-gateways/trustless-gateway/#car-responses-application-vnd-ipld-car>).

use axum::{body::Body, http::header, response::Response};
use bytes::Bytes;
use cid::Cid;
use futures::{StreamExt, stream};

use super::{
    address::Query,
    entity::Entity,
    gateway::{Found, refusal, value},
    kind,
    refusal::Refusal,
};
use crate::{
    ipfs::{
        Blocks,
        dag::{
            car,
            walk::{Scope, Walk},
        },
    },
    radio::segment::short_name,
};

/// The media type of CARs, without its parameters.
pub(super) const MEDIA_TYPE: &str = "application/vnd.ipld.car";

/// Which blocks a CAR holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Car {
    scope: Scope,
    /// Whether a block comes each time it is met.
    dups: bool,
}

impl Car {
    /// Reads what the query says, and where it says nothing the parameters of the media types that are accepted.
    pub(super) fn read(query: &Query, accepted: &[&str]) -> Result<Self, Refusal> {
        let scope = scope(query.dag_scope.as_deref(), query.entity_bytes.as_deref())?;
        let none = [""];
        let accepted = if accepted.is_empty() { &none } else { accepted };
        let dups = accepted.iter().find_map(|parameters| dups(query, parameters));
        let dups = dups.ok_or_else(|| {
            Refusal::Format("no such CAR: version=1, order=dfs or unk, dups=y or n are what is made here".into())
        })?;
        Ok(Self { scope, dups })
    }

    /// What a URL says to get the same.
    pub(super) fn query(&self) -> String {
        format!("format=car&car-version=1&car-order=dfs&car-dups={}", if self.dups { 'y' } else { 'n' })
    }

    fn media_type(&self) -> &'static str {
        match self.dups {
            true => "application/vnd.ipld.car; version=1; order=dfs; dups=y",
            false => "application/vnd.ipld.car; version=1; order=dfs; dups=n",
        }
    }

    /// Names the bytes of the CAR: they follow from the blocks along the path and from what is wanted.
    fn tag(&self, way: &[Cid]) -> String {
        let end = way.last().map(Cid::to_string).unwrap_or_default();
        let word = match self.scope {
            Scope::Block => "block",
            Scope::Entity | Scope::Bytes(..) => "entity",
            Scope::All => "all",
        };
        format!("{end}.car.{word}.{}", short_name(format!("{way:?} {self:?}").as_bytes()))
    }
}

/// Whether blocks repeat, by the query or else by one media type; `None` if it is none that is made here.
fn dups(query: &Query, parameters: &str) -> Option<bool> {
    let told = |name: &str| {
        let parameters = parameters.split(';').filter_map(|parameter| parameter.split_once('='));
        let mut named = parameters.filter(|(key, _)| key.trim().eq_ignore_ascii_case(name));
        named.next().map(|(_, value)| value.trim().trim_matches('"').to_owned())
    };
    let wanted = |query: &Option<String>, name| query.clone().or_else(|| told(name)).unwrap_or_default();
    let version = wanted(&query.car_version, "version");
    let order = wanted(&query.car_order, "order");
    let known = matches!(version.as_str(), "" | "1") && matches!(order.as_str(), "" | "dfs" | "unk");
    match wanted(&query.car_dups, "dups").as_str() {
        "y" if known => Some(true),
        "n" | "" if known => Some(false),
        _ => None,
    }
}

fn scope(scope: Option<&str>, bytes: Option<&str>) -> Result<Scope, Refusal> {
    let scope = match scope {
        None | Some("all") => Scope::All,
        Some("entity") => Scope::Entity,
        Some("block") => Scope::Block,
        Some(_) => return Err(Refusal::Bad("dag-scope is one of block, entity, all".into())),
    };
    let Some(bytes) = bytes else { return Ok(scope) };
    let wrong = || Refusal::Bad("entity-bytes is two numbers with a colon between them; the second may be *".into());
    let (from, to) = bytes.split_once(':').ok_or_else(wrong)?;
    let number = |text: &str| text.parse::<i64>().map_err(|_| wrong());
    Ok(Scope::Bytes(number(from)?, if to == "*" { None } else { Some(number(to)?) }))
}

impl Found<'_> {
    /// The path and what is below it. A block that is not here ends the connection.
    pub(super) async fn car(self, blocks: &impl Blocks, car: Car) -> Result<Response, Refusal> {
        let repeats = car.dups;
        let walk = Walk::begin(blocks.clone(), &self.way, car.scope, repeats).await.map_err(refusal)?;
        let walk = walk.ok_or(Refusal::NotHere)?;
        let root = self.cid();
        let mut headers = self.headers(car.media_type())?;
        let name = self.query.filename.clone().unwrap_or_else(|| format!("{root}.car"));
        headers.insert(header::CONTENT_DISPOSITION, value(kind::disposition(true, &name))?);
        let tag = car.tag(&self.way);
        Ok(Entity::streamed(&tag, headers, Box::new(move || stream_of(root, walk))).answer(self.head))
    }
}

fn stream_of<B: Blocks>(root: Cid, walk: Walk<B>) -> Body {
    let first = stream::once(async move { Ok(car::header(&root)) });
    let rest = stream::unfold(walk, async |mut walk| {
        let next: Result<Bytes, std::io::Error> = match walk.next().await? {
            Ok((cid, block)) => Ok(car::section(&cid, &block)),
            Err(error) => Err(std::io::Error::other(error)),
        };
        Some((next, walk))
    });
    Body::from_stream(first.chain(rest))
}
