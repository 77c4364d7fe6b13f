//! What the promise tests share: a watchdog, both modes, counted drops, and helper processes.
//!
//! Each file in `tests/` is one promise of the runtime. Every test begins with [`watch`], so that a
//! lost wake-up shows as a message and not as a run that never ends, and most run in
//! [both modes](both_modes).

#![forbid(unsafe_code)]

mod c_program;
mod dir;
mod drops;
mod foreign;
#[cfg(doctest)]
mod listings;
mod long;
mod modes;
mod panic;
mod process;
mod resources;
mod scene;
mod stuck;
mod watchdog;

pub use c_program::c_program;
pub use dir::Dir;
pub use drops::{CountDrops, DropCount};
pub use foreign::foreign_block_on;
pub use long::runs_long;
pub use modes::{both_modes, single_threaded, work_stealing};
pub use panic::{message_of, panic_message};
pub use process::{Server, aborting, example, find_tool, say, strace};
pub use resources::{
    collect_queues, memory_kib, open_files, open_files_of, open_sockets_of, raise_file_limit,
    threads_named,
};
pub use scene::{Scene, current_scene, scene, scene_under};
pub use stuck::{StuckTask, named, thread_name, wait_at, wait_until};
pub use watchdog::{Watchdog, watch, watch_for};
