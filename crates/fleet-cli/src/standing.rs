//! How far a plan has come, and who may build on it: whoever takes over from a restart that
//! died goes on where it stopped, and whoever asked for the same may take its end for its own.
//!
//! Pure: `logbook` keeps it on disk.
//!
//! | a restart finds the last one | by default | `--resume` | `--no-resume` |
//! |---|---|---|---|
//! | asked for something else, or before a reboot | all | all | all |
//! | done with everything | all | nothing left | all |
//! | ended early, its lock released | all | the rest | all |
//! | dead or hung, taken over within [`RECENT`] | the rest | the rest | all |
//! | dead or hung, taken over later | all | the rest | all |
//!
//! A holder that did not come through its turn takes every agent down with it when it is
//! restarted, so then there is no rest: all begin anew.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use lock_fs::{Boot, Generation};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::exit::Exit;
use crate::plan::{HolderTurn, Plan, Verb};

/// How long after its last sign of life a dead restart is gone on with unasked. Whoever
/// restarts the fleet a day later means all of it.
pub(crate) const RECENT: Duration = Duration::from_secs(10 * 60);

/// How far a plan has come.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub(crate) struct Standing {
    /// What was asked for.
    pub(crate) request: Request,
    /// The ownership under which it is being done.
    pub(crate) generation: u64,
    /// The boot that `updated_ms` belongs to.
    pub(crate) boot: String,
    /// When it last came further, by the boot clock.
    pub(crate) updated_ms: u64,
    /// The holder, if it has a turn.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) holder: Option<Mark>,
    /// Each agent, in the order of the plan.
    pub(crate) agents: Vec<AgentMark>,
    /// The code it ended with; none while it goes on, or if it never came to an end.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) exit: Option<u8>,
}

/// What was asked for. Two that are equal mean the same work.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub(crate) struct Request {
    /// What to do.
    verb: Verb,
    /// With the holder.
    whole: bool,
    /// To whom, in this order.
    agents: Vec<String>,
    /// Tells one state of the roster and the env files from another.
    roster: String,
}

/// How far one agent has come.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub(crate) struct AgentMark {
    /// Its name.
    pub(crate) agent: String,
    /// How far.
    pub(crate) mark: Mark,
}

/// How far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Mark {
    /// Its turn has not come.
    Pending,
    /// Its turn has begun.
    Begun,
    /// Its turn went well.
    Done,
    /// Its turn failed.
    Failed,
}

/// Who of a plan has a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// The holder.
    Holder,
    /// The agent at this place of the plan.
    Agent(usize),
}

/// Whether to go on where another stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resume {
    /// After taking over from one that died or hung not long ago.
    AfterTakeover,
    /// Whenever there is something to go on with.
    Always,
    /// Not at all.
    Never,
}

/// What another has done of what we are to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Earlier {
    /// Its ownership.
    pub(crate) generation: Generation,
    /// How long ago it last came further.
    pub(crate) ago: Duration,
    /// The places in the plan that are done.
    pub(crate) done: Vec<usize>,
    /// How many there are.
    pub(crate) of: usize,
}

/// Where and when we are, to judge what another left.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment<'a> {
    /// This boot.
    pub(crate) boot: &'a str,
    /// The boot clock.
    pub(crate) now: Boot,
}

impl Request {
    /// What `plan` is to do.
    pub(crate) fn new(plan: &Plan<'_>) -> Self {
        let mut hasher = DefaultHasher::new();
        plan.agents.hash(&mut hasher);
        Self {
            verb: plan.verb,
            whole: plan.holder != HolderTurn::Never,
            agents: plan.agents.iter().map(|agent| agent.name.clone()).collect(),
            roster: format!("{:016x}", hasher.finish()),
        }
    }
}

impl Standing {
    /// A plan of which nothing is done but what `earlier` says.
    pub(crate) fn new(
        request: Request,
        generation: Generation,
        moment: Moment<'_>,
        earlier: Option<&Earlier>,
    ) -> Self {
        let is_done = |place| earlier.is_some_and(|earlier| earlier.done.contains(&place));
        let begin = |done| if done { Mark::Done } else { Mark::Pending };
        let agents = request.agents.iter().enumerate();
        Self {
            holder: request.whole.then(|| begin(earlier.is_some())),
            agents: agents
                .map(|(place, agent)| AgentMark {
                    agent: agent.clone(),
                    mark: begin(is_done(place)),
                })
                .collect(),
            request,
            generation: generation.0,
            boot: moment.boot.to_owned(),
            updated_ms: moment.now.0,
            exit: None,
        }
    }

    /// Somebody's turn came further, or else it is as far as it was: then false.
    pub(crate) fn set(&mut self, who: Who, mark: Mark) -> bool {
        match who {
            Who::Holder => self.holder.replace(mark) != Some(mark),
            Who::Agent(place) => {
                let agent = self.agents.get_mut(place);
                agent.is_some_and(|agent| std::mem::replace(&mut agent.mark, mark) != mark)
            }
        }
    }

