//! What a command does and in which order, decided before anything is touched.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::roster::{self, Agent, Roster};

/// What to do with the fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verb {
    /// Stop, then start.
    Restart,
    /// Start what does not run.
    Start,
    /// Stop what runs.
    Stop,
}

/// When the holder's turn comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HolderTurn {
    /// Before the agents, who need it.
    First,
    /// After the agents, who need it.
    Last,
    /// Never: it belongs to the whole fleet, and only some agents were asked for.
    Never,
}

/// The work of one command.
#[derive(Clone, Debug)]
pub(crate) struct Plan<'r> {
    /// What to do.
    pub(crate) verb: Verb,
    /// When to do it to the holder.
    pub(crate) holder: HolderTurn,
    /// To whom, in this order.
    pub(crate) agents: Vec<&'r Agent>,
}

/// A name on the command line that the roster does not have.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no agent `{name}` in the roster; {}", hint(.nearest.as_deref(), .known))]
pub(crate) struct UnknownAgent {
    /// As typed.
    pub(crate) name: String,
    /// The agent whose name it may stand for.
    pub(crate) nearest: Option<String>,
    /// The agents that there are.
    pub(crate) known: Vec<String>,
}

impl<'r> Plan<'r> {
    /// The plan for the agents named, or for the whole fleet when none is.
    ///
    /// # Errors
    ///
    /// When a name is not in the roster.
    pub(crate) fn new(
        roster: &'r Roster,
        verb: Verb,
        names: &[String],
    ) -> Result<Self, UnknownAgent> {
        for name in names {
            agent(roster, name)?;
        }
        let wanted = |agent: &&Agent| names.is_empty() || names.contains(&agent.name);
        let mut agents: Vec<_> = roster.agents.iter().filter(wanted).collect();
        if verb == Verb::Stop {
            agents.reverse();
        }
        let holder = match (names.is_empty(), verb) {
            (false, _) => HolderTurn::Never,
            (true, Verb::Restart | Verb::Start) => HolderTurn::First,
            (true, Verb::Stop) => HolderTurn::Last,
        };
        Ok(Self { verb, holder, agents })
    }
}

impl Verb {
    /// As typed on the command line.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Restart => "restart",
            Self::Start => "start",
            Self::Stop => "stop",
        }
    }

    /// While it is being done.
    pub(crate) const fn doing(self) -> &'static str {
        match self {
            Self::Restart => "restarting",
            Self::Start => "starting",
            Self::Stop => "stopping",
        }
    }

    /// When it is done.
    pub(crate) const fn done(self) -> &'static str {
        match self {
            Self::Restart => "restarted",
            Self::Start => "started",
            Self::Stop => "stopped",
        }
    }
}

/// The agent called `name`.
///
/// # Errors
///
/// When it is not in the roster.
pub(crate) fn agent<'r>(roster: &'r Roster, name: &str) -> Result<&'r Agent, UnknownAgent> {
    let found = roster.agents.iter().find(|agent| agent.name == name);
    found.ok_or_else(|| {
        let known: Vec<&str> = roster.agents.iter().map(|agent| agent.name.as_str()).collect();
        let nearest = roster::nearest(name, &known).map(str::to_owned);
        let known = known.into_iter().map(str::to_owned).collect();
        UnknownAgent { name: name.to_owned(), nearest, known }
    })
}

/// How many agents still fit into a sentence.
const FEW: usize = 10;

fn hint(nearest: Option<&str>, known: &[String]) -> String {
    match nearest {
        Some(name) => format!("the nearest name is `{name}`"),
        None if known.len() <= FEW => format!("there are: {}", known.join(", ")),
        None => format!("`fleet status` lists the {} that there are", known.len()),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::roster::tests::fleet_of;

    #[rstest]
    #[case::restart_all(Verb::Restart, &[], HolderTurn::First, &["a", "b", "c"])]
    #[case::start_all(Verb::Start, &[], HolderTurn::First, &["a", "b", "c"])]
    #[case::stop_all(Verb::Stop, &[], HolderTurn::Last, &["c", "b", "a"])]
    #[case::restart_one(Verb::Restart, &["b"], HolderTurn::Never, &["b"])]
    #[case::in_roster_order(Verb::Start, &["c", "a"], HolderTurn::Never, &["a", "c"])]
    #[case::in_reverse_order(Verb::Stop, &["a", "c"], HolderTurn::Never, &["c", "a"])]
    #[case::named_twice(Verb::Restart, &["a", "a"], HolderTurn::Never, &["a"])]
    fn the_order(
        #[case] verb: Verb,
        #[case] names: &[&str],
        #[case] holder: HolderTurn,
        #[case] order: &[&str],
    ) {
        let roster = fleet_of(&["a", "b", "c"]);
        let names: Vec<String> = names.iter().copied().map(str::to_owned).collect();
        let plan = Plan::new(&roster, verb, &names).expect("all are known");
        let planned: Vec<_> = plan.agents.iter().map(|agent| agent.name.as_str()).collect();
        assert_eq!((plan.holder, planned.as_slice()), (holder, order));
    }

    #[rstest]
    #[case::mistyped("codre", 2, "the nearest name is `coder`")]
    #[case::cut_short("cod", 2, "the nearest name is `coder`")]
    #[case::like_none("tester", 2, "there are: coder, a1")]
    #[case::too_short_to_be_like_any("b1", 2, "there are: coder, a1")]
    #[case::among_many("tester", 12, "`fleet status` lists the 12 that there are")]
    fn an_unknown_name_comes_with_advice(
        #[case] name: &str,
        #[case] count: usize,
        #[case] advice: &str,
    ) {
        let names = ["coder", "a1", "a2", "a3", "a4", "a5", "a6", "a7", "a8", "a9", "b10", "b11"];
        let roster = fleet_of(&names[..count]);
        let error = Plan::new(&roster, Verb::Restart, &[name.into()]).expect_err("unknown");
        assert_eq!(
            error.to_string(),
            format!("there is no agent `{name}` in the roster; {advice}")
        );
    }
}
