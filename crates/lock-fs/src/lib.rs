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
//! let settings = Settings { max_wait: Duration::from_secs(10), ..Settings::default() };
//! let options = Options {
//!     policy: Policy::new(settings)?,
//!     command: "deploy".to_owned(),
//!     ..Options::default()
//! };
//! let lock = Lock::open(&path, options)?;
//! let guard = lock.acquire(&Cancel::never(), &mut |notice| eprintln!("{notice:?}"))?;
//! guard.step("1/1 restarting the service", || {
//!     // Start the command here, under the mutex; wait for it outside.
//! })?;
//! assert_eq!(guard.release()?, lock_fs::Released::Released);
//! # Ok(())
//! # }
//! ```
//!
//! The kernel arbitrates: whoever wants the lock makes one inode, takes the kernel's lock on
//! it, and then gives it names. The file at the lock's path says who the owner is; whether
//! it is alive, the kernel knows. So a dead owner costs nobody any time, a slow one is left
//! alone as long as it makes progress, and a hung one can be replaced without the two ever
//! working at the same time, because each step of the work proves its ownership first.
//!
//! # Limitations
//!
//! * Linux only, with `/proc` mounted.
//! * Steps are fenced; what a step has started is not. Let the things that the work changes
//!   remember the largest [`Guard::generation`] they have seen and refuse smaller ones.
//! * While the machine is suspended nobody renews, so a contender that wakes first may find
//!   a healthy owner silent for `stale_after`. That owner is told as after any takeover.
//! * On file systems without kernel locks, and on network file systems, all that can be
//!   promised is what a lock file judged by its age can promise. `require_kernel_lock`
//!   refuses to work there.
//! * The generation starts again from 1 if its file is removed.
//! * After `fork` without `exec`, the child must leave the guard alone: it is the parent's.

mod clock;
mod disk;
mod drive;
mod error;
mod guard;
mod keeper;
mod lock;
mod paths;
mod process;
mod watch;

pub use clock::Clock;
pub use drive::Tracer;
pub use error::Error;
pub use guard::{Guard, Loss, Released};
pub use lock::{Lock, Notice, Options, Status};
pub use lock_core::Evicted;
pub use lock_core::effect::{Effect, Name, Signal, Slot};
pub use lock_core::machine::{Medium, Reason, Refusal, Takeover};
pub use lock_core::policy::{OnTimeout, Policy, PolicyError, Settings};
pub use lock_core::record::{Detail, Generation, Host, Progress, Record, RecordError, Token};
pub use lock_core::snapshot::{Defect, KernelLock, Seen, Snapshot};
pub use lock_core::time::{Boot, Now, Wall};
pub use lock_core::verdict::{Stale, Verdict, judge};
pub use watch::Cancel;