    /// What of `request` need not be done again. `from` is the ownership that we took the
    /// lock over from.
    pub(crate) fn earlier(
        &self,
        request: &Request,
        from: Option<Generation>,
        resume: Resume,
        moment: Moment<'_>,
    ) -> Option<Earlier> {
        let generation = Generation(self.generation);
        let ago = moment.now.since(Boot(self.updated_ms));
        let fresh = self.exit.is_none() && from == Some(generation) && ago <= RECENT;
        let wanted = match resume {
            Resume::AfterTakeover => fresh,
            Resume::Always => true,
            Resume::Never => false,
        };
        let holder_stands = self.holder.is_none_or(|mark| mark == Mark::Done);
        let marks = self.agents.iter().enumerate();
        let done: Vec<_> =
            marks.filter(|(_, agent)| agent.mark == Mark::Done).map(|(place, _)| place).collect();
        let of = self.agents.len();
        (wanted && self.request == *request && self.boot == moment.boot && holder_stands)
            .then_some(Earlier { generation, ago, done, of })
            .filter(|earlier| self.holder.is_some() || !earlier.done.is_empty())
    }

    /// The exit code that somebody who asked for `request`, and has waited for the owner `since`
    /// and all after it, may take for its own: the work came to its own end meanwhile, which is
    /// not what a signal brings about.
    pub(crate) fn joined(&self, request: &Request, since: Option<Generation>) -> Option<u8> {
        let own_end = [Exit::Done.code(), Exit::SomeFailed.code()];
        let exit = self.exit.filter(|exit| own_end.contains(exit))?;
        (self.was_waited_for(since) && self.request == *request).then_some(exit)
    }

    /// Whether its owner is `since` or came after that one.
    pub(crate) fn was_waited_for(&self, since: Option<Generation>) -> bool {
        since.is_some_and(|since| since <= Generation(self.generation))
    }

    /// Whether it stopped before its end, as far as anybody can see who knows whether its
    /// lock is held.
    pub(crate) fn is_unfinished(&self, held: bool, boot: &str) -> bool {
        let attempted = |agent: &AgentMark| matches!(agent.mark, Mark::Done | Mark::Failed);
        let all = self.agents.iter().all(attempted);
        self.boot == boot && !held && !(self.exit.is_some() && all)
    }

    /// The agents that it was to be done to.
    pub(crate) fn names(&self) -> Vec<String> {
        self.agents.iter().map(|agent| agent.agent.clone()).collect()
    }

    /// What was to be done.
    pub(crate) const fn verb(&self) -> Verb {
        self.request.verb
    }

