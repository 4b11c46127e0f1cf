//! A station in a folder of its own, run by the real binary, and a client for its listener port.

use std::{
    collections::BTreeMap,
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, SystemTime},
};

use ipfs_radio::disk::{Layout, Lock};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// How often something that must come is looked for; the limit only ends a test that has failed.
const TRIES: usize = 1_200;
const LOG: &str = "run.log";
const BETWEEN: Duration = Duration::from_millis(50);
const STOP_TRIES: usize = 100;

pub(crate) struct Station {
    pub(crate) dir: TempDir,
    pub(crate) port: u16,
    running: Option<Child>,
    arguments: Vec<String>,
}

impl Station {
    /// A station with segments of one second and this window and look-ahead; nobody is dialled.
    pub(crate) fn new(window_size: u32, look_ahead: u32) -> Self {
        Self::with_peer(
            window_size,
            look_ahead,
            "listen = [\"/ip4/127.0.0.1/tcp/0\"]\nbootstrap = []\ndelegated_routers = []\n",
        )
    }

    /// The same among the peers of the DHT servers at `bootstrap`, findable.
    pub(crate) fn among(window_size: u32, look_ahead: u32, bootstrap: &[&str]) -> Self {
        let own = format!("/ip4/127.0.0.1/tcp/{}", free_port());
        let peer = format!(
            "listen = [\"{own}\"]\nannounce = [\"{own}\"]\nbootstrap = {bootstrap:?}\ndelegated_routers = []\n\
             [ipns]\nttl_seconds = 2\npublish_interval_seconds = 1\n"
        );
        Self::with_peer(window_size, look_ahead, &peer)
    }

    /// A mirror of the station of that name, among the same peers.
    pub(crate) fn mirror(of: &str, bootstrap: &str) -> Self {
        let mut mirror = Self::among(6, 4, &[bootstrap]);
        mirror.follow(of);
        mirror
    }

    /// From now on it is a mirror of the station of that name.
    pub(crate) fn follow(&mut self, of: &str) {
        self.arguments = ["run", "--follow", of].map(String::from).to_vec();
    }

