//! The days that are there: one folder each, named `2026.11.24`.

use super::day::Day;
use super::layout::Layout;
use super::trouble::{Trouble, guarded};
use chrono::NaiveDate;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

/// How a day's folder is named.
const NAME: &str = "%Y.%m.%d";
/// A folder that begins so is on its way out.
const DROPPED: &str = ".dropped-";

/// A folder of the shelf.
#[derive(Clone)]
enum Slot {
    Whole(Arc<Day>),
    /// It cannot be opened; the rest goes on without it.
    Damaged,
}

/// All days, by date.
pub(super) struct Shelf {
    root: PathBuf,
    pub(super) layout: Layout,
    days: RwLock<BTreeMap<NaiveDate, Slot>>,
}

impl Shelf {
    /// Opens what `root` holds. Other files and folders in it are left alone.
    pub(super) fn open(root: &Path) -> Result<Self, Trouble> {
        fs::create_dir_all(root)?;
        let shelf = Self { root: root.to_owned(), layout: Layout::new(), days: RwLock::default() };
        for entry in fs::read_dir(root)? {
            let name = entry?.file_name();
            let Some(name) = name.to_str() else { continue };
            if name.starts_with(DROPPED) {
                fs::remove_dir_all(root.join(name))?;
            } else if let Some(date) = date_of(name) {
                shelf.put(date);
            }
        }
        Ok(shelf)
    }

    /// Opens the day's folder and puts what came of it on the shelf.
    fn put(&self, date: NaiveDate) -> Slot {
        let folder = self.folder(date);
        let opened = guarded(|| Day::open(&folder, date, &self.layout));
        let slot = opened.map_or_else(
            |error| {
                let folder = folder.display();
                tracing::error!(%folder, %error, "a day of the search index is damaged; move its folder away");
                Slot::Damaged
            },
            |day| Slot::Whole(Arc::new(day)),
        );
        self.days.write().unwrap_or_else(PoisonError::into_inner).insert(date, slot.clone());
        slot
    }

    fn folder(&self, date: NaiveDate) -> PathBuf {
        self.root.join(date.format(NAME).to_string())
    }

    fn slots(&self) -> BTreeMap<NaiveDate, Slot> {
        self.days.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The days that can be read, the newest first, and the dates of those that cannot.
    pub(super) fn days(&self) -> (Vec<Arc<Day>>, Vec<NaiveDate>) {
        let (mut whole, mut damaged) = (Vec::new(), Vec::new());
        for (date, slot) in self.slots().into_iter().rev() {
            match slot {
                Slot::Whole(day) => whole.push(day),
                Slot::Damaged => damaged.push(date),
            }
        }
        (whole, damaged)
    }

    /// The day, to be written to; a new one gets its folder, a damaged one another chance.
    pub(super) fn for_writing(&self, date: NaiveDate) -> Result<Arc<Day>, Trouble> {
        if let Some(Slot::Whole(day)) = self.slots().get(&date)
            && day.folder.is_dir()
        {
            return Ok(Arc::clone(day));
        }
        let folder = self.folder(date);
        fs::create_dir_all(&folder)?;
        File::open(&self.root)?.sync_all()?;
        match self.put(date) {
            Slot::Whole(day) => Ok(day),
            Slot::Damaged => Err(Trouble::Unusable(format!("{} is damaged; move the folder away", folder.display()))),
        }
    }

    /// Takes the days before `oldest` from the shelf and deletes their folders. A deletion that is cut off is finished by
    /// the next [`Shelf::open`].
    pub(super) fn drop_before(&self, oldest: NaiveDate) -> Result<Vec<NaiveDate>, Trouble> {
        let dates: Vec<_> = self.slots().into_keys().filter(|date| *date < oldest).collect();
        for date in &dates {
            let dropped = self.root.join(format!("{DROPPED}{}", date.format(NAME)));
            match fs::rename(self.folder(*date), &dropped) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
                Err(_) => {}
                Ok(()) => fs::remove_dir_all(&dropped)?,
            }
            self.days.write().unwrap_or_else(PoisonError::into_inner).remove(date);
        }
        Ok(dates)
    }

    /// Whether the folder can be read.
    pub(super) fn ping(&self) -> Result<(), Trouble> {
        fs::read_dir(&self.root)?;
        Ok(())
    }
}

/// Only names that are written exactly as we write them.
fn date_of(name: &str) -> Option<NaiveDate> {
    NaiveDate::parse_from_str(name, NAME).ok().filter(|date| date.format(NAME).to_string() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_names_are_days() {
        assert_eq!(date_of("2026.11.24"), NaiveDate::from_ymd_opt(2026, 11, 24));
        for name in ["2026.11.4", "2026-11-24", "2026.13.01", "2026.11.24.bak", ".lock", ""] {
            assert_eq!(date_of(name), None, "{name}");
        }
    }
}
