//! glibc's allocator, which only variables of the environment configure without unsafe code
//! (docs/decisions.md 26).

use std::os::unix::process::CommandExt;
use std::process::Command;

/// Variables of the allocator with their values.
///
/// 1. Two arenas. By default each thread gets an arena of its own, up to eight for each core, and memory that is
///    freed in one arena serves no other: with a million links clicked at random, 100 MB more.
/// 2. A fixed threshold. By default the first large block that is freed raises it, and later blocks of that size
///    are not returned to the system. The map of keys of a compaction is such a block.
const VARIABLES: [(&str, &str); 2] = [("MALLOC_ARENA_MAX", "2"), ("MALLOC_MMAP_THRESHOLD_", "131072")];

/// Executes the program again in the same process with [`VARIABLES`] set: glibc reads the environment once,
/// before `main`. Returns if the operator has set one of them, or if the system refuses.
///
/// Must be called before the process opens files or starts threads: an exec keeps neither.
pub(super) fn restart_with_few_arenas() {
    // Also ends the recursion: the executed program has both.
    if VARIABLES.iter().any(|(name, _)| std::env::var_os(name).is_some()) {
        return;
    }
    let mut arguments = std::env::args_os();
    let (Some(name), Ok(program)) = (arguments.next(), std::env::current_exe()) else { return };
    // `exec` returns only if it failed: the program runs with its defaults then.
    let error = Command::new(program).arg0(name).args(arguments).envs(VARIABLES).exec();
    tracing::debug!(%error, "the allocator keeps its default number of arenas");
}