    /// How many agents are done.
    pub(crate) fn done(&self) -> usize {
        self.agents.iter().filter(|agent| agent.mark == Mark::Done).count()
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::roster::tests::fleet_of;

    const NOW: Moment<'static> = Moment { boot: "this", now: Boot(10_000_000) };

    fn request(names: &[&str], asked: &[&str]) -> Request {
        let asked: Vec<String> = asked.iter().copied().map(str::to_owned).collect();
        let roster = fleet_of(names);
        Request::new(&Plan::new(&roster, Verb::Restart, &asked).expect("known"))
    }

    /// A restart of a, b and c by generation 7, `ago` milliseconds ago, with these marks.
    fn left(ago: u64, holder: Mark, marks: [Mark; 3], exit: Option<u8>) -> Standing {
        let then = Moment { now: Boot(NOW.now.0 - ago), ..NOW };
        let request = request(&["a", "b", "c"], &[]);
        let mut standing = Standing::new(request, Generation(7), then, None);
        standing.set(Who::Holder, holder);
        for (place, mark) in marks.into_iter().enumerate() {
            standing.set(Who::Agent(place), mark);
        }
        standing.exit = exit;
        standing
    }

    const HALF: [Mark; 3] = [Mark::Done, Mark::Begun, Mark::Pending];
    const MINUTES_10: u64 = 600_000;

    #[test]
    fn a_mark_that_was_there_is_no_progress() {
        let mut standing = left(0, Mark::Pending, HALF, None);
        for who in [Who::Holder, Who::Agent(2)] {
            assert_eq!(
                [Mark::Begun, Mark::Begun].map(|mark| standing.set(who, mark)),
                [true, false]
            );
        }
    }

    #[rstest]
    #[case::died_just_now(0, None, Some(7), Some(vec![0]), Some(vec![0]))]
    #[case::at_the_edge(MINUTES_10, None, Some(7), Some(vec![0]), Some(vec![0]))]
    #[case::beyond_the_edge(MINUTES_10 + 1, None, Some(7), None, Some(vec![0]))]
    #[case::taken_over_from_another(0, None, Some(8), None, Some(vec![0]))]
    #[case::lock_was_free(0, None, None, None, Some(vec![0]))]
    #[case::interrupted(0, Some(130), Some(7), None, Some(vec![0]))]
    fn what_is_gone_on_with(
        #[case] ago: u64,
        #[case] exit: Option<u8>,
        #[case] from: Option<u64>,
        #[case] by_default: Option<Vec<usize>>,
        #[case] when_asked: Option<Vec<usize>>,
    ) {
        let standing = left(ago, Mark::Done, HALF, exit);
        let request = request(&["a", "b", "c"], &[]);
        let done = |resume| {
            let earlier = standing.earlier(&request, from.map(Generation), resume, NOW);
            earlier.map(|earlier| earlier.done)
        };
        assert_eq!(done(Resume::AfterTakeover), by_default);
        assert_eq!(done(Resume::Always), when_asked);
        assert_eq!(done(Resume::Never), None);
    }

    #[rstest]
    #[case::other_agents(&["a", "b", "c"], &["a", "b"])]
    #[case::named_one_by_one_without_the_holder(&["a", "b", "c"], &["a", "b", "c"])]
    #[case::another_roster(&["a", "b", "d"], &[])]
    fn another_request_begins_anew(#[case] names: &[&str], #[case] asked: &[&str]) {
        let standing = left(0, Mark::Done, HALF, None);
        let other = request(names, asked);
        assert_eq!(standing.earlier(&other, Some(Generation(7)), Resume::Always, NOW), None);
    }

    #[test]
    fn a_changed_command_is_another_request() {
        let mut roster = fleet_of(&["a"]);
        let before = Request::new(&Plan::new(&roster, Verb::Restart, &[]).expect("known"));
        roster.agents[0].command.push("--more".to_owned());
        let after = Request::new(&Plan::new(&roster, Verb::Restart, &[]).expect("known"));
        assert_ne!(before, after);
    }

    #[rstest]
    #[case(Mark::Pending)]
    #[case(Mark::Begun)]
    #[case(Mark::Failed)]
    fn without_its_holder_nothing_of_it_stands(#[case] holder: Mark) {
        let standing = left(0, holder, HALF, None);
        let request = request(&["a", "b", "c"], &[]);
        assert_eq!(standing.earlier(&request, Some(Generation(7)), Resume::Always, NOW), None);
    }

    #[test]
    fn a_reboot_ends_everything() {
        let standing = left(0, Mark::Done, HALF, None);
        let request = request(&["a", "b", "c"], &[]);
        let later = Moment { boot: "next", ..NOW };
        assert_eq!(standing.earlier(&request, Some(Generation(7)), Resume::Always, later), None);
    }

    #[test]
    fn what_is_gone_on_with_is_done_from_the_start() {
        let standing = left(0, Mark::Done, HALF, None);
        let request = request(&["a", "b", "c"], &[]);
        let earlier = standing.earlier(&request, Some(Generation(7)), Resume::AfterTakeover, NOW);
        let next = Standing::new(request, Generation(8), NOW, earlier.as_ref());
        let marks: Vec<_> = next.agents.iter().map(|agent| agent.mark).collect();
        assert_eq!(next.holder, Some(Mark::Done));
        assert_eq!(marks, [Mark::Done, Mark::Pending, Mark::Pending]);
    }

    const ALL: [Mark; 3] = [Mark::Done, Mark::Failed, Mark::Done];

    #[rstest]
    #[case::waited_for(Some(7), ALL, Some(1), Some(1))]
    #[case::came_while_we_waited_for_another(Some(6), ALL, Some(1), Some(1))]
    #[case::was_before(Some(8), ALL, Some(1), None)]
    #[case::nobody_was_waited_for(None, ALL, Some(1), None)]
    #[case::died(Some(7), ALL, None, None)]
    #[case::interrupted(Some(7), HALF, Some(130), None)]
    #[case::held_back(Some(7), [Mark::Failed, Mark::Pending, Mark::Pending], Some(1), Some(1))]
    fn who_may_take_its_end_for_its_own(
        #[case] since: Option<u64>,
        #[case] marks: [Mark; 3],
        #[case] exit: Option<u8>,
        #[case] joined: Option<u8>,
    ) {
        let standing = left(0, Mark::Done, marks, exit);
        let since = since.map(Generation);
        assert_eq!(standing.joined(&request(&["a", "b", "c"], &[]), since), joined);
        assert_eq!(standing.joined(&request(&["a", "b", "c"], &["a"]), since), None);
    }

    #[test]
    fn it_survives_the_disk() {
        let standing = left(0, Mark::Done, HALF, Some(1));
        let text = serde_json::to_string(&standing).expect("plain data");
        assert_eq!(serde_json::from_str::<Standing>(&text).expect("what we wrote"), standing);
    }
}
