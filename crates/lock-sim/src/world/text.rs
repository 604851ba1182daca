//! File contents that are cheap to copy and to compare.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::sketch::Sketch;

/// What stands in a file. A world is copied for every step that is explored, so copies
/// share the bytes, and what they are hashed by is found once.
#[derive(Clone, PartialEq, Eq)]
pub struct Text(Arc<Content>);

#[derive(PartialEq, Eq)]
struct Content {
    sketch: Sketch,
    bytes: Box<[u8]>,
}

impl Text {
    /// These bytes.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        Self(Arc::new(Content { sketch: Sketch::of(bytes), bytes: bytes.into() }))
    }

    /// What to hash it by.
    pub(crate) fn sketch(&self) -> &Sketch {
        &self.0.sketch
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0.bytes
    }

    /// What `pwrite` at the start leaves: the tail of a longer old text stays.
    #[must_use]
    pub fn overwritten(&self, with: &str) -> Self {
        let tail = self.bytes().get(with.len()..).unwrap_or_default();
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

impl Hash for Text {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.sketch().plain());
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(self.bytes()))
    }
}
