//! What each fuzz target does with its bytes, as plain functions.
//!
//! `cargo fuzz` calls them through `fuzz_targets/`; `tests/fuzz_seeds.rs` of ckdiff includes `targets/` and replays the
//! seeds and the regressions through the same functions, with any toolchain.

pub mod limit;
pub mod targets;

pub use libfuzzer_sys;

/// Defines the fuzz target that calls the function of this name.
#[macro_export]
macro_rules! target {
    ($name:ident) => {
        #[global_allocator]
        static MEMORY: $crate::limit::Memory = $crate::limit::memory();

        $crate::libfuzzer_sys::fuzz_target!(|data: &[u8]| {
            $crate::limit::within(&MEMORY, || $crate::targets::$name(data));
        });
    };
}
