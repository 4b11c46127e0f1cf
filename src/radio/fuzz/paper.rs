//! A ledger's folder in memory, on which nothing fails.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use crate::radio::ledger::volume::{Fault, File, Volume};

type Files = BTreeMap<String, Vec<u8>>;

/// The folder. All clones are one.
#[derive(Clone, Debug, Default)]
pub(super) struct Paper(Arc<Mutex<Files>>);

#[derive(Debug)]
struct Sheet(Paper, String);

impl Paper {
    pub(super) fn of(files: Files) -> Self {
        Self(Arc::new(Mutex::new(files)))
    }

    pub(super) fn files(&self) -> Files {
        self.with(|files| files.clone())
    }

    fn with<T>(&self, work: impl FnOnce(&mut Files) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn sheet(&self, name: &str) -> Box<dyn File> {
        Box::new(Sheet(self.clone(), name.to_owned()))
    }
}

impl Volume for Paper {
    fn make(&self) -> Result<(), Fault> {
        Ok(())
    }

    fn list(&self) -> Result<Vec<String>, Fault> {
        Ok(self.with(|files| files.keys().cloned().collect()))
    }

    fn read(&self, name: &str, limit: u64) -> Result<Vec<u8>, Fault> {
        let text = self.with(|files| files.get(name).cloned()).ok_or("no such file")?;
        Ok(text[..text.len().min(limit as usize)].to_vec())
    }

    fn create(&self, name: &str) -> Result<Box<dyn File>, Fault> {
        self.with(|files| files.insert(name.to_owned(), Vec::new()));
        Ok(self.sheet(name))
    }

    fn open(&self, name: &str) -> Result<Box<dyn File>, Fault> {
        Ok(self.sheet(name))
    }

    fn remove(&self, name: &str) -> Result<(), Fault> {
        self.with(|files| drop(files.remove(name)));
        Ok(())
    }

    fn protect(&self, _: &str) -> Result<(), Fault> {
        Ok(())
    }

    fn sync(&self) -> Result<(), Fault> {
        Ok(())
    }

    fn set_aside(&self, name: &str) -> Result<PathBuf, Fault> {
        self.with(Files::clear);
        Ok(name.into())
    }

    fn asides(&self) -> Result<Vec<Box<dyn Volume>>, Fault> {
        Ok(Vec::new())
    }

    fn path(&self, name: &str) -> PathBuf {
        PathBuf::from("ledger").join(name)
    }

    fn warn(&self, _: &str) {}
}

impl File for Sheet {
    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<(), Fault> {
        self.0.with(|files| {
            let (text, offset) = (files.entry(self.1.clone()).or_default(), offset as usize);
            text.resize(text.len().max(offset + bytes.len()), 0);
            text[offset..offset + bytes.len()].copy_from_slice(bytes);
        });
        Ok(())
    }

    fn set_len(&self, bytes: u64) -> Result<(), Fault> {
        self.0.with(|files| files.entry(self.1.clone()).or_default().resize(bytes as usize, 0));
        Ok(())
    }

    fn allocate(&self, _: u64) {}

    fn sync_data(&self) -> Result<(), Fault> {
        Ok(())
    }

    fn sync_all(&self) -> Result<(), Fault> {
        Ok(())
    }
}
