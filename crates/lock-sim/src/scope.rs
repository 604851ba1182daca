//! What is explored: who takes part, where they start, what may go wrong, how often.

use std::time::Duration;

use lock_core::machine::{Context, Medium};
use lock_core::policy::{OnTimeout, Policy, PolicyError, Settings};
use lock_core::record::{Birth, Host, Token};
use lock_core::time::{Boot, Mono, Now, Wall};

use crate::leftover::Leftover;
use crate::property::Property;
use crate::sketch::{self, mention};
use crate::symmetry::Symmetry;
use crate::world::{Abilities, Clock, Pid, Plan};
use crate::zoo::Kind;

/// A tick of the boot clock: longer than any short nap, so that ages and patience are
/// counted in whole ticks.
pub const TICK: u64 = 10_000;

/// The boot clock at the start. Not the wall clock's value, so that to mix them up shows.
pub const BOOT: u64 = 1_000_000;

/// The monotonic clock at the start.
pub const MONO: u64 = 100_000_000;

/// The wall clock at the start.
pub const WALL: u64 = 1_000_000_000;

/// What to explore.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// For the table.
    pub name: String,
    /// Who takes part.
    pub crew: Vec<Member>,
    /// What may stand there from the start: one start for each.
    pub leftovers: Vec<Leftover>,
    /// How many of the crew, one after the other, have come as far as they do by themselves
    /// before anything else happens: the first owns the lock, the others wait for it.
    pub settled: Pid,
    /// What may happen, and how often.
    pub budgets: Budgets,
    /// What the file system can do.
    pub abilities: Abilities,
    /// The machines' settings.
    pub rules: Rules,
    /// Whether calls that no other process can tell from the one before are made in one
    /// step with it.
    pub merged: bool,
    /// Whether one state stands for those that differ in who of the interchangeable is who.
    pub symmetric: bool,
    /// Whether an unlink is two moments: watchers are told a hair before the name is gone.
    pub torn: bool,
    /// Whether short naps end by themselves too, and not only when there is something to see: they
    /// grow, and may lead to a long sleep.
    pub restless: bool,
    /// Whether everyone's wall clock shows another time from the start.
    pub skewed: bool,
    /// Whether everyone is in a time namespace of their own: each one's boot clock is off by
    /// another constant.
    pub offset: bool,
    /// How many of the crew, from the first on, are threads of one process: they have its
    /// pid, and one death ends them all.
    pub threads: Pid,
    /// One of the crew whose `stale_after` is a single tick, whatever the others have.
    pub hasty: Option<Pid>,
    /// What must hold.
    pub properties: Vec<Property>,
}

/// Someone who takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Member {
    /// Our machines.
    Ours(Plan),
    /// A control subject.
    Peer(Kind),
}

impl Member {
    /// Whether it has consented to be replaced while it lives: all its work is in fenced steps.
    #[must_use]
    pub const fn is_preemptible(self) -> bool {
        matches!(self, Self::Ours(Plan::Own { preemptible: true, .. }))
    }

    /// Whether what it starts under the lock inherits its ticket.
    #[must_use]
    pub const fn shares(self) -> bool {
        matches!(self, Self::Ours(Plan::Own { shares: true, .. }) | Self::Peer(_))
    }
}

impl Scope {
    /// The settings of one of the crew.
    fn rules_of(&self, pid: Pid) -> Rules {
        match self.hasty == Some(pid) {
            true => Rules { stale_after: 1, ..self.rules },
            false => self.rules,
        }
    }
}

/// What may happen, and how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Budgets {
    /// A process is killed.
    pub crashes: u8,
    /// A process is killed, and the children to which it has passed its ticket live on.
    pub orphans: u8,
    /// The machine is suspended: every clock jumps, and no process made a call meanwhile.
    pub suspends: u8,
    /// A tick passes, whoever is in the middle of whatever.
    pub ticks: u8,
    /// A sleeper is cancelled.
    pub cancels: u8,
    /// A call is refused.
    pub faults: u8,
    /// A wall clock is set: someone's, or the file system's.
    pub wall_steps: u8,
    /// Somebody who follows no rule makes a file by hand, or removes one that is no guard.
    pub hands: u8,
    /// Somebody removes a guard by hand: nothing is promised then.
    pub robberies: u8,
    /// A contender tries again after its end.
    pub returns: u8,
}

/// The settings, ages in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// `stale_after`.
    pub stale_after: u8,
    /// `wait_limit`.
    pub wait_limit: Option<u8>,
    /// `hang_after`.
    pub hang_after: u8,
    /// For how long an owner's step announces that it will be quiet.
    pub quiet: u8,
    /// What to do with a living owner when the limit is over.
    pub on_timeout: OnTimeout,
    /// How roles are taken, as far as known from the start.
    pub medium: Medium,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            stale_after: 2,
            wait_limit: None,
            hang_after: 4,
            quiet: 0,
            on_timeout: OnTimeout::Fail,
            medium: Medium::Anonymous,
        }
    }
}

impl Rules {
    /// How long a control subject waits before it acts on a living owner, in ticks: its rules know
    /// one limit where ours know two.
    #[must_use]
    pub fn limit(self) -> u8 {
        self.wait_limit.unwrap_or(self.hang_after)
    }

