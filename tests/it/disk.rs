//! What a station does with the disk it lives on, and with a state that is not the last one.

use std::{fs, path::Path};

use crate::{
    air::{furnished, with_music},
    mirror::Dht,
    station::Station,
};

fn health(station: &Station) -> Option<String> {
    Some(station.status()?["health"].as_str()?.to_owned())
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn a_reserve_lies_beside_the_state_and_is_laid_again() {
    let mut station = with_music();
    station.run();
    let ballast = station.path().join("state/ballast");
    let is_laid = |_: &Station| (fs::metadata(&ballast).ok()?.len() == 64 << 20).then_some(());
    station.wait("the reserve", is_laid);
    fs::write(&ballast, "somebody was here").unwrap();
    station.wait("the reserve again", is_laid);
    station.wait("health to be well", |station| {
        (!health(station)?.split("; ").any(|line| line.starts_with("disk: "))).then_some(())
    });
    assert_eq!(station.stop(), Some(0));
}

#[test]
fn a_state_from_a_backup_takes_back_no_number_that_others_have_seen() {
    let dht = Dht::start();
    let mut station = furnished(Station::among(6, 4, &[&dht.address]));
    station.run();
    station.wait("a list", Station::list);
    assert_eq!(station.stop(), Some(0));
    let (state, backup) = (station.path().join("state"), station.path().join("backup"));
    copy(&state, &backup);

    station.run();
    let begun = station.wait("a list", Station::list);
    station.wait("others to know of a later one", |station| {
        let behind = station.list()?.first > begun.last();
        let seen = station.status()?["network"]["stream"]["published"].as_u64().is_some();
        (behind && seen).then_some(())
    });
    let last = station.list().unwrap();
    assert_eq!(station.stop(), Some(0));
    fs::remove_dir_all(&state).unwrap();
    fs::rename(&backup, &state).unwrap();

    station.run();
    let list = station.wait("a list", Station::list);
    assert!(list.first > last.last(), "numbers were given twice: {} after {}", list.first, last.last());
    let told = health(&station).unwrap();
    assert!(told.contains("from an old backup") && told.contains("ledger.damaged-"), "{told}");
    assert_eq!(station.call(&["receipts", "verify"]).status.code(), Some(0));

    // Without a ledger it is the same, and that is said as well.
    assert_eq!(station.stop(), Some(0));
    fs::remove_dir_all(state.join("ledger")).unwrap();
    station.run();
    let again = station.wait("a list", Station::list);
    assert!(again.first > list.last(), "numbers were given twice: {} after {}", again.first, list.last());
    let told = health(&station).unwrap();
    assert!(told.contains("there is no ledger of it"), "{told}");
    assert_eq!(station.stop(), Some(0));
}
