//! What a connection may do and how it ends.

use super::*;

#[tokio::test]
async fn only_reading_methods_without_a_body_are_taken() {
    let node = node().await;
    for method in ["POST", "PUT", "DELETE", "PATCH", "TRACE", "get", "LIST"] {
        for target in ["/", "/ipfs/bafkqaaa", "/nothing"] {
            let answer = node.ask(method, target, "X-HTTP-Method-Override: GET\r\n").await;
            assert_eq!((answer.status, answer.header("allow")), (405, METHODS), "{method} {target}");
        }
    }
    let options = node.ask("OPTIONS", &format!("/ipns/{STREAM}"), "Origin: http://x\r\n").await;
    assert_eq!((options.status, options.header("access-control-allow-methods")), (204, METHODS));
    for body in ["Content-Length: 5\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"] {
        let answer = node.raw(format!("GET / HTTP/1.1\r\nHost: x\r\n{body}").as_bytes()).await;
        assert_eq!((answer.status, answer.header("connection")), (413, "close"), "{body}");
    }
    assert_eq!(node.ask("GET", "/", "Content-Length: 0\r\n").await.status, 200);
    assert_eq!(node.raw(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n").await.status, 400, "no Host");
    assert_eq!(node.ask("GET", "/", "Host: y\r\n").await.status, 400, "two Hosts");
    assert_eq!(node.raw(b"nonsense\r\n\r\n").await.status, 400);
}

#[tokio::test]
async fn heads_are_bounded() {
    let node = node().await;
    assert_eq!(node.ask("GET", "/", &"X: y\r\n".repeat(70)).await.status, 431, "too many");
    assert_eq!(node.ask("GET", "/", &format!("X: {}\r\n", "y".repeat(MAX_HEAD_BYTES))).await.status, 431, "too long");
    assert_eq!(node.ask("GET", "/", &"X: y\r\n".repeat(60)).await.status, 200);
}

#[tokio::test]
async fn a_connection_is_kept_for_the_next_request() {
    let node = node().await;
    let mut stream = node.connect().await;
    for _ in 0..3 {
        stream.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"ok\n") {
            let read = timeout(LONG, stream.read_buf(&mut bytes)).await.unwrap().unwrap();
            assert_ne!(read, 0, "closed after {bytes:?}");
        }
    }
}

#[tokio::test]
async fn slow_heads_and_silent_clients_are_closed_while_others_are_served() {
    let short = Duration::from_millis(50);
    let node = node_within(Limits { head_within: short, ..Limits::default() }).await;
    let mut slow = node.connect().await;
    slow.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    assert_eq!(node.get("/health").await.status, 200);
    assert!(is_closed(&mut slow).await, "a head that does not end");

    let node = node_within(Limits { idle: short, ..Limits::default() }).await;
    let mut silent = node.connect().await;
    assert!(is_closed(&mut silent).await, "a client that never asks");
    let mut idle = node.connect().await;
    idle.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    assert!(is_closed(&mut idle).await, "a client that asks no more");
}

#[tokio::test]
async fn a_request_may_come_in_pieces_and_late_on_a_kept_connection() {
    let limits = Limits { head_within: Duration::from_millis(400), ..Limits::default() };
    let node = node_within(limits).await;
    let mut stream = node.connect().await;
    for _ in 0..2 {
        for piece in ["GET /health HTTP/1.1\r\n", "Host: x\r\n\r\n"] {
            stream.write_all(piece.as_bytes()).await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"ok\n") {
            assert_ne!(timeout(LONG, stream.read_buf(&mut bytes)).await.unwrap().unwrap(), 0);
        }
        // Longer than a head may take: time between requests is not time of a head.
        tokio::time::sleep(Duration::from_millis(600)).await;
    }
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_closed() {
    let node = node_within(Limits { write_stall: Duration::from_millis(100), ..Limits::default() }).await;
    let mut stream = node.connect().await;
    let request = format!("GET /ipfs/{} HTTP/1.1\r\nHost: x\r\n\r\n", node.segment);
    let many = request.repeat(1_000);
    // Asks for far more than the buffers between the two hold, and reads nothing.
    let asking = async { while stream.write_all(many.as_bytes()).await.is_ok() {} };
    timeout(LONG, asking).await.expect("the node closes");
}

/// Whether the node closes the connection; what it says before that does not matter.
async fn is_closed(stream: &mut TcpStream) -> bool {
    let mut rest = Vec::new();
    timeout(LONG, stream.read_to_end(&mut rest)).await.is_ok()
}

#[tokio::test]
async fn connections_beyond_the_limit_are_told_to_come_back_and_room_comes_back() {
    let node = node_within(Limits { connections: 2, ..Limits::default() }).await;
    let (first, mut second) = (node.connect().await, node.connect().await);
    second.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    assert!(second.read_u8().await.is_ok());
    let mut third = node.connect().await;
    let mut told = String::new();
    timeout(LONG, third.read_to_string(&mut told)).await.unwrap().unwrap();
    let (head, body) = told.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 503 ") && head.contains("\r\nRetry-After: 6\r\n"), "{told}");
    assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "{told}");
    drop(first);
    let served = async {
        loop {
            let (mut again, mut status) = (node.connect().await, [0; 12]);
            let _ = again.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n").await;
            if again.read_exact(&mut status).await.is_ok() && status == *b"HTTP/1.1 200" {
                break;
            }
        }
    };
    timeout(LONG, served).await.expect("room for one more");
}

#[tokio::test]
async fn a_stop_ends_the_service_and_its_connections() {
    let mut node = node().await;
    let mut idle = node.connect().await;
    idle.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    assert!(idle.read_u8().await.is_ok());
    node.stop.cancel();
    timeout(LONG, &mut node.ended).await.unwrap().unwrap();
    assert!(is_closed(&mut idle).await);
    assert!(TcpStream::connect(node.address).await.is_err());
}

#[tokio::test]
async fn until_it_is_known_what_is_served_the_port_says_why_and_then_serves_on_the_same_connection() {
    let node = node().await;
    let (turn, later) = watch::channel(None);
    let (words, meanwhile) = watch::channel("looking for k51a".to_owned());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
    let serving = tokio::spawn(serve_later(listener, Later { site: later, meanwhile }, MAX_CONNECTIONS, stop.clone()));
    let mut stream = TcpStream::connect(address).await.unwrap();
    let ask = async |stream: &mut TcpStream, target: &str| {
        stream.write_all(format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await.unwrap();
        let mut bytes = Vec::new();
        loop {
            assert_ne!(timeout(LONG, stream.read_buf(&mut bytes)).await.unwrap().unwrap(), 0);
            if bytes.windows(4).any(|four| four == b"\r\n\r\n") {
                let answer = parse(&bytes);
                if answer.header("content-length") == answer.body.len().to_string() {
                    return answer;
                }
            }
        }
    };
    for target in ["/", "/health", "/status.json", &format!("/ipns/{STREAM}")] {
        let answer = ask(&mut stream, target).await;
        assert_eq!((answer.status, answer.header("retry-after")), (503, "2"), "{target}");
        assert_eq!(answer.text(), "not on air yet: looking for k51a\n");
    }
    words.send("no peer".into()).unwrap();
    assert_eq!(ask(&mut stream, "/").await.text(), "not on air yet: no peer\n");
    turn.send(Some(Site { recordings: Arc::default(), ..node.site.clone() })).unwrap();
    while ask(&mut stream, "/health").await.status != 200 {
        tokio::task::yield_now().await;
    }
    for target in ["/audio/0/stream/0.m3u8", "/chunks/0.ts"] {
        let answer = ask(&mut stream, target).await;
        assert_eq!(answer.status, 404);
        assert!(answer.text().contains("the recordings are at the station"), "{}", answer.text());
    }
    stop.cancel();
    timeout(LONG, serving).await.unwrap().unwrap();
}

/// A socket that fails a few times in ways of which some are rare.
struct Stuck {
    listener: TcpListener,
    failures: std::sync::Mutex<Vec<i32>>,
}

impl Door for Stuck {
    async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let failure = self.failures.lock().unwrap().pop();
        match failure {
            Some(code) => Err(io::Error::from_raw_os_error(code)),
            None => self.listener.accept().await,
        }
    }
}

#[tokio::test]
async fn no_error_of_the_socket_ends_the_service() {
    const EPERM: i32 = 1;
    const EPROTO: i32 = 71;
    const ENETDOWN: i32 = 100;
    const ECONNABORTED: i32 = 103;
    for code in [EPERM, EPROTO, ENETDOWN, ECONNABORTED] {
        let failures = std::sync::Mutex::new(vec![code, code]);
        let node = node_behind(Limits::default(), |listener| Stuck { listener, failures }).await;
        assert_eq!(node.get("/health").await.status, 200, "error {code}");
    }
}