    /// How long a holder of the mutex may hold up what has no limit of its own, in ticks.
    #[must_use]
    pub const fn mutex_patience(self) -> u8 {
        self.hang_after
    }
}

/// A scope with what its members know.
#[derive(Clone, Debug)]
pub struct Universe {
    /// The scope.
    pub scope: Scope,
    /// Who is interchangeable with whom.
    pub symmetry: Symmetry,
    contexts: Vec<Vec<Context>>,
}

/// How many tries of one process have a token of their own.
pub const ROUNDS: u8 = 4;

impl Universe {
    /// The scope, made ready.
    ///
    /// # Errors
    ///
    /// When the settings do not fit together.
    pub fn new(scope: Scope) -> Result<Self, PolicyError> {
        let contexts = (0..).zip(&scope.crew).map(|(pid, _)| contexts(&scope, pid));
        let contexts = contexts.collect::<Result<_, _>>()?;
        let symmetry = Symmetry::of(&scope);
        Ok(Self { scope, symmetry, contexts })
    }

    /// What a process knows in one of its tries.
    #[must_use]
    pub fn context(&self, pid: Pid, round: u8) -> Option<&Context> {
        self.contexts.get(usize::from(pid))?.get(usize::from(round % ROUNDS))
    }

    /// The system's process id of a contender.
    #[must_use]
    pub fn process_id(&self, pid: Pid) -> u32 {
        process_id(&self.scope, pid)
    }

    /// How far a contender's wall clock is off at the start: nobody's, or each by another.
    #[must_use]
    pub fn skew(&self, pid: Pid) -> i8 {
        if self.scope.skewed { away(pid) } else { 0 }
    }

    /// How many ticks a contender's boot clock is off, for ever: none, or each by another.
    #[must_use]
    pub fn offset(&self, pid: Pid) -> i8 {
        if self.scope.offset { 2 * away(pid) } else { 0 }
    }

    /// Whether a contender has consented to be replaced while it lives.
    #[must_use]
    pub fn is_preemptible(&self, pid: Pid) -> bool {
        self.scope.crew.get(usize::from(pid)).is_some_and(|member| member.is_preemptible())
    }

    /// Whether what a contender starts under the lock inherits its ticket.
    #[must_use]
    pub fn shares(&self, pid: Pid) -> bool {
        self.scope.crew.get(usize::from(pid)).is_some_and(|member| member.shares())
    }
}

/// What a process reads: a wall clock that has been set so often forward, less how often back,
/// and a boot clock and a monotonic one that are off by so many ticks. The monotonic clock alone
/// stands still while the machine is suspended.
#[must_use]
pub fn clocks(clock: Clock, set: i8, offset: i8) -> Now {
    let passed = (u64::from(clock.ticks) + u64::from(clock.suspended)) * TICK;
    let set = i64::from(set) * 10 * TICK.cast_signed();
    let offset = i64::from(offset) * TICK.cast_signed();
    let awake = u64::from(clock.ticks) * TICK;
    Now {
        wall: Wall((WALL + passed).saturating_add_signed(set)),
        boot: Boot((BOOT + passed).saturating_add_signed(offset)),
        mono: Mono((MONO + awake).saturating_add_signed(offset)),
    }
}

/// Another number for each: every other one ahead, the others behind.
fn away(pid: Pid) -> i8 {
    let away = i8::try_from(pid / 2 + 1).unwrap_or(i8::MAX / 2);
    if pid.is_multiple_of(2) { away } else { -away }
}

/// When every process started, and in which pid namespace.
pub const BIRTH: Birth = Birth { pidns: 1, start: 1 };

/// Where everything runs.
#[must_use]
pub fn here() -> Host {
    Host { name: "here".to_owned(), boot: "boot-1".to_owned() }
}

const fn process_id(scope: &Scope, pid: Pid) -> u32 {
    mention(if pid < scope.threads { 0 } else { pid })
}

/// What one of the crew knows in each of its tries.
fn contexts(scope: &Scope, pid: Pid) -> Result<Vec<Context>, PolicyError> {
    let policy = policy(scope.rules_of(pid))?;
    Ok((0..ROUNDS).filter_map(|round| context(policy, scope, pid, round)).collect())
}

fn context(policy: Policy, scope: &Scope, pid: Pid, round: u8) -> Option<Context> {
    Some(Context {
        policy,
        here: here(),
        pid: process_id(scope, pid),
        token: Token::new(&sketch::token(pid, round))?,
        // One for all: process ids are not used again here, and the contenders are to be alike.
        birth: BIRTH,
        command: String::new(),
        preemptible: scope.crew.get(usize::from(pid))?.is_preemptible(),
        medium: scope.rules.medium,
    })
}

/// So many ticks.
pub(crate) fn ticks(count: u8) -> Duration {
    Duration::from_millis(u64::from(count) * TICK)
}

fn policy(rules: Rules) -> Result<Policy, PolicyError> {
    Policy::new(Settings {
        renew_every: ticks(rules.stale_after) / 2,
        hang_after: ticks(rules.hang_after),
        wait_limit: rules.wait_limit.map(ticks),
        on_timeout: rules.on_timeout,
        mutex_patience: ticks(rules.mutex_patience()),
        grace: ticks(1),
        ..Settings::with_stale_after(ticks(rules.stale_after))
    })
}
