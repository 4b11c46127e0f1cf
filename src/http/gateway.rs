//! `/ipfs/` and `/ipns/`: the path gateway over the station's own blocks and names.

use std::{ops::Range, sync::Arc};

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header, request::Parts as Head},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use cid::Cid;
use futures::stream;

use super::{
    Site,
    address::{self, Address, Form, Query},
    entity::{Entity, slice},
    kind,
    refusal::Refusal,
};
use crate::{
    ipfs::{
        Blocks,
        dag::{self, File, Part, Target},
    },
    radio::segment::{RAW, cid_of},
};

const IMMUTABLE: &str = "public, max-age=29030400, immutable";
const ASK_AGAIN: &str = "no-cache";
const X_IPFS_PATH: HeaderName = HeaderName::from_static("x-ipfs-path");
const X_IPFS_ROOTS: HeaderName = HeaderName::from_static("x-ipfs-roots");

/// What a path came to, before its content is read.
pub(super) struct Found<'a> {
    pub(super) head: &'a Head,
    pub(super) query: &'a Query,
    address: &'a Address,
    form: Form,
    /// The CIDs along the path, the last one is the content.
    pub(super) way: Vec<Cid>,
    cache: &'static str,
}

/// `/ipfs/<cid>[/path]`: never changes.
pub(super) async fn ipfs<B: Blocks>(State(site): State<Arc<Site<B>>>, head: Head) -> Result<Response, Refusal> {
    let address = Address::read(&head.uri, "/ipfs/")?;
    let query = Query::read(&head.uri)?;
    let form = query.form(&head.headers)?;
    let root = address::cid(&address.root)?;
    if address::is_foreign(&root) {
        return Err(Refusal::NotHere);
    }
    if form == Form::Record {
        return Err(Refusal::Bad("a record belongs to a name: ask for it under /ipns/".into()));
    }
    let answer = match way(&site.blocks, root, &address).await {
        Ok(way) => {
            let found = Found { head: &head, query: &query, address: &address, form, way, cache: IMMUTABLE };
            found.answer(&site.blocks).await
        }
        Err(refusal) => Err(refusal),
    };
    match answer {
        Err(Refusal::NotHere) if only_if_cached(&head.headers) => Err(Refusal::NotCached),
        answer => answer,
    }
}

/// `/ipns/<name>[/path]` of the station's two names, resolved from memory.
pub(super) async fn ipns<B: Blocks>(State(site): State<Arc<Site<B>>>, head: Head) -> Result<Response, Refusal> {
    let address = Address::read(&head.uri, "/ipns/")?;
    let query = Query::read(&head.uri)?;
    let form = query.form(&head.headers)?;
    if ![&site.station, &site.stream].contains(&&address.root) {
        return redirect_to_own_spelling(&site, &head.uri, &address.root);
    }
    let is_stream = address.root == site.stream;
    if form == Form::Record {
        return record(&site, &head, &query, &address, is_stream);
    }
    let air = site.air()?;
    let root = if is_stream { air.list_cid } else { air.root_cid };
    let way = way(&site.blocks, root, &address).await?;
    let found = Found { head: &head, query: &query, address: &address, form, way, cache: ASK_AGAIN };
    if is_stream && form == Form::Plain && !address.folder {
        return found.file(&site.blocks, File::Whole(air.list.clone().into()), "live.m3u8").await;
    }
    found.answer(&site.blocks).await
}

async fn way(blocks: &impl Blocks, root: Cid, address: &Address) -> Result<Vec<Cid>, Refusal> {
    let way = dag::locate(blocks, root, &address.below()).await.map_err(refusal)?;
    way.ok_or(Refusal::NotHere)
}

pub(super) fn refusal(error: dag::Error) -> Refusal {
    match error {
        dag::Error::Missing(_) => Refusal::NotHere,
        dag::Error::TooLarge(why) => Refusal::Bad(why.into()),
        dag::Error::Unsupported(why) => Refusal::Format(why.into()),
        error => Refusal::Failed(error.to_string()),
    }
}

fn only_if_cached(headers: &HeaderMap) -> bool {
    headers.get(header::CACHE_CONTROL).is_some_and(|value| value == "only-if-cached")
}

