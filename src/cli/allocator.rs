//! glibc's allocator, which only variables of the environment configure without unsafe code
//! (docs/decisions.md 26).

use std::num::NonZero;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::thread::available_parallelism;

/// Returns the variables of the allocator with their values.
///
/// 1. One arena, or two with more than two cores. By default each thread gets an arena of its own, up to eight for each
///    core, and memory that is freed in one arena serves no other: with a million links clicked at random, 100 MB
///    more, and with two arenas 30 MB more. On two cores, one arena costs neither CPU nor rate.
/// 2. A fixed threshold. By default the first large block that is freed raises it, and later blocks of that size
///    are not returned to the system. The map of keys of a compaction is such a block.
fn variables() -> [(&'static str, &'static str); 2] {
    // Without the number of cores, the smaller memory: few threads run then.
    let cores = available_parallelism().map_or(1, NonZero::get);
    [("MALLOC_ARENA_MAX", if cores > 2 { "2" } else { "1" }), ("MALLOC_MMAP_THRESHOLD_", "131072")]
}

/// Executes the program again in the same process with [`variables`] set: glibc reads the environment once,
/// before `main`. Returns if the operator has set one of them, or if the system refuses.
///
/// Must be called before the process opens files or starts threads: an exec keeps neither.
pub(super) fn restart_with_few_arenas() {
    let variables = variables();
    // Also ends the recursion: the executed program has both.
    if variables.iter().any(|(name, _)| std::env::var_os(name).is_some()) {
        return;
    }
    let mut arguments = std::env::args_os();
    let (Some(name), Ok(program)) = (arguments.next(), std::env::current_exe()) else { return };
    // `exec` returns only if it failed: the program runs with its defaults then.
    let error = Command::new(program).arg0(name).args(arguments).envs(variables).exec();
    tracing::debug!(%error, "the allocator keeps its default number of arenas");
}
