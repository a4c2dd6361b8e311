//! Fits the caches to the memory that the system allows this process. With the defaults of a larger machine, the
//! system would kill a container of 64 MB once its caches are full.

use std::fs;
use std::path::{Path, PathBuf};

use super::Config;

const MIB: u64 = 1024 * 1024;

/// Memory beside the caches, with 100,000 links: 9 MB at the start, 4 for the latest Changes of the log, and some
/// 30 of sled, whatever the size of its cache. sled counts a page only with the next 64 of its part of 256, and
/// has buffers on their way to the disk.
const REST: u64 = 48 * MIB;

/// sled keeps the position of each page in memory, some 340 bytes for each, whatever the size of its cache. That
/// is a thirtieth of its file: 15 MB for a million links. The part of the first 100,000 links is in [`REST`].
const TABLE_PART_IN_MEMORY: u64 = 24;
const TABLE_IN_REST: u64 = 64 * MIB;

/// The file of sled in the data folder.
const TABLE_FILE: &str = "table/db";

/// Each cache takes at most this part of the memory that remains: of 64 MiB, 8 for links and 1 for the table,
/// which takes about three times its setting. From 176 MiB on, the defaults fit.
const CACHE_PART: u64 = 2;
const TABLE_PART: u64 = 16;

/// Password hashing takes at most this part of the allowed memory, beside the 19 MiB of one hash that it always
/// needs: 76 of 304 MiB.
const HASH_PART: u64 = 4;

/// Domains, custom values and keys take at most this part of the allowed memory: 32 of 256 MiB.
const RECORD_PART: u64 = 8;

/// Open connections take at most this part of the allowed memory, at the size of an idle one with HTTP/2: 6,553 of
/// 1 GiB, 409 of 64 MiB.
const CONNECTION_PART: u64 = 4;
const CONNECTION_BYTES: u64 = 40 * 1024;

/// The least size of a cache. A smaller one saves almost nothing.
const LEAST: u64 = MIB;

impl Config {
    /// Shrinks the caches to the allowed memory, and logs each change.
    pub fn fit_memory(&mut self) {
        if let Some(allowed) = allowed(Path::new("/")) {
            let table = fs::metadata(self.data_dir.join(TABLE_FILE)).map_or(0, |file| file.len());
            self.fit(allowed, table);
        }
    }

    fn fit(&mut self, allowed: u64, table: u64) {
        let allowed = allowed.saturating_sub(table.saturating_sub(TABLE_IN_REST) / TABLE_PART_IN_MEMORY);
        let cache = usize::try_from(most(allowed, CACHE_PART)).unwrap_or(usize::MAX);
        let table = most(allowed, TABLE_PART);
        // Only smaller, never larger: a setting of the operator is a bound.
        if self.cache.max_memory > cache {
            tracing::info!(allowed, used = cache, "cache.max_memory was reduced to fit the memory");
            self.cache.max_memory = cache;
        }
        if self.table.cache_capacity > table {
            tracing::info!(allowed, used = table, "table.cache_capacity was reduced to fit the memory");
            self.table.cache_capacity = table;
        }
        let connections =
            usize::try_from((allowed / CONNECTION_PART / CONNECTION_BYTES).max(1)).unwrap_or(usize::MAX);
        if self.http.connections() > connections {
            tracing::info!(allowed, used = connections, "http.max_connections was reduced to fit the memory");
            self.http.max_connections = Some(connections);
        }
        let hash = usize::try_from(allowed / HASH_PART).unwrap_or(usize::MAX);
        self.links.hash_memory = self.links.hash_memory.min(hash);
        let records = usize::try_from((allowed / RECORD_PART).max(LEAST)).unwrap_or(usize::MAX);
        self.links.record_memory = self.links.record_memory.min(records);
    }
}

fn most(allowed: u64, part: u64) -> u64 {
    (allowed.saturating_sub(REST) / part).max(LEAST)
}

