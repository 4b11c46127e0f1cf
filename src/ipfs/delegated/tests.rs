use std::{future::Future, sync::Arc};

use tokio::net::TcpListener;
use tokio_rustls::{TlsAcceptor, rustls};

use super::*;
use crate::{
    ipfs::{
        Key,
        lab::{Answers, HttpRouter, Mode, Wire},
        record::View,
    },
    radio::{
        segment::{RAW, cid_of},
        time::{Span, Time},
    },
};

const BOUND: Duration = Duration::from_secs(60);

async fn bounded<T>(work: impl Future<Output = T>) -> T {
    timeout(BOUND, work).await.expect("it hangs")
}

fn record(key: &Key, sequence: u64) -> Record {
    let value = format!("/ipfs/{}", cid_of(RAW, b"x"));
    let (validity, ttl) = (Time::from_millis(4_000_000_000_000), Span::seconds(60));
    Record::sign(key, &View { value, sequence, validity, ttl, numbers: None }).unwrap()
}

fn asked(url: &str) -> Router {
    Router::check(&[url.to_owned()]).unwrap().remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_is_put_and_read_back_and_providers_are_told() {
    let (lab, key) = (HttpRouter::start().await.unwrap(), Key::generate());
    let router = asked(&format!("{}/", lab.url()));
    assert_eq!(router.url(), lab.url());
    assert_eq!(bounded(router.record(key.name())).await.unwrap(), None);
    bounded(router.put(&record(&key, 7))).await.unwrap();
    assert_eq!(lab.record(key.name()), Some(record(&key, 7)));
    assert_eq!(bounded(router.record(key.name())).await.unwrap(), Some(record(&key, 7)));
    let cid = cid_of(RAW, b"segment");
    assert_eq!(bounded(router.providers(cid)).await.unwrap(), [] as [String; 0]);
    lab.tell(&cid, &key.peer_id());
    assert_eq!(bounded(router.providers(cid)).await.unwrap(), [key.peer_id()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_router_answers_is_bounded_and_believed_only_when_it_is_good() {
    let (lab, key) = (HttpRouter::start().await.unwrap(), Key::generate());
    let router = asked(&lab.url());
    bounded(router.put(&record(&key, 7))).await.unwrap();
    for (answers, words) in [
        (Answers::Status(405), "405"),
        (Answers::Status(503), "503"),
        (Answers::Elsewhere, "elsewhere"),
        (Answers::Endlessly, "limit"),
    ] {
        lab.answer(answers);
        let refusals = [
            bounded(router.put(&record(&key, 8))).await.map(drop),
            bounded(router.record(key.name())).await.map(drop),
            bounded(router.providers(cid_of(RAW, b"x"))).await.map(drop),
        ];
        for refused in refusals {
            let refused = refused.unwrap_err().to_string();
            assert!(refused.contains(words) && refused.contains(&lab.url()), "{refused}");
        }
    }
    assert_eq!(lab.record(key.name()), Some(record(&key, 7)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_router_that_hangs_drips_or_hangs_up_costs_its_limit_and_comes_back() {
    let (lab, key) = (HttpRouter::start().await.unwrap(), Key::generate());
    let wire = Wire::to(lab.local()).await.unwrap();
    let router = asked(&format!("http://{}", wire.local())).with_limit(Duration::from_millis(500));
    bounded(router.put(&record(&key, 1))).await.unwrap();
    for (sequence, mode) in [(2, Mode::Hang), (3, Mode::Drip(Duration::from_millis(50))), (4, Mode::Refuse)] {
        wire.set(mode);
        let refused = bounded(router.put(&record(&key, sequence))).await;
        assert!(matches!(refused, Err(Error::Network(_))), "{mode:?}: {refused:?}");
        let refused = bounded(router.record(key.name())).await;
        assert!(matches!(refused, Err(Error::Network(_))), "{mode:?}: {refused:?}");
    }
    wire.set(Mode::Good);
    let patient = router.with_limit(BOUND);
    bounded(patient.put(&record(&key, 5))).await.unwrap();
    assert_eq!(lab.record(key.name()), Some(record(&key, 5)));
    drop(lab);
    assert!(matches!(bounded(patient.put(&record(&key, 6))).await, Err(Error::Network(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_server_that_is_vouched_for_is_told_anything() {
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificate, key) = (own.cert.der().clone(), own.key_pair.serialize_der().try_into().unwrap());
    let config = rustls::ServerConfig::builder().with_no_client_auth();
    let config = config.with_single_cert(vec![certificate.clone()], key).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    let acceptor = TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        let well = |_| async { Ok::<_, hyper::Error>(Response::new(Full::<Bytes>::default())) };
        while let Ok((stream, _)) = listener.accept().await {
            if let Ok(stream) = acceptor.accept(stream).await {
                let io = hyper_util::rt::TokioIo::new(stream);
                let served = hyper::server::conn::http1::Builder::new();
                tokio::spawn(served.serve_connection(io, hyper::service::service_fn(well)));
            }
        }
    });
    let record = record(&Key::generate(), 1);
    let refused = bounded(asked(&url).put(&record)).await.unwrap_err().to_string();
    assert!(refused.contains("certificate"), "{refused}");

    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate).unwrap();
    let trusting = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let secure = HttpsConnectorBuilder::new().with_tls_config(trusting).https_only().enable_http1();
    let router = Router::check_with(&[url], secure.wrap_connector(tcp())).unwrap().remove(0);
    bounded(router.put(&record)).await.unwrap();
}

#[tokio::test]
async fn a_bad_url_is_named_with_its_key() {
    for url in
        ["", "delegated-ipfs.dev", "ftp://a.example", "https://", "https://a.example/?x=1", "https://a@b.example"]
    {
        let refused = Router::check(&[url.to_owned()]).unwrap_err().to_string();
        assert!(refused.contains("peer.delegated_routers") && refused.contains("https://<host>"), "{refused}");
    }
    assert_eq!(asked("https://a.example/base/").url(), "https://a.example/base");
    assert!(Router::check(&[]).unwrap().is_empty());
}
