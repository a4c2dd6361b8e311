//! A disk in memory that separates written from durable data, fails on demand, and can lose power. A power
//! cut keeps any subset of the sectors written since the last sync, and any prefix of the name changes since
//! the last sync of the folder.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use parking_lot::Mutex;
use waypost::log::local::disk::{Disk, DiskFile};

/// The unit that a power cut keeps or loses as a whole.
const SECTOR: usize = 512;

#[derive(Debug, Clone)]
enum Write {
    Bytes { offset: usize, bytes: Vec<u8> },
    Size(usize),
}

#[derive(Debug, Clone, Default)]
struct File {
    live: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Write>,
}

#[derive(Debug, Clone)]
enum Naming {
    Set(String, usize),
    Remove(String),
}

/// When the disk fails. Operations are counted from 1 over the life of the disk.
#[derive(Debug, Clone, Default)]
pub(crate) struct Plan {
    /// Power fails at this sync, before it takes effect.
    pub(crate) cut_at_sync: Option<u64>,
    /// Power fails, or the process is killed, at this change of a file or a name.
    pub(crate) cut_at_change: Option<u64>,
    /// These syncs fail, once each.
    pub(crate) fail_syncs: Vec<u64>,
    /// This write fails with this error number of the system, after half of its bytes.
    pub(crate) fail_write: Option<(u64, i32)>,
    /// These bytes of a file are missing at their first read.
    pub(crate) late: Option<Range<usize>>,
}

#[derive(Debug, Default)]
struct State {
    files: Vec<File>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    namings: Vec<Naming>,
    plan: Plan,
    syncs: u64,
    writes: u64,
    changes: u64,
    off: bool,
}

/// A folder in memory.
#[derive(Debug, Default, Clone)]
pub(crate) struct SimDisk(Arc<Mutex<State>>);

#[derive(Debug)]
struct SimFile {
    state: Arc<Mutex<State>>,
    index: usize,
}

/// A small random generator, so that its seed reproduces a test.
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % (bound.max(1) as u64)).expect("below a usize")
    }
}

fn power_off() -> io::Error {
    io::Error::other("the power is off")
}

fn apply(bytes: &mut Vec<u8>, write: &Write) {
    match write {
        Write::Bytes { offset, bytes: new } => {
            bytes.resize(bytes.len().max(offset + new.len()), 0);
            bytes[*offset..offset + new.len()].copy_from_slice(new);
        }
        Write::Size(size) => bytes.resize(*size, 0),
    }
}

impl SimDisk {
    /// Sets the failures to come.
    pub(crate) fn plan(&self, plan: Plan) {
        self.0.lock().plan = plan;
    }

    /// Blocks the disk while `body` runs.
    pub(crate) fn stall<T>(&self, body: impl FnOnce() -> T) -> T {
        let _stalled = self.0.lock();
        body()
    }

    /// Returns the number of syncs requested so far.
    pub(crate) fn syncs(&self) -> u64 {
        self.0.lock().syncs
    }

    /// Returns the number of changes of files and names requested so far.
    pub(crate) fn changes(&self) -> u64 {
        self.0.lock().changes
    }

    /// Returns the number of writes requested so far.
    pub(crate) fn writes(&self) -> u64 {
        self.0.lock().writes
    }

    /// Returns the disk as another process finds it after a kill: written data survives.
    pub(crate) fn copy(&self) -> SimDisk {
        let state = self.0.lock();
        SimDisk(Arc::new(Mutex::new(State {
            files: state.files.clone(),
            names: state.names.clone(),
            durable_names: state.durable_names.clone(),
            namings: state.namings.clone(),
            ..State::default()
        })))
    }

    /// Returns the disk as it is after a power cut.
    pub(crate) fn after_power_cut(&self, chance: &mut Chance) -> SimDisk {
        let state = self.0.lock();
        let mut names = state.durable_names.clone();
        let kept = chance.below(state.namings.len() + 1);
        for naming in &state.namings[..kept] {
            rename(&mut names, naming);
        }
        let files = state.files.iter().map(|file| {
            let mut bytes = file.durable.clone();
            for write in &file.pending {
                match write {
                    Write::Bytes { offset, bytes: new } => {
                        for (index, sector) in new.chunks(SECTOR).enumerate() {
                            if chance.below(2) == 0 {
                                let offset = offset + index * SECTOR;
                                apply(&mut bytes, &Write::Bytes { offset, bytes: sector.to_vec() });
                            }
                        }
                    }
                    Write::Size(_) if chance.below(2) == 0 => apply(&mut bytes, write),
                    Write::Size(_) => {}
                }
            }
            File { live: bytes.clone(), durable: bytes, pending: Vec::new() }
        });
        let files = files.collect();
        let durable_names = names.clone();
        SimDisk(Arc::new(Mutex::new(State { files, names, durable_names, ..State::default() })))
    }

