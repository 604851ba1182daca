//! File contents that are cheap to copy and to compare.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// What stands in a file. A world is copied for every step that is explored, so copies
/// share the bytes and the hash is reckoned once.
#[derive(Clone)]
pub struct Text {
    hash: u64,
    bytes: Arc<[u8]>,
}

impl Text {
    /// These bytes.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        Self { hash: crate::fingerprint(&bytes), bytes: bytes.into() }
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What `pwrite` at the start leaves: the tail of a longer old text stays.
    #[must_use]
    pub fn overwritten(&self, with: &str) -> Self {
        let tail = self.bytes.get(with.len()..).unwrap_or_default();
        if tail.is_empty() {
            return Self::new(with.as_bytes());
        }
        Self::new(&[with.as_bytes(), tail].concat())
    }
}

impl Default for Text {
    fn default() -> Self {
        Self::new(&[])
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && self.bytes == other.bytes
    }
}

impl Eq for Text {}

impl Hash for Text {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(&self.bytes))
    }
}
