//! A machine at work on the model disk, one effect at a time.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::effect::{Effect, Event};
use crate::evict::Evicted;
use crate::machine::{Context, Failure, Flow, Machine, Reason};
use crate::record::{Detail, Record};
use crate::snapshot::Snapshot;
use crate::testing::disk::Disk;
use crate::{Acquire, Acquired, Glimpse, Held, Settled};

/// More effects than any script needs: a machine that asks for more is in a loop.
const ENDLESS: usize = 5_000;

/// A machine, the process it runs in, and its outcome once it has one.
#[derive(Clone, Debug)]
pub(crate) struct Worker<M: Machine> {
    pub(crate) context: Context,
    flow: Flow<M, M::Output>,
}

/// An outcome in a few words.
pub(crate) trait Tell {
    fn tell(&self) -> String;
}

impl Worker<Acquire> {
    /// A contender that begins now.
    pub(crate) fn contender(disk: &Disk, context: Context) -> Self {
        let machine = Acquire::new(&context, disk.now);
        Self::new(context, machine)
    }
}

impl<M> Worker<M>
where
    M: Machine + Clone,
    M::Output: Tell + Clone,
{
    pub(crate) fn new(context: Context, machine: M) -> Self {
        let flow = Flow::Go(machine);
        Self { context, flow }
    }

    /// The machine, which is not done yet.
    pub(crate) fn machine(&self) -> &M {
        match &self.flow {
            Flow::Go(machine) => machine,
            Flow::Done(outcome) => panic!("it has ended: {}", outcome.tell()),
        }
    }

    /// Its outcome, once it has one.
    pub(crate) fn outcome(&self) -> Option<&M::Output> {
        match &self.flow {
            Flow::Go(_) => None,
            Flow::Done(outcome) => Some(outcome),
        }
    }

    /// What it asks for, unless it is done.
    pub(crate) fn effect(&self) -> Option<Effect> {
        match &self.flow {
            Flow::Go(machine) => Some(machine.effect(&self.context)),
            Flow::Done(_) => None,
        }
    }

    /// Performs one effect; says whether there was one.
    pub(crate) fn step(&mut self, disk: &mut Disk) -> bool {
        let Some(effect) = self.effect() else {
            return false;
        };
        let event = disk.perform(&self.context, &effect);
        self.take(disk, event);
        true
    }

    /// Tells the machine that its effect came to this, without performing it.
    pub(crate) fn feed(&mut self, disk: &mut Disk, event: Event) {
        let effect = self.effect().expect("because the script knows what is due");
        disk.tell(&self.context.token, &format!("{effect} ⇒ {event:?}"));
        self.take(disk, event);
    }

    fn take(&mut self, disk: &mut Disk, event: Event) {
        let Flow::Go(machine) = self.flow.clone() else {
            return;
        };
        self.flow = machine.step(&self.context, disk.now, event);
        if let Flow::Done(outcome) = &self.flow {
            disk.tell(&self.context.token, &format!("= {}", outcome.tell()));
        }
    }

    /// Runs to where this effect is due; it is not performed.
    pub(crate) fn until(mut self, disk: &mut Disk, due: &str) -> Self {
        for _ in 0..ENDLESS {
            let effect = self.effect().map(|effect| effect.to_string());
            match effect {
                Some(effect) if effect == due => return self,
                Some(_) => self.step(disk),
                None => panic!("{due} never came:\n{}", disk.story()),
            };
        }
        panic!("{due} never came, nor an end:\n{}", disk.story());
    }

    /// Past this effect, and on to where that one is due.
    pub(crate) fn after(mut self, disk: &mut Disk, done: &str) -> Self {
        self = self.until(disk, done);
        self.step(disk);
        self
    }

    /// Runs to the end.
    pub(crate) fn run(mut self, disk: &mut Disk) -> M::Output {
        for _ in 0..ENDLESS {
            if let Flow::Done(outcome) = self.flow {
                return outcome;
            }
            self.step(disk);
        }
        panic!("no end in sight:\n{}", disk.story());
    }

    /// Dies here, as by SIGKILL.
    pub(crate) fn die(self, disk: &mut Disk) {
        disk.end(self.context.pid);
    }
}

fn who(record: Option<&Record>) -> String {
    record.map_or("nobody known".to_string(), |record| record.token.to_string())
}

impl<T: Tell> Tell for Result<T, Failure> {
    fn tell(&self) -> String {
        match self {
            Ok(outcome) => outcome.tell(),
            Err(failure) => failure.tell(),
        }
    }
}

impl Tell for Failure {
    fn tell(&self) -> String {
        match self {
            Self::Busy { owner } | Self::TimedOut { owner } => {
                format!("{self}: {}", who(owner.as_deref()))
            }
            Self::Survived { owner, signalled } => {
                format!("{self}: {}, signalled {signalled:?}", who(owner.as_deref()))
            }
            Self::MutexHeld { holder } => format!("{self}: {}", who(holder.as_deref())),
            Self::Refused { name, .. } => format!("{self}: {name:?}"),
            Self::System { name, errno, .. } => format!("{self}: {name:?}, {errno:?}"),
            failure => failure.to_string(),
        }
    }
}

impl Tell for Acquired {
    fn tell(&self) -> String {
        let generation = self.ownership.generation();
        match &self.takeover {
            None => format!("owner, generation {generation}"),
            Some(takeover) => {
                let from = who(takeover.from.as_deref());
                let why = match takeover.reason {
                    Reason::Stale(stale) => format!("{stale:?}"),
                    Reason::TimedOut => "TimedOut".to_string(),
                };
                format!("owner, generation {generation}, taken from {from}: {why}")
            }
        }
    }
}

impl Tell for Held {
    fn tell(&self) -> String {
        match self {
            Self::Renewed(_) => "renewed".to_string(),
            Self::Stepping { ownership, .. } => {
                let detail = ownership.record.detail.as_ref();
                let progress = detail.map_or("none".to_string(), |Detail { progress, .. }| {
                    format!("{} {}", progress.count, progress.phrase)
                });
                format!("stepping, progress {progress}")
            }
            Self::Released => "released".to_string(),
            Self::Lost { to } => format!("lost to {}", who(to.as_deref())),
        }
    }
}

impl Tell for () {
    fn tell(&self) -> String {
        "done".to_string()
    }
}

impl Tell for Glimpse {
    fn tell(&self) -> String {
        format!("{self:?}")
    }
}

impl Tell for Settled {
    fn tell(&self) -> String {
        format!("{self:?}")
    }
}

impl Tell for Option<Record> {
    fn tell(&self) -> String {
        format!("saw {}", who(self.as_ref()))
    }
}

impl Tell for Vec<Record> {
    fn tell(&self) -> String {
        let waiters: Vec<_> = self.iter().map(|record| who(Some(record))).collect();
        format!("saw {}", waiters.join(", "))
    }
}

impl Tell for Evicted {
    fn tell(&self) -> String {
        match self {
            Self::Done(owner) => format!("evicted {}", who(owner.as_ref())),
            Self::WasFree => "was free".to_string(),
            Self::Other(owner) => format!("left to {}", who(owner.as_ref())),
            Self::Living(owner) => format!("left to {}, which lives", who(Some(owner))),
            Self::Unbreakable(owner) => {
                format!("left to {}, which cannot be broken", who(owner.as_ref()))
            }
        }
    }
}

impl Tell for Snapshot {
    fn tell(&self) -> String {
        match self {
            Self::Absent => "absent".to_string(),
            Self::Present(seen) => format!("kernel {:?}, {}", seen.kernel, who(self.record())),
        }
    }
}