    /// Returns names and sizes.
    pub(crate) fn files(&self) -> Vec<(String, usize)> {
        let state = self.0.lock();
        state.names.iter().map(|(name, index)| (name.clone(), state.files[*index].live.len())).collect()
    }

    /// Changes a file without the log's knowledge.
    pub(crate) fn damage(&self, name: &str, harm: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.0.lock();
        let index = state.names[name];
        let file = &mut state.files[index];
        harm(&mut file.live);
        file.durable = file.live.clone();
        file.pending.clear();
    }

    /// Removes a file without the log's knowledge.
    pub(crate) fn lose(&self, name: &str) {
        let mut state = self.0.lock();
        state.names.remove(name);
        state.durable_names.remove(name);
    }
}

fn rename(names: &mut BTreeMap<String, usize>, naming: &Naming) {
    match naming {
        Naming::Set(name, index) => {
            names.retain(|_, i| i != index);
            names.insert(name.clone(), *index);
        }
        Naming::Remove(name) => {
            names.remove(name);
        }
    }
}

impl State {
    fn on(&self) -> io::Result<()> {
        if self.off { Err(power_off()) } else { Ok(()) }
    }

    /// Like [`State::on`], before a change.
    fn change(&mut self) -> io::Result<()> {
        self.on()?;
        self.changes += 1;
        self.off = self.plan.cut_at_change == Some(self.changes);
        self.on()
    }

    fn name(&mut self, naming: Naming) {
        rename(&mut self.names, &naming);
        self.namings.push(naming);
    }

    fn sync(&mut self) -> io::Result<()> {
        self.change()?;
        self.syncs += 1;
        if self.plan.cut_at_sync == Some(self.syncs) {
            self.off = true;
            return Err(power_off());
        }
        if self.plan.fail_syncs.contains(&self.syncs) {
            return Err(io::Error::from_raw_os_error(rustix::io::Errno::IO.raw_os_error()));
        }
        Ok(())
    }
}

impl Disk for SimDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        let state = self.0.lock();
        state.on()?;
        Ok(state.names.keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.0.lock();
        state.change()?;
        state.files.push(File::default());
        let index = state.files.len() - 1;
        state.name(Naming::Set(name.to_owned(), index));
        Ok(Arc::new(SimFile { state: Arc::clone(&self.0), index }))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let state = self.0.lock();
        state.on()?;
        let index = *state.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(SimFile { state: Arc::clone(&self.0), index }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.0.lock();
        state.change()?;
        let index = *state.names.get(from).ok_or(io::ErrorKind::NotFound)?;
        state.name(Naming::Set(to.to_owned(), index));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.0.lock();
        state.change()?;
        if !state.names.contains_key(name) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.name(Naming::Remove(name.to_owned()));
        Ok(())
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut state = self.0.lock();
        state.sync()?;
        state.durable_names = state.names.clone();
        state.namings.clear();
        Ok(())
    }

    fn path(&self, name: &str) -> String {
        format!("log/{name}")
    }
}

impl DiskFile for SimFile {
    fn size(&self) -> io::Result<u64> {
        let state = self.state.lock();
        state.on()?;
        Ok(state.files[self.index].live.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut state = self.state.lock();
        state.on()?;
        let live = &state.files[self.index].live;
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(live.len());
        let read = buffer.len().min(live.len() - from);
        buffer[..read].copy_from_slice(&live[from..from + read]);
        let is_read = |late: &mut Range<usize>| from <= late.start && late.end <= from + read;
        if let Some(late) = state.plan.late.take_if(is_read) {
            buffer[late.start - from..late.end - from].fill(0);
        }
        Ok(read)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.state.lock();
        state.change()?;
        state.writes += 1;
        let fail = state.plan.fail_write.filter(|(nth, _)| *nth == state.writes);
        let part = if fail.is_some() { &bytes[..bytes.len() / 2] } else { bytes };
        let offset = usize::try_from(offset).expect("small files");
        let write = Write::Bytes { offset, bytes: part.to_vec() };
        let file = &mut state.files[self.index];
        apply(&mut file.live, &write);
        file.pending.push(write);
        fail.map_or(Ok(()), |(_, error)| Err(io::Error::from_raw_os_error(error)))
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        let mut state = self.state.lock();
        state.change()?;
        let write = Write::Size(usize::try_from(size).expect("small files"));
        let file = &mut state.files[self.index];
        apply(&mut file.live, &write);
        file.pending.push(write);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.state.lock();
        let done = state.sync();
        let off = state.off;
        let file = &mut state.files[self.index];
        if done.is_ok() {
            for write in std::mem::take(&mut file.pending) {
                apply(&mut file.durable, &write);
            }
        } else if !off {
            // Linux marks the pages of a failed sync as clean: reads return their data, but no later sync
            // writes them.
            file.pending.clear();
        }
        done
    }
}
