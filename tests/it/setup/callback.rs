//! Somebody is told of each recording that was made.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    process::{Command, Output},
    thread,
};

use ipfs_radio::radio::ir1::Call;

use super::world::Station;

/// What came, in one request.
#[derive(Clone, Debug, PartialEq)]
struct Came {
    line: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Came {
    fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(header, _)| header == name);
        &found.unwrap_or_else(|| panic!("no {name}: {:?}", self.headers)).1
    }

    /// Whether it is signed with this secret.
    fn is_signed(&self, host: &str, secret: &[u8]) -> bool {
        let call = Call {
            method: "PATCH",
            path: "/made/here",
            host,
            content_type: "application/json",
            idempotency_key: self.header("idempotency-key"),
            timestamp: self.header("x-ir-timestamp").parse().unwrap(),
            nonce: self.header("x-ir-nonce"),
            body: &self.body,
        };
        let id = ipfs_radio::radio::ir1::key_id(secret);
        self.header("x-ir-content-sha256") == call.body_sha256()
            && self.header("authorization") == call.authorization(&id, secret)
    }
}

/// Answers as many requests with these, an empty one never, and gives what came.
fn receiver(answers: &'static [&'static str]) -> (String, thread::JoinHandle<Vec<Came>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let receive = move |answer: &&str| {
        let (mut stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            if line.trim_end().is_empty() {
                break;
            }
            lines.push(line.trim_end().to_owned());
        }
        let pair = |line: &String| {
            let (name, value) = line.split_once(": ").unwrap();
            (name.to_lowercase(), value.to_owned())
        };
        let headers: Vec<_> = lines[1..].iter().map(pair).collect();
        let mut came = Came { line: lines[0].clone(), headers, body: Vec::new() };
        came.body = vec![0; came.header("content-length").parse().unwrap()];
        reader.read_exact(&mut came.body).unwrap();
        if answer.is_empty() {
            // Nobody hears of it again.
            std::mem::forget(stream);
            return came;
        }
        write!(stream, "HTTP/1.1 {answer}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").unwrap();
        came
    };
    (host, thread::spawn(move || answers.iter().map(receive).collect()))
}

fn setup(station: &Station) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ipfs-radio"));
    let output = command.arg("--dir").arg(station.path("")).arg("setup").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

fn waiting(station: &Station) -> usize {
    fs::read_dir(station.path("state/callbacks")).map_or(0, Iterator::count)
}

#[test]
fn a_receiver_that_fails_is_called_again_with_the_same_key_and_nothing_waits_for_it() {
    let station = Station::empty();
    station.record("music/1.wav", 220, 1_500);
    let (host, receiving) = receiver(&["500 No", "503 Not yet", "204 Well"]);
    let toml = format!("[callback]\nurl = \"http://{host}/made/here\"\nallow_private = true\n");
    station.write("setup.toml", toml.as_bytes());
    for attempt in 0..2 {
        let said = String::from_utf8(setup(&station).stdout).unwrap();
        assert!(said.contains("1 callbacks wait (it answers 50"), "attempt {attempt}: {said}");
        assert_eq!(waiting(&station), 1);
    }
    assert!(!String::from_utf8(setup(&station).stdout).unwrap().contains("callbacks wait"));
    assert_eq!(waiting(&station), 0);
    setup(&station);
    let came = receiving.join().unwrap();
    let secret = fs::read_to_string(station.path("state/keys/callback.key")).unwrap();
    let secret = data_encoding::HEXLOWER.decode(secret.trim_end().as_bytes()).unwrap();
    let meta = station.meta(&station.manifest().entries()[0].id);
    for one in &came {
        assert_eq!((one.line.as_str(), one.header("host")), ("PATCH /made/here HTTP/1.1", host.as_str()));
        assert_eq!(one.body, meta.to_bytes());
        assert!(one.is_signed(&host, &secret), "{one:?}");
        assert_eq!(one.header("idempotency-key"), came[0].header("idempotency-key"));
    }
    assert!(came[0].header("x-ir-nonce") != came[1].header("x-ir-nonce"));
}

#[test]
fn one_that_is_refused_does_not_hold_up_the_others() {
    let station = Station::empty();
    for (name, pitch) in [("1", 220), ("2", 330), ("3", 440)] {
        station.record(&format!("music/{name}.wav"), pitch, 1_500);
    }
    let (host, receiving) = receiver(&["422 No", "204 Well", "500 Not now"]);
    let toml = format!("[callback]\nurl = \"http://{host}/made/here\"\nallow_private = true\n");
    station.write("setup.toml", toml.as_bytes());
    let said = String::from_utf8(setup(&station).stdout).unwrap();
    assert!(said.contains("2 callbacks wait (it answers 422"), "{said}");
    let came = receiving.join().unwrap();
    let left = |one: &Came| station.path(&format!("state/callbacks/{}.json", one.header("idempotency-key"))).exists();
    assert_eq!(came.iter().map(left).collect::<Vec<_>>(), [true, false, true]);
}

#[test]
fn one_that_is_never_answered_does_not_hold_up_the_others() {
    let station = Station::empty();
    for (name, pitch) in [("1", 220), ("2", 330), ("3", 440)] {
        station.record(&format!("music/{name}.wav"), pitch, 1_500);
    }
    let (host, receiving) = receiver(&["", "204 Well", "204 Well"]);
    let toml = format!("[callback]\nurl = \"http://{host}/made/here\"\nallow_private = true\n");
    station.write("setup.toml", toml.as_bytes());
    let said = String::from_utf8(setup(&station).stdout).unwrap();
    assert!(said.contains("1 callbacks wait (no answer in 3."), "{said}");
    assert_eq!((receiving.join().unwrap().len(), waiting(&station)), (3, 1));
}

#[test]
fn one_that_is_damaged_is_not_sent_and_not_lost() {
    let station = Station::empty();
    station.record("music/1.wav", 220, 1_500);
    let (host, receiving) = receiver(&["500 No"]);
    let toml = format!("[callback]\nurl = \"http://{host}/made/here\"\nallow_private = true\n");
    station.write("setup.toml", toml.as_bytes());
    setup(&station);
    receiving.join().unwrap();
    let file = fs::read_dir(station.path("state/callbacks")).unwrap().next().unwrap().unwrap().path();
    fs::write(&file, b"{").unwrap();
    let said = String::from_utf8(setup(&station).stdout).unwrap();
    assert!(said.contains("is damaged and is not sent: remove it") && file.exists(), "{said}");
}

#[test]
fn a_secret_that_is_none_is_named_before_anything_is_made() {
    let station = Station::empty();
    station.record("music/1.wav", 220, 1_500);
    station.write("setup.toml", b"[callback]\nurl = \"https://example.org/\"\n");
    station.write("state/keys/callback.key", b"secret\n");
    let mut command = Command::new(env!("CARGO_BIN_EXE_ipfs-radio"));
    let output = command.arg("--dir").arg(station.path("")).arg("setup").output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && told.contains("callback.key is not 64 hex digits"), "{told}");
    assert!(!station.path("processed/manifest.json").exists());
}
