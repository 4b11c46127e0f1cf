//! Room on the disk: when the reserve is given up, when it is laid again, and what is said of it.
//!
//! A file of some size, the ballast, takes room that nobody else can then take. When the disk is full it is removed, and
//! the station goes on with that room for about an hour, in which somebody can see to the disk. Meanwhile it lets go of
//! all blocks that it need not keep.

use super::retention::Keep;

/// The size of the ballast.
pub const BALLAST_BYTES: u64 = 64 << 20;
/// With less free than this there is no room.
pub const LOW_BYTES: u64 = 32 << 20;
/// With so much free beside the ballast, or before it is laid, there is room again.
pub const AMPLE_BYTES: u64 = BALLAST_BYTES + 2 * LOW_BYTES;

/// What a look at the disk has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// Bytes that this process may still take.
    pub free_bytes: u64,
    /// Whether there are names left for files.
    pub names_left: bool,
    /// Whether the ballast lies there.
    pub laid: bool,
}

/// What is to be done with the ballast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// It stays as it is.
    Leave,
    /// Lay it.
    Lay,
    /// Give it up.
    Release,
}

/// How it stands with the room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Room {
    short: bool,
}

impl Room {
    /// Takes a look. Says what is to be done.
    pub const fn look(&mut self, look: Look) -> Act {
        let ample = look.names_left && look.free_bytes >= AMPLE_BYTES;
        if !look.names_left || look.free_bytes < LOW_BYTES {
            self.short = true;
        } else if ample || look.laid {
            self.short = false;
        }
        match (self.short, look.laid) {
            (true, true) => Act::Release,
            (false, false) if ample => Act::Lay,
            _ => Act::Leave,
        }
    }

    /// Whether no more than must be kept has room.
    pub const fn is_short(self) -> bool {
        self.short
    }

    /// What is wrong, if anything is, with the folder called `dir`. The words change only when it has become much better or
    /// worse.
    pub fn words(self, look: Look, keep: Keep, dir: &str) -> Option<String> {
        if !look.names_left {
            return Some(format!("the file system of {dir} has no room for another file; remove some"));
        }
        if look.laid && !self.short {
            return None;
        }
        if !self.short {
            let wanted = AMPLE_BYTES >> 20;
            return Some(format!(
                "too little is free in {dir} for a reserve of {} MiB; free up space until {wanted} MiB are free",
                BALLAST_BYTES >> 20
            ));
        }
        // Rounded up to a power of two, so that it is not another word at each look.
        let free = (look.free_bytes >> 20).next_power_of_two().max(4);
        let [least, usual] = [keep.least, keep.usual].map(|kept| kept.0.div_ceil(3_600_000_000));
        Some(format!(
            "full: less than {free} MiB are free in {dir}, and the reserve is given up; what has aired is kept for {least} h \
             instead of {usual} h; free up space until {} MiB are free; meanwhile no music is added, and what the disk refuses is \
             held in memory",
            AMPLE_BYTES >> 20
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::radio::time::Span;

    const KEEP: Keep = Keep { least: Span::seconds(11_400), usual: Span::seconds(86_400) };

    /// A disk on which somebody else takes and gives room.
    struct Disk {
        room: Room,
        free: u64,
        laid: bool,
    }

    impl Disk {
        fn look(&mut self) -> Act {
            let act = self.room.look(self.seen());
            match act {
                Act::Leave => {}
                Act::Lay => (self.laid, self.free) = (true, self.free - BALLAST_BYTES),
                Act::Release => (self.laid, self.free) = (false, self.free + BALLAST_BYTES),
            }
            act
        }

        const fn seen(&self) -> Look {
            Look { free_bytes: self.free, names_left: true, laid: self.laid }
        }

        fn words(&self) -> String {
            self.room.words(self.seen(), KEEP, "state").unwrap_or_default()
        }
    }

    #[test]
    fn the_ballast_is_given_up_when_the_disk_is_full_and_laid_when_it_is_not() {
        let mut disk = Disk { room: Room::default(), free: 1 << 30, laid: false };
        assert_eq!((disk.look(), disk.look(), disk.words()), (Act::Lay, Act::Leave, String::new()));
        disk.free = LOW_BYTES;
        assert_eq!(disk.look(), Act::Leave);
        disk.free = 0;
        assert_eq!((disk.look(), disk.look()), (Act::Release, Act::Leave));
        assert!(disk.room.is_short());
        let told = disk.words();
        assert!(told.contains("full: less than 64 MiB") && told.contains("4 h instead of 24 h"), "{told}");
        assert!(told.contains("until 128 MiB"), "{told}");
        // The room that it gave is no reason to lay it again, nor to keep more.
        disk.free = AMPLE_BYTES - 1;
        assert_eq!((disk.look(), disk.room.is_short()), (Act::Leave, true));
        disk.free = AMPLE_BYTES;
        assert_eq!((disk.look(), disk.look(), disk.words()), (Act::Lay, Act::Leave, String::new()));
        assert!(!disk.room.is_short() && disk.free >= LOW_BYTES);
    }

    #[test]
    fn a_small_disk_has_no_reserve_and_says_so() {
        let mut disk = Disk { room: Room::default(), free: AMPLE_BYTES - 1, laid: false };
        assert_eq!((disk.look(), disk.room.is_short()), (Act::Leave, false));
        assert!(disk.words().contains("too little is free in state for a reserve of 64 MiB"), "{}", disk.words());
        assert!(disk.words().ends_with("until 128 MiB are free"), "{}", disk.words());
    }

    #[test]
    fn a_disk_without_names_for_files_is_full() {
        let mut room = Room::default();
        let look = Look { free_bytes: 1 << 40, names_left: false, laid: true };
        assert_eq!((room.look(look), room.is_short()), (Act::Release, true));
        assert!(room.words(look, KEEP, "state").unwrap().contains("no room for another file"));
    }
}
