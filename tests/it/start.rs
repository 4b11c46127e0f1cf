//! Starting and stopping: what is refused, in which words, and what a signal does.

use std::{fs, net::TcpListener};

use rustix::process::{Pid, Signal, kill_process};

use crate::{air::with_music, station::Station};

#[test]
fn what_cannot_work_is_refused_where_it_stands_before_anything_is_made() {
    let peer = |list: &str| ("streaming.toml", format!("[peer]\n{list}\n").into_bytes());
    let setup = |text: &str| ("setup.toml", text.as_bytes().to_vec());
    for ((file, text), place) in [
        (peer("listen = [\"/ip4/127.0.0.1/tcp/0\", \"/bogus\"]"), "streaming.toml:2:35: "),
        (peer("bootstrap = [\"/ip4/1.2.3.4/tcp/4001/p2p/nobody\"]"), "streaming.toml:2:14: "),
        (setup("[audio]\nchannels = 1\nbitrates = [128000, 320000]\n"), "setup.toml:3:21: "),
        (("setup.toml", b"source = \"a\"\n# \xc3\xbc \xff\n".to_vec()), "setup.toml:2:5: "),
    ] {
        let station = Station::new(6, 4);
        fs::write(station.path().join(file), text).unwrap();
        let output = station.call(&["run", "--no-setup"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(78), "{said}");
        assert!(said.contains(place) && said.contains('^'), "{said}");
        assert!(!station.path().join("state").exists(), "{said}");
    }
}

#[test]
fn a_port_that_is_taken_is_told_once() {
    let station = with_music();
    let _taken = TcpListener::bind(("127.0.0.1", station.port)).unwrap();
    let output = station.call(&["run", "--no-setup"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(said.contains("http.listen") && said.matches("in use").count() == 1, "{said}");
}

#[test]
fn setup_that_has_no_place_for_what_it_makes_says_so_and_ends_with_the_code_of_a_disk() {
    let station = with_music();
    let processed = station.path().join("processed");
    let _ = fs::remove_dir_all(&processed);
    fs::write(&processed, "a file where a folder belongs").unwrap();
    let output = station.call(&["setup"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(said.contains("processed"), "{said}");
    assert_eq!(fs::read_to_string(&processed).unwrap(), "a file where a folder belongs");
}

#[test]
fn a_signal_right_after_the_start_is_a_clean_stop() {
    for command in [&["run", "--no-setup"][..], &["run"], &["setup"]] {
        let mut station = Station::new(6, 4);
        station.start(command);
        // Signals are caught before anything is made, so whoever sees `state/` may send one.
        let made = station.path().join("state");
        while !made.exists() {
            std::thread::yield_now();
        }
        let stopped = station.stop();
        let clean = if command[0] == "setup" { [Some(1), Some(0)] } else { [Some(0), Some(0)] };
        assert!(clean.contains(&stopped), "{command:?}: {stopped:?}");
    }
}

#[test]
fn a_log_in_a_file_is_plain_text_and_without_setup_its_state_is_off() {
    let mut station = with_music();
    let _lock = station.without_generator();
    station.start(&["-vv", "run", "--no-setup"]);
    let status = station.wait("the generator to have failed", |station| {
        let status = station.status()?;
        status["health"].as_str()?.contains("built-in pieces").then_some(status)
    });
    assert_eq!(status["setup"]["state"], "off");
    assert_eq!(station.stop(), Some(0));
    let said = station.said();
    assert!(said.contains("order accepted"), "{said}");
    assert!(!said.contains('\u{1b}'), "{said}");
}

#[test]
fn a_stop_does_not_wait_for_an_encode() {
    let mut station = with_music();
    let _lock = station.without_generator();
    station.tone("music/long.wav", 220, 900_000);
    station.let_settle();
    station.start(&["run"]);
    station.wait("the long one to be encoded", |station| {
        let setup = &station.status()?["setup"];
        (setup["state"] == "running" && setup["done"] == 4 && setup["total"] == 5).then_some(())
    });
    let children = station.processes();
    assert_eq!(children.len(), 2, "the station and its setup");
    assert_eq!(station.stop(), Some(0));
    for pid in children {
        let gone = |pid| kill_process(Pid::from_raw(pid).unwrap(), Signal::CONT).is_err();
        station.wait("setup to be gone", |_| gone(pid).then_some(()));
    }
}
