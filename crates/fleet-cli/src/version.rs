//! Which `fleet` this is; the build script finds out.

/// What `fleet --version` says: `0.1.0 (1a2b3c4d5e6f 2026-01-31)`, or the number alone
/// where the commit is not known.
pub(crate) const LONG: &str = env!("FLEET_VERSION");

/// The day of the commit, or "".
pub(crate) const DATE: &str = env!("FLEET_DATE");