/// Returns the least that the control groups and the machine allow, in bytes, or `None` if none is known.
fn allowed(root: &Path) -> Option<u64> {
    let read = |path: PathBuf| fs::read_to_string(path).ok();
    let groups = read(root.join("proc/self/cgroup")).unwrap_or_default();
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(kind), Some(path)) = (parts.next(), parts.next()) else { continue };
        // An empty name is version 2 of control groups; `memory` is a controller of version 1.
        let (folder, file) = match kind {
            "" => ("sys/fs/cgroup", "memory.max"),
            "memory" => ("sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            _ => continue,
        };
        // The group itself, and the root: a container sees only its own group, as the root.
        for group in [path.trim_start_matches('/'), ""] {
            files.push(root.join(folder).join(group).join(file));
        }
    }
    // Without a limit the file contains `max`, or a number larger than any machine.
    let groups = files.into_iter().filter_map(|file| read(file)?.trim().parse::<u64>().ok());
    let machine = read(root.join("proc/meminfo")).and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1_024)
    });
    // Zero cannot be a limit: no process runs without memory.
    groups.chain(machine).filter(|bytes| *bytes > 0).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_of_all_limits() {
        let rows: [(&[(&str, &str)], Option<u64>); 6] = [
            (&[], None),
            (&[("proc/meminfo", "MemTotal:  2048 kB\nMemFree: 1 kB\n")], Some(2_097_152)),
            (
                &[
                    ("proc/meminfo", "MemTotal:  2048 kB\n"),
                    ("proc/self/cgroup", "0::/a/b\n"),
                    ("sys/fs/cgroup/a/b/memory.max", "1000000\n"),
                ],
                Some(1_000_000),
            ),
            (
                &[
                    // A path outside of the container: only the root can be read.
                    ("proc/self/cgroup", "0::/../outside\n"),
                    ("sys/fs/cgroup/memory.max", "max\n"),
                    ("proc/meminfo", "MemTotal: 1 kB\n"),
                ],
                Some(1_024),
            ),
            (
                &[
                    ("proc/self/cgroup", "5:cpu:/x\n4:memory:/x\n"),
                    ("sys/fs/cgroup/memory/x/memory.limit_in_bytes", "67108864\n"),
                    // No limit, in the spelling of version 1.
                    ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
                ],
                Some(67_108_864),
            ),
            (&[("proc/self/cgroup", "nonsense"), ("proc/meminfo", "MemTotal: much\n")], None),
        ];
        for (files, want) in rows {
            let root = tempfile::tempdir().expect("a temporary folder");
            for (file, content) in files {
                let path = root.path().join(file);
                fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
                fs::write(path, content).expect("a small file");
            }
            assert_eq!(allowed(root.path()), want, "{files:?}");
        }
    }

    /// A quarter of the allowed memory, and never more than the default.
    #[test]
    fn n02_hashing_fits_the_memory() {
        for (allowed, hashing) in [(4_096, 152), (304, 76), (64, 16), (2, 0)] {
            let mut config = Config::default();
            config.fit(allowed * MIB, 0);
            assert_eq!(config.links.hash_memory as u64 / MIB, hashing, "{allowed} MiB");
        }
    }

    /// A quarter of the allowed memory, and never more than the setting.
    #[test]
    fn open_connections_fit_the_memory() {
        for (allowed, set, want) in [
            (65_536, None, 20_000),
            (1_024, None, 6_553),
            (64, None, 409),
            (64, Some(100), 100),
            (64, Some(9_000), 409),
        ] {
            let mut config = Config::default();
            config.http.max_connections = set;
            config.fit(allowed * MIB, 0);
            // The limit of open files of this machine is another bound.
            let files = Config::default().http.connections();
            assert_eq!(config.http.connections(), want.min(files), "{allowed} MiB, {set:?}");
        }
    }

    /// An eighth of the allowed memory, and never more than the default.
    #[test]
    fn n61_records_of_tenants_fit_the_memory() {
        for (allowed, records) in [(4_096, 256), (256, 32), (64, 8), (2, 1)] {
            let mut config = Config::default();
            config.fit(allowed * MIB, 0);
            assert_eq!(config.links.record_memory as u64 / MIB, records, "{allowed} MiB");
        }
    }

    #[test]
    fn caches_shrink_only_where_they_must() {
        let rows = [
            (1024, 0, 64, 4),
            (176, 64, 64, 4),
            (128, 60, 40, 4),
            (96, 0, 24, 3),
            (64, 0, 8, 1),
            // Less than the program needs: the caches keep their least size.
            (2, 0, 1, 1),
            // A million links.
            (192, 544, 62, 4),
            (64, 6_400, 1, 1),
        ];
        for (allowed, file, cache, table) in rows {
            let mut config = Config::default();
            config.fit(allowed * MIB, file * MIB);
            let got = (config.cache.max_memory as u64, config.table.cache_capacity);
            assert_eq!(got, (cache * MIB, table * MIB), "{allowed} MiB, {file}");
        }
    }
}
