//! What must come of an error, call by call: the table that the document shows and the judge
//! goes by. The first row that fits decides.

use std::fmt;

use crate::fault::Errno;
use crate::scenario::Subject;
use crate::site::{Phase, Site};
use crate::what::{Object, Verb};

/// One row. An empty list fits everything.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) verbs: &'static [Verb],
    pub(crate) objects: &'static [Object],
    pub(crate) phases: &'static [Phase],
    pub(crate) subjects: &'static [Subject],
    /// Whether the caller is in the mutex, where that matters.
    pub(crate) inside: Option<bool>,
    pub(crate) then: Then,
    /// Why that is right.
    pub(crate) why: &'static str,
}

/// What must come of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// It goes on as if nothing had happened, and says nothing.
    On,
    /// It ends without having done its work, and says why.
    Refused,
    /// It says why, and has done its work.
    Late,
    /// It says that the command could not be started.
    Unstarted,
    /// It goes on, and says what it could not do beside.
    Remark,
    /// It says why it leaves the lock alone.
    LeftAlone,
}

use Object::{
    Bell, Boot, Directory, Events, Journal, Lock, Mutex, Number, Process, Queue, Reclaim, Signals,
    Socket, Ticket,
};
use Phase::{Acquiring, Arriving, Queueing, Releasing, Renewing, Starting, Working};

/// Fits everything.
const ANY: Rule = Rule {
    verbs: &[],
    objects: &[],
    phases: &[],
    subjects: &[],
    inside: None,
    then: Then::Refused,
    why: "",
};

/// The table.
pub(crate) static RULES: [Rule; 27] = [
    Rule {
        verbs: &[Verb::Close],
        then: Then::On,
        why: "whatever `close` says, the descriptor is gone",
        ..ANY
    },
    Rule {
        objects: &[Queue, Number],
        then: Then::On,
        why: "no safety rests on the queue: without a number it goes on without one, and with one \
              as if it were its turn",
        ..ANY
    },
    Rule { phases: &[Queueing], then: Then::On, why: "likewise", ..ANY },
    Rule {
        phases: &[Renewing],
        then: Then::On,
        why: "the next renewal tries again; if none succeeds, the stamp ages until another takes \
              over, and that is delivered as a loss",
        ..ANY
    },
    Rule {
        objects: &[Events],
        then: Then::On,
        why: "where nothing can be watched, it looks now and then",
        ..ANY
    },
    Rule {
        objects: &[Journal],
        then: Then::Remark,
        why: "the journal is for people; the work goes on without it",
        ..ANY
    },
    Rule {
        objects: &[Directory],
        phases: &[Starting, Releasing],
        then: Then::Remark,
        why: "whose it is decides whether the journal there is trusted",
        ..ANY
    },
    Rule {
        objects: &[Directory],
        phases: &[Acquiring],
        subjects: &[Subject::RunAndStop],
        then: Then::Remark,
        why: "likewise: that an owner was ended stands in the journal",
        ..ANY
    },
    Rule {
        verbs: &[Verb::Open, Verb::Read],
        objects: &[Process],
        phases: &[Arriving],
        then: Then::On,
        why: "when it started itself is left out of its record, which the kernel lock vouches for",
        ..ANY
    },
    Rule {
        objects: &[Lock],
        phases: &[Arriving],
        then: Then::On,
        why: "it asks whether it runs under the owner; acquiring finds out what else there is",
        ..ANY
    },
    Rule {
        objects: &[Process],
        phases: &[Starting, Releasing],
        then: Then::On,
        why: "only the journal wants to know when the process started",
        ..ANY
    },
    Rule {
        verbs: &[Verb::Look],
        objects: &[Directory],
        then: Then::On,
        why: "making it finds out the same",
        ..ANY
    },
    Rule {
        verbs: &[Verb::Stat],
        objects: &[Boot, Process, Signals],
        then: Then::On,
        why: "only a hint of how much there is to read",
        ..ANY
    },
    Rule {
        objects: &[Signals],
        then: Then::On,
        why: "a hang-up that is not known to be ignored is listened to",
        ..ANY
    },
    Rule {
        verbs: &[Verb::Touch],
        then: Then::On,
        why: "a courtesy: to peers that judge by mtime, to waiters that look again anyway",
        ..ANY
    },
    Rule {
        verbs: &[Verb::Unlock],
        objects: &[Lock],
        then: Then::On,
        why: "it was only asked whether the owner lives, and closing the file says the same",
        ..ANY
    },
    Rule {
        verbs: &[Verb::Read],
        objects: &[Lock],
        subjects: &[Subject::Break],
        then: Then::LeftAlone,
        why: "what cannot be read and lives may be a program that has written no record",
        ..ANY
    },
    Rule {
        verbs: &[Verb::Read],
        objects: &[Lock, Mutex, Reclaim],
        phases: &[Acquiring],
        then: Then::On,
        why: "the kernel says who lives: what is unreadable and dead is taken over, what is \
              unreadable and alive is looked at again",
        ..ANY
    },
    Rule {
        objects: &[Reclaim],
        inside: Some(true),
        then: Then::On,
        why: "the sweep after a crash is a courtesy; the next takeover sweeps again",
        ..ANY
    },
    Rule {
        objects: &[Socket],
        phases: &[Starting],
        then: Then::Unstarted,
        why: "the command cannot be started; the lock is released",
        ..ANY
    },
    Rule {
        verbs: &[Verb::Write],
        objects: &[Ticket],
        phases: &[Starting, Working, Releasing],
        inside: Some(false),
        then: Then::On,
        why: "the record in an owner's mutex only tells people who is in it; a full disk must not \
              keep it from its steps and its release",
        ..ANY
    },
    Rule {
        phases: &[Working],
        subjects: &[Subject::Run, Subject::RunUntilLost],
        then: Then::On,
        why: "the command runs; the mutex that could not be left is the owner's own, and is left \
              at the next renewal or at the release",
        ..ANY
    },
    Rule {
        phases: &[Working],
        then: Then::Late,
        why: "what was to be done is done, and the caller hears that a step of it has failed",
        ..ANY
    },
    Rule {
        verbs: &[Verb::Open, Verb::Stat, Verb::Ask, Verb::Read, Verb::Unlock],
        objects: &[Lock],
        phases: &[Releasing],
        subjects: &[Subject::RunUntilLost],
        then: Then::On,
        why: "it is lost either way; whose it is only serves the message",
        ..ANY
    },
    Rule {
        phases: &[Releasing],
        then: Then::Late,
        why: "a lock that could not be released must not look released; its kernel lock is \
              dropped all the same, so the next takes over at once",
        ..ANY
    },
    Rule {
        objects: &[Bell, Socket],
        then: Then::Refused,
        why: "without a descriptor for it, nobody can be woken or signalled",
        ..ANY
    },
    Rule { why: "there is no lock without it", ..ANY },
];

