//! What comes and goes leaves nothing behind: listeners, and setup beside the air.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    thread,
    time::Duration,
};

use crate::{air::with_music, station::Station};

const LISTENERS: usize = 200;
/// So many are connected at the same time, half of which are cut.
const AT_ONCE: usize = 10;
/// What is on its way when a connection is cut: more than the buffers between the two hold.
const UNREAD: usize = 8 << 20;
const ROUNDS_OF_SETUP: u32 = 3;
const LONG: Duration = Duration::from_secs(60);
/// How often and at most how many times it is looked for what has gone.
const LOOK: Duration = Duration::from_millis(50);
const ROUNDS_OF_LOOKS: u32 = 1_200;

/// What the station's process holds.
#[derive(Clone, Copy, Debug)]
struct Held {
    descriptors: usize,
    threads: usize,
}

impl Held {
    fn by(station: &Station) -> Self {
        let pid = station.processes()[0];
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let threads = status.lines().find_map(|line| line.strip_prefix("Threads:")).unwrap();
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
        Self { descriptors, threads: threads.trim().parse().unwrap() }
    }

    /// The most while the list goes on by three segments, for each of which files are opened and closed.
    fn while_airing(station: &Station) -> Self {
        let wanted = station.wait("a list", Station::list).last() + 3;
        let mut most = Self { descriptors: 0, threads: 0 };
        station.wait("the list to go on", |station| {
            let now = Self::by(station);
            most.descriptors = most.descriptors.max(now.descriptors);
            most.threads = most.threads.max(now.threads);
            (station.list()?.last() >= wanted).then_some(())
        });
        most
    }

    /// Waits until no more is held than this. The runtime keeps a thread for each read that has gone on at the same time, for
    /// as long as its threads take turns, and a busy machine has more of them: one for each listener they are not.
    fn comes_back(self, station: &Station) {
        let mut last = self;
        let most = Self { threads: self.threads + LISTENERS / 2, ..self };
        for _ in 0..ROUNDS_OF_LOOKS {
            last = Self::by(station);
            if last.descriptors <= most.descriptors && last.threads <= most.threads {
                return;
            }
            thread::sleep(LOOK);
        }
        panic!("{last:?} is held, and {most:?} at most had been before");
    }
}

/// A connection that has asked for something, and has the begin of the answer.
fn asking(station: &Station, requests: &str) -> TcpStream {
    let mut socket = TcpStream::connect(("127.0.0.1", station.port)).unwrap();
    socket.set_read_timeout(Some(LONG)).unwrap();
    socket.set_write_timeout(Some(LONG)).unwrap();
    socket.write_all(requests.as_bytes()).unwrap();
    let mut begin = [0; 15];
    socket.read_exact(&mut begin).unwrap();
    assert_eq!(&begin, b"HTTP/1.1 200 OK");
    socket
}

/// Listeners come: half of them leave within an answer, the others when they have the list for the second time.
fn come_and_go(station: &Station, before: Held) {
    let name = station.wait("the name", |station| Some(station.status()?["stream"].as_str()?.to_owned()));
    let uri = station.wait("a list", Station::list).segments.pop_last().unwrap().1.uri;
    let segment = station.get_bytes(&uri).unwrap();
    let wanted = format!("GET {uri} HTTP/1.1\r\nHost: localhost\r\n\r\n").repeat(UNREAD / segment.len() + 1);
    let list = format!("GET /ipns/{name} HTTP/1.1\r\nHost: localhost\r\n");
    let cut: Vec<TcpStream> = (0..AT_ONCE / 2).map(|_| asking(station, &wanted)).collect();
    let whole: Vec<TcpStream> = (0..AT_ONCE / 2).map(|_| asking(station, &format!("{list}\r\n"))).collect();
    assert!(Held::by(station).descriptors > before.descriptors, "listeners are seen");
    drop(cut);
    for mut socket in whole {
        socket.write_all(format!("{list}Connection: close\r\n\r\n").as_bytes()).unwrap();
        let mut answers = Vec::new();
        socket.read_to_end(&mut answers).unwrap();
        assert_eq!(String::from_utf8(answers).unwrap().matches("#EXTM3U").count(), 2);
    }
}

#[test]
fn nothing_is_left_of_listeners_that_have_gone_nor_of_setup_that_has_ended() {
    let mut station = with_music();
    let _lock = station.without_generator();
    station.start(&["run"]);
    let set_up = |station: &Station, items: u32| {
        station.wait("setup to have ended", |station| {
            let setup = &station.status()?["setup"];
            let done = setup["state"] == "done" && setup["done"] == items && setup["total"] == items;
            (done && station.processes().len() == 1).then_some(())
        });
    };
    set_up(&station, 4);
    let before = Held::while_airing(&station);
    for _ in 0..LISTENERS / AT_ONCE {
        come_and_go(&station, before);
    }
    before.comes_back(&station);
    for round in 1..=ROUNDS_OF_SETUP {
        station.tone(&format!("music/new{round}.wav"), 600 + 50 * round, 1_200);
        set_up(&station, 4 + round);
    }
    before.comes_back(&station);
    let wanted = station.wait("a list", Station::list).last() + 3;
    station.wait("the list to go on", |station| (station.list()?.last() >= wanted).then_some(()));
    assert_eq!(station.stop(), Some(0));
}
