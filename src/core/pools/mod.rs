//! Threads and memory for work that blocks or computes: each pool admits a bounded number of tasks.

pub(super) mod cpu_pool;
pub(super) mod hash_memory;
pub(super) mod hashing;
pub(super) mod listeners;
pub(super) mod loader;
