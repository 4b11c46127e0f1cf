//! Delivers what waits, and tries again what failed.

use std::{fmt, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Request,
    header::{AUTHORIZATION, CONTENT_TYPE, HOST, USER_AGENT},
};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{
        Client,
        connect::{HttpConnector, dns::Name},
    },
    rt::TokioExecutor,
};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tower::util::BoxCloneSyncService;

use super::{Outbox, Secret, Target, guard};
use crate::{clock, radio::ir1::Call};

/// An attempt takes no longer.
const LIMIT: Duration = Duration::from_secs(20);
/// From a failure to the next attempt; it doubles up to [`AGAIN_MAX`].
const AGAIN: Duration = Duration::from_secs(5);
const AGAIN_MAX: Duration = Duration::from_secs(600);
/// How often the outbox is looked into.
const LOOK: Duration = Duration::from_secs(5);

type Resolver = BoxCloneSyncService<Name, std::vec::IntoIter<std::net::SocketAddr>, std::io::Error>;

/// Delivers to one receiver.
#[derive(Clone)]
pub struct Sender {
    target: Target,
    secret: Secret,
    client: Client<HttpsConnector<HttpConnector<Resolver>>, Full<Bytes>>,
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("target", &self.target).field("secret", &self.secret).finish_non_exhaustive()
    }
}

impl Sender {
    /// To `target`, signed with `secret`.
    pub fn new(target: Target, secret: Secret) -> Self {
        let private = target.private;
        let resolve = move |name: Name| async move { guard::resolve(name.as_str(), private).await.map(Vec::into_iter) };
        let mut tcp = HttpConnector::new_with_resolver(BoxCloneSyncService::new(tower::service_fn(resolve)));
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(LIMIT));
        let secure =
            HttpsConnectorBuilder::new().with_webpki_roots().https_or_http().enable_http1().wrap_connector(tcp);
        Self { target, secret, client: Client::builder(TokioExecutor::new()).build(secure) }
    }

    /// One attempt. The error says why it failed.
    async fn attempt(&self, key: &str, body: Vec<u8>) -> Result<(), String> {
        let request = self.request(key, body)?;
        let answer = timeout(LIMIT, self.client.request(request)).await;
        let answer = answer.map_err(|_| format!("no answer in {LIMIT:?}"))?.map_err(|error| causes(&error))?;
        if answer.status().is_success() { Ok(()) } else { Err(format!("it answers {}", answer.status())) }
    }

    fn request(&self, key: &str, body: Vec<u8>) -> Result<Request<Full<Bytes>>, String> {
        let url = &self.target.url;
        let host = url.authority().map(|authority| authority.as_str().to_ascii_lowercase()).unwrap_or_default();
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce).map_err(|error| error.to_string())?;
        let nonce = data_encoding::BASE64URL_NOPAD.encode(&nonce);
        let call = Call {
            method: "PATCH",
            path: url.path(),
            host: &host,
            content_type: "application/json",
            idempotency_key: key,
            timestamp: clock::wall().millis() / 1_000,
            nonce: &nonce,
            body: &body,
        };
        let request = Request::builder()
            .method(Method::PATCH)
            .uri(url.clone())
            .header(HOST, call.host)
            .header(USER_AGENT, concat!("ipfs-radio/", env!("CARGO_PKG_VERSION")))
            .header(CONTENT_TYPE, call.content_type)
            .header("idempotency-key", key)
            .header("x-ir-timestamp", call.timestamp)
            .header("x-ir-nonce", call.nonce)
            .header("x-ir-content-sha256", call.body_sha256())
            .header(AUTHORIZATION, call.authorization(&self.secret.id(), &self.secret.bytes));
        request.body(Full::new(Bytes::from(body))).map_err(|error| error.to_string())
    }

    /// Delivers what waits, the oldest first, until something fails. Says why it did.
    async fn empty(&self, outbox: &Outbox) -> Result<(), String> {
        for key in outbox.waiting() {
            let body = match outbox.body(&key) {
                Ok(Some(body)) => body,
                Ok(None) => continue,
                Err(error) => return Err(error.to_string()),
            };
            self.attempt(&key, body).await?;
            outbox.done(&key).map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// Delivers what waits for at most `limit`. Gives how many deliveries are left, and why.
    pub async fn deliver(&self, outbox: &Outbox, limit: Duration) -> (usize, String) {
        let ended = timeout(limit, self.empty(outbox)).await;
        let why = ended.unwrap_or_else(|_| Err(format!("that takes more than {limit:?}"))).err().unwrap_or_default();
        (outbox.waiting().len(), why)
    }

    /// Delivers what waits and what comes, until `stop`.
    pub async fn run(self, outbox: Outbox, stop: CancellationToken) {
        let work = async {
            let mut pause = AGAIN;
            loop {
                match self.empty(&outbox).await {
                    Ok(()) => {
                        pause = AGAIN;
                        sleep(LOOK).await;
                    }
                    Err(why) => {
                        tracing::warn!(url = %self.target.url, why, ?pause, "a callback is not delivered and tried again");
                        sleep(pause).await;
                        pause = (2 * pause).min(AGAIN_MAX);
                    }
                }
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = work => {}
        }
    }
}

/// An error and what it comes from.
fn causes(error: &dyn std::error::Error) -> String {
    let chain = std::iter::successors(Some(error), |error| error.source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