/// The same key in another base is the same name: the client is sent to the one spelling that every gateway knows.
fn redirect_to_own_spelling<B>(site: &Site<B>, uri: &Uri, root: &str) -> Result<Response, Refusal> {
    let names = [&site.station, &site.stream];
    let own = names.into_iter().find(|own| address::is_spelling_of(root, own)).ok_or(Refusal::NotHere)?;
    let target = uri.path_and_query().map_or("", |target| target.as_str());
    let below = target.trim_start_matches("/ipns/").trim_start_matches(|c| !"/?".contains(c));
    redirect(StatusCode::FOUND, &format!("/ipns/{own}{below}"))
}

fn redirect(status: StatusCode, target: &str) -> Result<Response, Refusal> {
    // A request may spell its query in bytes that a Location must not have (RFC 3986 §2.1).
    let spelled = |byte: u8| if byte.is_ascii() { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    let target: String = target.bytes().map(spelled).collect();
    let location = HeaderValue::try_from(target).map_err(|_| Refusal::Bad("the path cannot be redirected".into()))?;
    Ok((status, [(header::LOCATION, location)]).into_response())
}

/// The signed record of a name: what a verifying client asks for.
fn record<B>(
    site: &Site<B>,
    head: &Head,
    query: &Query,
    address: &Address,
    is_stream: bool,
) -> Result<Response, Refusal> {
    if !address.path.is_empty() {
        return Err(Refusal::Bad("a record belongs to a name without a path".into()));
    }
    let records = site.records.borrow().clone();
    let record = if is_stream { records.stream } else { records.station }.ok_or(Refusal::NoRecord)?;
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/vnd.ipfs.ipns-record"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(ASK_AGAIN));
    headers.insert(header::VARY, HeaderValue::from_static("Accept"));
    let name = query.filename.clone().unwrap_or_else(|| format!("{}.ipns-record", address.root));
    headers.insert(header::CONTENT_DISPOSITION, value(kind::disposition(true, &name))?);
    headers.extend(location(head, query, Form::Record)?);
    headers.insert(X_IPFS_PATH, value(head.uri.path().to_owned())?);
    Ok(Entity::of_bytes(&cid_of(RAW, &record).to_string(), headers, record).answer(head))
}

impl Found<'_> {
    async fn answer(self, blocks: &impl Blocks) -> Result<Response, Refusal> {
        match self.form {
            Form::Block => return self.block(blocks).await,
            Form::Car(car) => return self.car(blocks, car).await,
            Form::Plain | Form::Record => {}
        }
        let target = dag::load(blocks, self.cid()).await.map_err(refusal)?;
        let name = self.address.path.last().map_or("", String::as_str);
        match target.ok_or(Refusal::NotHere)? {
            Target::Directory(..) if !self.address.folder => self.redirect_to(&format!("{}/", self.path())),
            Target::Directory(..) => self.index(blocks).await,
            Target::File(..) if self.address.folder => self.redirect_to(self.path().trim_end_matches('/')),
            Target::File(_, file) => self.file(blocks, file, name).await,
        }
    }

    pub(super) fn cid(&self) -> Cid {
        *self.way.last().expect("a way has its root")
    }

    fn path(&self) -> &str {
        self.head.uri.path()
    }

    /// A folder's address ends with a slash, a file's does not, so that relative links mean the same everywhere.
    fn redirect_to(&self, path: &str) -> Result<Response, Refusal> {
        let query = self.head.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        redirect(StatusCode::MOVED_PERMANENTLY, &format!("{path}{query}"))
    }

    /// The page of a folder, named and tagged as the folder.
    async fn index(self, blocks: &impl Blocks) -> Result<Response, Refusal> {
        match dag::resolve(blocks, self.cid(), &["index.html"]).await.map_err(refusal)? {
            Some(Target::File(_, file)) => self.file(blocks, file, "index.html").await,
            _ => Err(Refusal::NotHere),
        }
    }

    async fn block(self, blocks: &impl Blocks) -> Result<Response, Refusal> {
        let cid = self.cid();
        let bytes = dag::block(blocks, cid).await.map_err(refusal)?.ok_or(Refusal::NotHere)?;
        let mut headers = self.headers("application/vnd.ipld.raw")?;
        let name = self.query.filename.clone().unwrap_or_else(|| format!("{cid}.bin"));
        headers.insert(header::CONTENT_DISPOSITION, value(kind::disposition(true, &name))?);
        Ok(Entity::of_bytes(&format!("{cid}.raw"), headers, bytes).answer(self.head))
    }

    async fn file(self, blocks: &impl Blocks, file: File, name: &str) -> Result<Response, Refusal> {
        let filename = self.query.filename.as_deref();
        let start = start_of(blocks, &file).await?;
        let mut headers = self.headers(kind::content_type(&start, filename.unwrap_or(name)))?;
        if filename.is_some() || self.query.is_download() {
            let name = kind::disposition(self.query.is_download(), filename.unwrap_or(name));
            headers.insert(header::CONTENT_DISPOSITION, value(name)?);
        }
        let tag = self.cid().to_string();
        let entity = match file {
            File::Whole(bytes) => Entity::of_bytes(&tag, headers, bytes),
            File::Parts(ref parts) => {
                let (blocks, parts) = (blocks.clone(), parts.clone());
                Entity::new(&tag, headers, file.len(), Box::new(move |range| stream_of(blocks, &parts, &range)))
            }
        };
        Ok(entity.answer(self.head))
    }

    pub(super) fn headers(&self, content_type: &'static str) -> Result<HeaderMap, Refusal> {
        let roots: Vec<_> = self.way.iter().map(Cid::to_string).collect();
        let mut headers = location(self.head, self.query, self.form)?;
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(self.cache));
        headers.insert(header::VARY, HeaderValue::from_static("Accept"));
        headers.insert(X_IPFS_PATH, value(self.path().to_owned())?);
        headers.insert(X_IPFS_ROOTS, value(roots.join(","))?);
        Ok(headers)
    }
}

