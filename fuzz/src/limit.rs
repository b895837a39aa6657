//! The limit on memory: one input may take 200 MB beyond what was in use before it.

use std::alloc::System;

/// What one input may allocate, in bytes.
const MOST: usize = 200_000_000;

/// An allocator that can refuse.
pub type Memory = cap::Cap<System>;

/// The allocator of a target, without a limit yet.
pub const fn memory() -> Memory {
    cap::Cap::new(System, usize::MAX)
}

/// Runs one input. An allocation beyond the limit fails, which aborts the program: a crash, as far as the fuzzer is concerned.
pub fn within(memory: &Memory, run: impl FnOnce()) {
    // Nothing else allocates here meanwhile, so the limit can always be set.
    let _ = memory.set_limit(memory.allocated().saturating_add(MOST));
    run();
    let _ = memory.set_limit(usize::MAX);
}
