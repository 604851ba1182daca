//! The lock as processes see it: killed, stopped, crowded, beside strangers, in bad places.
//!
//! Whether two ever worked at once is seen by a witness that knows nothing of the lock (see
//! `lock_tests`), never by what the lock says of itself.

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod consent;
#[cfg(test)]
mod crowds;
#[cfg(test)]
mod fallbacks;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod killed;
#[cfg(test)]
mod kit;
#[cfg(test)]
mod original;
#[cfg(test)]
mod peers;
#[cfg(test)]
mod promises;
#[cfg(test)]
mod queue;
#[cfg(test)]
mod stopped;
#[cfg(test)]
mod surroundings;
#[cfg(test)]
mod torture;
