//! What the C library keeps of memory that was given back.
//!
//! glibc keeps freed memory in the arena of each thread and, once a large block was freed, raises by itself both the size from
//! which blocks are mapped apart and what it keeps at the end of an arena: after writing 1 GiB that was 30 MiB for nothing
//! (ADR 13). A threshold that is set stays, and large blocks go back to the system at once.

/// Blocks of this size and more are mapped apart: above the largest read of a connection, which comes and goes often.
#[cfg(target_env = "gnu")]
const MAPPED_FROM: nix::libc::c_int = 300 << 10;

/// Sets what the C library keeps, where it is glibc. To be called once, before there are other threads.
#[cfg(target_env = "gnu")]
#[allow(unsafe_code)] // No crate wraps it.
pub(super) fn keep_little() {
    // SAFETY: mallopt takes two plain integers and changes nothing but the allocator's parameters, under its own lock.
    unsafe {
        nix::libc::mallopt(nix::libc::M_MMAP_THRESHOLD, MAPPED_FROM);
    }
}

/// Nothing is known of other C libraries.
#[cfg(not(target_env = "gnu"))]
pub(super) fn keep_little() {}
