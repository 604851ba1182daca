//! A cross-process lock file with safe takeover.
//!
//! ```
//! use std::time::Duration;
//!
//! use lock_fs::{Cancel, Lock, Options, Policy, Settings};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # let path = camino::Utf8PathBuf::try_from(directory.path().join("deploy.lock"))?;
//! let settings = Settings { wait_limit: Some(Duration::from_secs(10)), ..Settings::default() };
//! let options = Options {
//!     policy: Policy::new(settings)?,
//!     command: "deploy".to_owned(),
//!     ..Options::default()
//! };
//! let lock = Lock::open(&path, options)?;
//! let guard = lock.acquire(&Cancel::never(), &mut |notice| eprintln!("{notice:?}"))?;
//! // Work here for as long as it takes: while this process lives, the lock is its own.
//! assert_eq!(guard.release()?, lock_fs::Released::Released);
//! # Ok(())
//! # }
//! ```
//!
//! The kernel arbitrates: whoever wants the lock makes one inode, takes the kernel's lock on
//! it, and then gives it names. The file at the lock's path says who the owner is; whether
//! it is alive, the kernel knows. So a dead owner costs a waiter no time, and a living one is never
//! replaced: not when it is slow, stopped or suspended, whatever any clock says.
//!
//! An owner that changes whatever it changes in fenced steps may agree to be replaced when it hangs:
//! [`Options::preemptible`]. Each [`Guard::step`] then proves its ownership first, under the mutex,
//! and refuses after a loss; so the steps of two owners never interleave.
//!
//! ```
//! use lock_fs::{Cancel, Lock, Options};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # let path = camino::Utf8PathBuf::try_from(directory.path().join("deploy.lock"))?;
//! let options = Options { preemptible: true, ..Options::default() };
//! let guard = Lock::open(&path, options)?.acquire_quietly()?;
//! guard.step("1/1 restarting the service", || {
//!     // Start the command here, under the mutex; wait for it outside.
//! })?;
//! # drop(guard);
//! # Ok(())
//! # }
//! ```
//!
//! A step's guard belongs to the thread that began it:
//!
//! ```compile_fail,E0277
//! fn sends<T: Send>(_: T) {}
//! fn refused(guard: &lock_fs::Guard) {
//!     sends(guard.begin_step("1/1", std::time::Duration::ZERO));
//! }
//! ```
//!
//! # Limitations
//!
//! * Linux only, with `/proc` mounted.
//! * Steps are fenced; what a step has started is not. Let the things that the work changes
//!   remember the largest [`Guard::generation`] they have seen and refuse smaller ones.
//! * On file systems without kernel locks, and on network file systems, an owner that is not
//!   preemptible is refused unless `allow_timed` says that its work may overlap with another's.
//! * The generation starts again if its file is removed while the lock is free.
//! * After `fork` without `exec`, a guard is inert in the child: it stays the parent's.

mod cgroup;
mod clock;
mod disk;
mod drive;
mod error;
mod guard;
mod holders;
mod keeper;
mod lock;
mod paths;
mod process;
mod watch;

pub use clock::Clock;
pub use drive::Tracer;
pub use error::Error;
pub use guard::{Guard, Loss, Released, Step};
pub use holders::Holders;
pub use lock::{Lock, Notice, Options, Status};
pub use lock_core::Evicted;
pub use lock_core::effect::{Effect, Name, Signal, Slot};
pub use lock_core::machine::{Medium, Reason, Refusal, Takeover};
pub use lock_core::policy::{OnTimeout, Policy, PolicyError, Settings};
pub use lock_core::record::{
    Arbitration, Birth, Detail, Generation, Host, Inode, Progress, Record, RecordError, Terms,
    Token,
};
pub use lock_core::snapshot::{Defect, KernelLock, Life, Seen, Snapshot};
pub use lock_core::time::{Boot, Mono, Now, Wall};
pub use lock_core::verdict::{Count, Counts, Limit, Stale, Verdict, judge};
pub use process::ProcStat;
pub use watch::Cancel;
