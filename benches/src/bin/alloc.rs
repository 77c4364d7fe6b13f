//! One workload in a process that counts its allocations; see `benches/README.md`.
//!
//! The only file of this crate with `unsafe`, and a binary of its own, so that the counters cost
//! the other measurements nothing.

use benches::Heap;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};

/// The system's allocator, and two counters.
struct Counting {
    /// Calls that asked for memory. `Relaxed` everywhere: a reader wants the sum of what happened
    /// before, and has that from whatever told it that the counted tasks are done.
    allocations: AtomicU64,
    /// Bytes handed out and not returned; wraps below zero at no time, because memory is returned
    /// after it was handed out.
    live_bytes: AtomicU64,
}

#[global_allocator]
static ALLOCATOR: Counting =
    Counting { allocations: AtomicU64::new(0), live_bytes: AtomicU64::new(0) };

impl Counting {
    fn gave(&self, bytes: usize) {
        self.allocations.fetch_add(1, Ordering::Relaxed);
        self.live_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn got_back(&self, bytes: usize) {
        self.live_bytes.fetch_sub(bytes as u64, Ordering::Relaxed);
    }
}

// SAFETY: every method hands its arguments to `System` unchanged and returns what that returned; the
// counters beside are atomics and allocate nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.gave(layout.size());
        // SAFETY: the caller promises that `layout` is not empty, which is all `System` asks.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        self.gave(layout.size());
        // SAFETY: as in `alloc`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        self.got_back(layout.size());
        // SAFETY: the caller promises that `ptr` came from this allocator with this layout, and
        // this allocator took it from `System` with the same.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        self.got_back(layout.size());
        self.gave(new_size);
        // SAFETY: as in `dealloc`, and the caller promises that `new_size` is valid and not zero.
        unsafe { System.realloc(ptr, layout, new_size) }
    }
}

fn read() -> Heap {
    Heap {
        allocations: ALLOCATOR.allocations.load(Ordering::Relaxed),
        live_bytes: ALLOCATOR.live_bytes.load(Ordering::Relaxed),
    }
}

fn main() -> std::process::ExitCode {
    benches::alloc(read)
}
