//! A living owner is replaced only with its consent: no clock, no stop and no stranger's program takes
//! the lock from one that has not given it, and no innocent process is ended for it.

mod ending;
mod forks;
mod heirs;
mod strangers;
mod time;

use crate::kit::Child;

/// Waits for this contender's next so many looks at the lock. It must be attentive, and go on waiting.
fn goes_on_waiting(waiter: &mut Child, looks: usize) {
    for _ in 0..looks {
        waiter.until("waiting");
    }
}