    fn with_peer(window_size: u32, look_ahead: u32, peer: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let port = free_port();
        fs::write(dir.path().join("setup.toml"), "[audio]\nsegment_duration = 1\n[jingles]\ncycle = 2\n").unwrap();
        let streaming = format!(
            "[streaming]\nwindow_size = {window_size}\nlook_ahead = {look_ahead}\n[http]\nlisten = \"127.0.0.1:{port}\"\n\
             [peer]\n{peer}"
        );
        fs::write(dir.path().join("streaming.toml"), streaming).unwrap();
        fs::create_dir(dir.path().join("music")).unwrap();
        fs::create_dir(dir.path().join("jingles")).unwrap();
        let arguments = ["run", "--no-setup"].map(String::from).to_vec();
        Self { dir, port, running: None, arguments }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Puts a tone of so many milliseconds into the station's folder.
    pub(crate) fn tone(&self, path: &str, hertz: u32, millis: u32) {
        fs::write(self.path().join(path), wav(hertz, millis)).unwrap();
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ipfs-radio"));
        command.arg("--dir").arg(self.path()).args(arguments).stdin(Stdio::null());
        command
    }

    /// Every file with the time of its last change.
    pub(crate) fn files(&self) -> BTreeMap<PathBuf, SystemTime> {
        let mut files = BTreeMap::new();
        let mut folders = vec![self.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let changed = path.metadata().unwrap().modified().unwrap();
                    files.insert(path, changed);
                }
            }
        }
        files
    }

    /// Runs a command to its end.
    pub(crate) fn call(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Sources must have settled for two seconds before setup takes them, so their times are put back.
    pub(crate) fn let_settle(&self) {
        for folder in ["music", "jingles"] {
            for entry in fs::read_dir(self.path().join(folder)).unwrap() {
                let file = fs::File::options().append(true).open(entry.unwrap().path()).unwrap();
                let before = file.metadata().unwrap().modified().unwrap() - Duration::from_secs(60);
                file.set_modified(before).unwrap();
            }
        }
    }

    /// Runs setup, which must do well.
    pub(crate) fn set_up(&self) {
        self.let_settle();
        let output = self.call(&["setup"]);
        assert!(output.status.success(), "{output:?}");
    }

    /// Keeps the generator from rendering, and with it from the processor, as long as the lock is held.
    pub(crate) fn without_generator(&self) -> Lock {
        let layout = Layout::new(self.path());
        layout.create_state().unwrap();
        fs::create_dir_all(layout.generated().root()).unwrap();
        Lock::take(&layout.generated().lock()).unwrap()
    }

    /// Goes on air with what is in `processed/`; a mirror begins to follow.
    pub(crate) fn run(&mut self) {
        let arguments = self.arguments.clone();
        self.start(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    }

    /// Starts the station; what it says goes into a file.
    pub(crate) fn start(&mut self, arguments: &[&str]) {
        let log = fs::File::options().create(true).append(true).open(self.path().join(LOG)).unwrap();
        self.start_telling(arguments, log);
    }

    /// The same; what it says goes there.
    pub(crate) fn start_telling(&mut self, arguments: &[&str], log: fs::File) {
        self.begin(self.command(arguments), log);
    }

    /// Starts the station as `nohup` does it: it is to outlive its terminal.
    pub(crate) fn start_to_outlive(&mut self, arguments: &[&str]) {
        let log = fs::File::options().create(true).append(true).open(self.path().join(LOG)).unwrap();
        let plain = self.command(arguments);
        let mut command = Command::new("nohup");
        command.arg(plain.get_program()).args(plain.get_args()).stdin(Stdio::null());
        self.begin(command, log);
    }

    fn begin(&mut self, mut command: Command, log: fs::File) {
        let child = command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        self.running = Some(child);
    }

    /// What the station has said so far.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(self.path().join(LOG)).unwrap()
    }

    /// The station's process and its children.
    pub(crate) fn processes(&self) -> Vec<i32> {
        let pid = i32::try_from(self.running.as_ref().unwrap().id()).unwrap();
        let mut processes = vec![pid];
        for task in fs::read_dir(format!("/proc/{pid}/task")).unwrap() {
            let children = fs::read_to_string(task.unwrap().path().join("children")).unwrap_or_default();
            processes.extend(children.split_whitespace().map(|child| child.parse::<i32>().unwrap()));
        }
        processes
    }

    /// Ends it as a power cut would end the process.
    pub(crate) fn kill(&mut self) {
        let mut child = self.running.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Ends it as an operator would, which must not take longer than the five seconds a stop has. Gives the exit code.
    pub(crate) fn stop(&mut self) -> Option<i32> {
        self.send(Signal::TERM);
        self.ended()
    }

    /// Sends it a signal.
    pub(crate) fn send(&self, signal: Signal) {
        let pid = Pid::from_child(self.running.as_ref().unwrap());
        kill_process(pid, signal).unwrap();
    }

    /// Waits until it has ended. Gives the exit code.
    pub(crate) fn ended(&mut self) -> Option<i32> {
        let child = self.running.as_mut().unwrap();
        for _ in 0..STOP_TRIES {
            if let Some(status) = child.try_wait().unwrap() {
                self.running = None;
                return status.code();
            }
            thread::sleep(BETWEEN);
        }
        panic!("it does not stop");
    }

    /// One request to the listener port; `None` while nobody answers or the answer is not 200.
    pub(crate) fn get(&self, path: &str) -> Option<String> {
        self.get_bytes(path).map(|body| String::from_utf8_lossy(&body).into_owned())
    }

    /// As [`Station::get`], for what is no text.
    pub(crate) fn get_bytes(&self, path: &str) -> Option<Vec<u8>> {
        let (head, body) = self.ask(path)?;
        head.starts_with(b"HTTP/1.1 200").then_some(body)
    }

    /// The words of an answer, whatever it is.
    pub(crate) fn words(&self, path: &str) -> Option<String> {
        self.ask(path).map(|(_, body)| String::from_utf8_lossy(&body).into_owned())
    }

    /// Head and body of an answer.
    fn ask(&self, path: &str) -> Option<(Vec<u8>, Vec<u8>)> {
        let mut socket = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        write!(socket, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).ok()?;
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
        let body = answer.split_off(end + 4);
        Some((answer, body))
    }

    /// What the station says of itself, once it is on air.
    pub(crate) fn status(&self) -> Option<serde_json::Value> {
        serde_json::from_str(&self.get("/status.json")?).ok()
    }

    /// The live list, if there is one.
    pub(crate) fn list(&self) -> Option<List> {
        let status = self.status()?;
        let text = self.get(&format!("/ipns/{}", status["stream"].as_str()?))?;
        Some(List::read(&text))
    }

    /// The coarse list, if there is one.
    pub(crate) fn coarse_list(&self) -> Option<List> {
        let status: serde_json::Value = serde_json::from_str(&self.get("/status.json")?).ok()?;
        let text = self.get(&format!("/ipns/{}/live-60.m3u8", status["station"].as_str()?))?;
        Some(List::read(&text))
    }

    /// Waits until `wanted` gives something.
    pub(crate) fn wait<T>(&self, what: &str, mut wanted: impl FnMut(&Self) -> Option<T>) -> T {
        for _ in 0..TRIES {
            if let Some(found) = wanted(self) {
                return found;
            }
            thread::sleep(BETWEEN);
        }
        panic!("waited in vain for {what}");
    }
}

impl Drop for Station {
    fn drop(&mut self) {
        if let Some(child) = &mut self.running {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A live list, read for comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct List {
    pub(crate) text: String,
    pub(crate) first: u64,
    /// Media sequence → date, duration, title and URI.
    pub(crate) segments: BTreeMap<u64, Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) disc: bool,
    pub(crate) date: String,
    pub(crate) title: String,
    pub(crate) uri: String,
}

impl List {
    pub(crate) fn read(text: &str) -> Self {
        let mut first = 0;
        let mut segments = BTreeMap::new();
        let mut entry = Entry { disc: false, date: String::new(), title: String::new(), uri: String::new() };
        for line in text.lines() {
            if let Some(number) = line.strip_prefix("#EXT-X-MEDIA-SEQUENCE:") {
                first = number.parse().unwrap();
            } else if line == "#EXT-X-DISCONTINUITY" {
                entry.disc = true;
            } else if let Some(date) = line.strip_prefix("#EXT-X-PROGRAM-DATE-TIME:") {
                entry.date = date.to_owned();
            } else if let Some(title) = line.strip_prefix("#EXTINF:") {
                entry.title = title.to_owned();
            } else if line.starts_with('/') {
                entry.uri = line.to_owned();
                segments.insert(first + segments.len() as u64, entry.clone());
                entry.disc = false;
            }
        }
        Self { text: text.to_owned(), first, segments }
    }

    pub(crate) fn last(&self) -> u64 {
        self.first + self.segments.len() as u64 - 1
    }
}

/// 16-bit mono PCM at 44.1 kHz: a tone that has no silence.
fn wav(hertz: u32, millis: u32) -> Vec<u8> {
    let count = (44_100 * u64::from(millis) / 1_000) as u32;
    let mut bytes = Vec::new();
    bytes.extend_from_slice(b"RIFF");
    bytes.extend_from_slice(&(36 + count * 2).to_le_bytes());
    bytes.extend_from_slice(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    bytes.extend_from_slice(&44_100_u32.to_le_bytes());
    bytes.extend_from_slice(&88_200_u32.to_le_bytes());
    bytes.extend_from_slice(b"\x02\0\x10\0data");
    bytes.extend_from_slice(&(count * 2).to_le_bytes());
    for n in 0..count {
        let phase = f64::from(n) * f64::from(hertz) / 44_100.0 * std::f64::consts::TAU;
        bytes.extend_from_slice(&((phase.sin() * 8_000.0) as i16).to_le_bytes());
    }
    bytes
}
