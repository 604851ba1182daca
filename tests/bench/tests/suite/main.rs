//! The harness at its seam: peers as processes that speak with whoever measures them.

#[cfg(test)]
mod peers;