/// Where the form that `Accept` asked for can be had by its URL alone, for caches that do not look at `Vary`.
fn location(head: &Head, query: &Query, form: Form) -> Result<HeaderMap, Refusal> {
    let mut headers = HeaderMap::new();
    let Some(said) = form.query().filter(|_| !query.names_form()) else { return Ok(headers) };
    let mut all: Vec<&str> = head.uri.query().into_iter().flat_map(|query| query.split('&')).collect();
    let key = |part: &str| part.split('=').next().map(str::to_owned);
    let known: Vec<_> = all.iter().map(|part| key(part)).collect();
    all.extend(said.split('&').filter(|part| !known.contains(&key(part))));
    headers.insert(header::CONTENT_LOCATION, value(format!("{}?{}", head.uri.path(), all.join("&")))?);
    Ok(headers)
}

pub(super) fn value(text: String) -> Result<HeaderValue, Refusal> {
    HeaderValue::try_from(text).map_err(|_| Refusal::Bad("the path or name cannot stand in a header".into()))
}

async fn start_of(blocks: &impl Blocks, file: &File) -> Result<Bytes, Refusal> {
    let first = match file {
        File::Whole(bytes) => Some(bytes.clone()),
        File::Parts(parts) => match parts.first() {
            Some(part) => dag::block(blocks, part.cid).await.map_err(refusal)?,
            None => Some(Bytes::new()),
        },
    };
    Ok(slice(&first.ok_or(Refusal::NotHere)?, &(0..kind::SNIFF_BYTES as u64)))
}

/// The bytes of `range`, block by block as the client takes them. A block that is gone ends the connection, so that
/// the client cannot take the rest for the whole.
fn stream_of<B: Blocks>(blocks: B, parts: &[Part], range: &Range<u64>) -> Body {
    let mut from = 0;
    let mut pieces = Vec::new();
    for part in parts {
        let (start, end) = (range.start.max(from), range.end.min(from + part.bytes));
        if start < end {
            pieces.push((*part, start - from..end - from));
        }
        from += part.bytes;
    }
    Body::from_stream(stream::unfold((blocks, pieces.into_iter()), async |(blocks, mut pieces)| {
        let (part, inside) = pieces.next()?;
        let piece = match dag::block(&blocks, part.cid).await {
            Ok(Some(bytes)) if bytes.len() as u64 == part.bytes => Ok(slice(&bytes, &inside)),
            Ok(_) => Err(std::io::Error::other(format!("block {} of a file is not here", part.cid))),
            Err(error) => Err(std::io::Error::other(error)),
        };
        Some((piece, (blocks, pieces)))
    }))
}
