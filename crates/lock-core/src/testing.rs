//! Names and instants that the unit tests share.

use alloc::borrow::ToOwned;

use crate::machine::{Context, Medium};
use crate::policy::Policy;
use crate::record::{Host, Token};
use crate::time::{Boot, Now, Wall};

/// A host in one of its boots.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place(&'static str, &'static str);

pub(crate) const HERE: Place = Place("here", "boot-1");
pub(crate) const OTHER_BOOT: Place = Place("here", "boot-0");
pub(crate) const OTHER_HOST: Place = Place("there", "boot-9");

impl Place {
    pub(crate) fn host(self) -> Host {
        Host {
            name: self.0.to_owned(),
            boot: self.1.to_owned(),
        }
    }
}

/// Both clocks at the same count.
pub(crate) fn at(ms: u64) -> Now {
    Now {
        wall: Wall(ms),
        boot: Boot(ms),
    }
}

pub(crate) fn token(word: &str) -> Token {
    Token::new(word).unwrap()
}

/// A contender here, with the default policy.
pub(crate) fn context() -> Context {
    Context {
        policy: Policy::default(),
        here: HERE.host(),
        pid: 7,
        token: token("ours"),
        command: "test".to_owned(),
        medium: Medium::Anonymous,
    }
}
