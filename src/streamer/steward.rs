//! Sees to the room on the disk: holds a reserve, gives it up when the disk is full, and lets what has aired go sooner.

use std::time::Duration;

use tokio::time;
use tokio_util::sync::CancellationToken;

use super::{notes::Notes, shelf::Shelf, tasks::blocking};
use crate::{
    disk::{Ballast, Error, Layout},
    radio::room::{Act, Look, Room},
};

/// How often the disk is looked at even though it has refused nothing.
const EVERY: Duration = Duration::from_secs(5);
/// After a refusal it is looked at again no sooner: what is refused is tried again and again.
const PAUSE: Duration = Duration::from_millis(500);

/// What the steward works with.
#[derive(Debug)]
pub(super) struct Steward {
    ballast: Ballast,
    /// What the folder is called.
    dir: String,
    shelf: Shelf,
    notes: Notes,
    room: Room,
}

impl Steward {
    pub(super) fn new(layout: &Layout, shelf: Shelf, notes: Notes) -> Self {
        let (ballast, dir) = (Ballast::new(layout.ballast()), layout.state().display().to_string());
        Self { ballast, dir, shelf, notes, room: Room::default() }
    }

    /// Runs until `stop`.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        loop {
            self.look().await;
            tokio::select! {
                () = stop.cancelled() => return,
                () = async {
                    let _ = time::timeout(EVERY, self.shelf.refused()).await;
                    time::sleep(PAUSE).await;
                } => {}
            }
        }
    }

    async fn look(&mut self) {
        match self.shelf.in_memory() {
            Some(refusal) => self.notes.raise("memory", refusal.to_string()),
            None => self.notes.clear("memory"),
        }
        let (ballast, mut room) = (self.ballast.clone(), self.room);
        match blocking(move || see_to(&ballast, &mut room).map(|look| (look, room))).await {
            Some(Ok((look, room))) => {
                if room.is_short() != self.room.is_short() {
                    self.shelf.set_short(room.is_short()).await;
                }
                self.room = room;
                match room.words(look, self.shelf.keeps(), &self.dir) {
                    Some(words) => self.notes.raise("disk", words),
                    None => self.notes.clear("disk"),
                }
            }
            Some(Err(error)) => self.notes.raise("disk", error.to_string()),
            None => {}
        }
    }
}

/// Looks, and does with the ballast what is to be done. Gives what there is then. Blocking.
fn see_to(ballast: &Ballast, room: &mut Room) -> Result<Look, Error> {
    let look = ballast.look()?;
    match room.look(look) {
        Act::Leave => return Ok(look),
        Act::Lay => ballast.lay()?,
        Act::Release => ballast.release()?,
    }
    ballast.look()
}
