//! What is said while the last owner's orders are settled.

use std::time::Duration;

use camino::Utf8Path;

use super::Screen;
use crate::duration::format;
use crate::supervisor::InFlight;

impl Screen {
    /// What the last owner has ordered is waited for.
    pub(crate) fn settling(&mut self, path: &Utf8Path, in_flight: &[InFlight], left: Duration) {
        let (what, left) = (all(in_flight), format(left));
        let lock = path.file_name().unwrap_or("the lock");
        let line = if self.is_live() {
            format!("settling: waiting up to {left} for {what}, which the last owner ordered")
        } else {
            format!(
                "settling: {lock} is ours; waiting up to {left} for {what}, which its last owner \
                 ordered"
            )
        };
        self.waiting(&line, "settling".to_owned());
    }

    /// What the last owner had ordered took too long.
    pub(crate) fn given_up(&mut self, in_flight: &[InFlight]) {
        self.remark(&format!("cancelled {}, which the last owner ordered", all(in_flight)));
    }

    /// There is no way to find out what the last owner had ordered.
    pub(crate) fn cannot_settle(&mut self, why: &str) {
        self.remark(&format!("cannot find out what the last owner left in flight: {why}"));
    }
}

/// `the restart of a.service and 3 more jobs`.
fn all(in_flight: &[InFlight]) -> String {
    match in_flight {
        [] => "nothing".to_owned(),
        [one] => one.to_string(),
        [first, others @ ..] => format!("{first} and {} more jobs", others.len()),
    }
}
