//! Calls the receiver.

use std::{fmt, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Request, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE, HOST, USER_AGENT},
};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::{
        self,
        legacy::{
            Client,
            connect::{HttpConnector, dns::Name},
        },
    },
    rt::TokioExecutor,
};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tower::util::BoxCloneSyncService;

use super::{
    Outbox, Secret, Target, guard,
    round::{Courier, Failure, Rounds},
};
use crate::{
    clock,
    radio::{ir1::Call, segment::short_name},
};

/// An attempt takes no longer.
const LIMIT: Duration = Duration::from_secs(20);
/// Where there is little time for many, an attempt takes an equal share of it, but a fifth at least: one without an answer is
/// not to cost the others theirs.
const SHARES_MAX: usize = 5;
/// Nor does it take longer to be connected: less than an attempt that is not hurried, so that nobody there is told from no
/// answer.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

type Resolver = BoxCloneSyncService<Name, std::vec::IntoIter<std::net::SocketAddr>, std::io::Error>;

/// Delivers to one receiver.
#[derive(Clone)]
pub struct Sender {
    target: Target,
    secret: Secret,
    limit: Duration,
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
        tcp.set_connect_timeout(Some(CONNECT_LIMIT));
        let secure =
            HttpsConnectorBuilder::new().with_webpki_roots().https_or_http().enable_http1().wrap_connector(tcp);
        Self { target, secret, limit: LIMIT, client: Client::builder(TokioExecutor::new()).build(secure) }
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

    /// Delivers what waits for at most `limit`. Says what is left, if anything is, and why.
    pub async fn deliver(&self, outbox: &Outbox, limit: Duration) -> Option<String> {
        let mut rounds = Rounds::default();
        let shares = outbox.waiting().map_or(1, |waiting| waiting.len().clamp(1, SHARES_MAX));
        let hurried = Self { limit: (limit / shares as u32).min(LIMIT), ..self.clone() };
        let why = match timeout(limit, rounds.go(outbox, &hurried)).await {
            Ok(round) => round.why.unwrap_or_default(),
            Err(_) => format!("that takes more than {limit:?}"),
        };
        match outbox.waiting() {
            Ok(waiting) if waiting.is_empty() => None,
            Ok(waiting) => Some(format!("{} callbacks wait ({why})", waiting.len())),
            Err(error) => Some(format!("callbacks may wait ({error})")),
        }
    }

    /// Delivers what waits and what comes, until `stop`.
    pub async fn run(self, outbox: Outbox, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = Rounds::default().keep_on(&outbox, &self) => {}
        }
    }
}

impl Courier for Sender {
    async fn carry(&self, key: &str, body: Vec<u8>) -> Result<(), Failure> {
        if short_name(&body) != key {
            return Err(Failure::Failed(format!("state/callbacks/{key}.json is damaged and is not sent: remove it")));
        }
        let request = self.request(key, body).map_err(Failure::Failed)?;
        let answer = timeout(self.limit, self.client.request(request)).await;
        let answer = answer.map_err(|_| Failure::Failed(format!("no answer in {:?}", self.limit)))?;
        let kind = |error: &client::legacy::Error| {
            if error.is_connect() { Failure::Away } else { Failure::Failed }
        };
        let status = answer.map_err(|error| kind(&error)(causes(&error)))?.status();
        if status.is_success() { Ok(()) } else { Err(answered(status)) }
    }

    async fn rest(&self, pause: Duration) {
        sleep(pause).await;
    }
}

/// What an answer that is no success means: these of 4xx speak of now, the others of the delivery.
fn answered(status: StatusCode) -> Failure {
    use StatusCode as Code;
    let passes = [Code::REQUEST_TIMEOUT, Code::TOO_EARLY, Code::TOO_MANY_REQUESTS].contains(&status);
    let kind = if status.is_client_error() && !passes { Failure::Refused } else { Failure::Failed };
    kind(format!("it answers {status}"))
}

/// An error and what it comes from.
fn causes(error: &dyn std::error::Error) -> String {
    let chain = std::iter::successors(Some(error), |error| error.source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_speaks_of_now_or_of_the_delivery() {
        for status in [400, 401, 403, 404, 410, 413, 422] {
            let wanted = matches!(answered(StatusCode::from_u16(status).unwrap()), Failure::Refused(_));
            assert!(wanted, "{status}");
        }
        for status in [301, 408, 425, 429, 500, 502, 503] {
            let wanted = matches!(answered(StatusCode::from_u16(status).unwrap()), Failure::Failed(_));
            assert!(wanted, "{status}");
        }
    }
}