impl fmt::Display for Then {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::On => "goes on",
            Self::Refused => "ends it, work undone",
            Self::Late => "is said, work done",
            Self::Unstarted => "126",
            Self::Remark => "goes on, and says so",
            Self::LeftAlone => "75",
        })
    }
}

impl Rule {
    /// The row for a call.
    pub(crate) fn of(site: &Site, subject: Subject) -> Option<&'static Self> {
        RULES.iter().find(|rule| rule.fits(site, subject))
    }

    /// Its place in the table, from 0.
    pub(crate) fn number(&self) -> usize {
        RULES.iter().position(|rule| std::ptr::eq(rule, self)).unwrap_or(RULES.len())
    }

    fn fits(&self, site: &Site, subject: Subject) -> bool {
        let inside = site.before.mutex && site.after.mutex;
        (self.verbs.is_empty() || self.verbs.contains(&site.what.verb))
            && (self.objects.is_empty() || self.objects.contains(&site.what.object))
            && (self.phases.is_empty() || self.phases.contains(&site.phase))
            && (self.subjects.is_empty() || self.subjects.contains(&subject))
            && self.inside.is_none_or(|wanted| wanted == inside)
    }

    /// Whether a call that was interrupted is made again. Sockets are others' business: of the
    /// standard library, and of the library that receives signals.
    pub(crate) fn retries(&self, site: &Site) -> bool {
        self.then != Then::On && site.what.object != Socket
    }

    /// Whether the sentence names a path; what has none is not asked for one.
    pub(crate) fn names_path(site: &Site) -> bool {
        !matches!(site.what.object, Bell | Socket)
    }
}

/// The exit code that the documentation promises for an error at this call.
pub(crate) fn code(site: &Site, then: Then, errno: Errno) -> i32 {
    let makes_a_file = site.what.verb == Verb::Create && Rule::names_path(site);
    match (then, errno) {
        (Then::Unstarted, _) => 126,
        (_, Errno::Access) => 77,
        _ if makes_a_file => 73,
        _ => 74,
    }
}
