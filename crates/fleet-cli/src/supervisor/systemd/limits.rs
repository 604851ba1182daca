//! How long the manager may be at work on a unit: as long as the unit's own settings allow.

use std::sync::PoisonError;
use std::time::Duration;

use super::Units;
use super::manager::Manager;
use crate::supervisor::stop::KILL_PATIENCE;
use crate::supervisor::{Step, SupervisorError, Target, tmux};

/// What is asked about a unit's limits.
const PROPERTIES: &str = "--property=TimeoutStartUSec,TimeoutStopUSec,ExecCondition,\
                                     ExecStartPre,ExecStart,ExecStartPost,ExecStop,ExecStopPost";

/// How long we wait where the unit's settings allow any time, as they do for the start of a
/// `Type=oneshot` unless they say otherwise.
const UNLIMITED: Duration = Duration::from_secs(600);

/// For how long a unit may start, and stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    /// Until it runs, or has failed to and is ended again.
    pub(super) start: Duration,
    /// Until nothing of it is left.
    pub(super) stop: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { start: UNLIMITED, stop: UNLIMITED }
    }
}

impl Manager {
    /// How long units may take to start and to stop, in their order.
    ///
    /// # Errors
    ///
    /// When the manager cannot be asked.
    fn limits(&self, units: &[&str]) -> Result<Vec<Limits>, SupervisorError> {
        let show = ["--user", "show", PROPERTIES, "--"];
        Ok(parse(&self.run(&[&show, units].concat())?))
    }
}

impl Units<'_> {
    /// How long the manager may be at work on `targets`, all at once.
    pub(super) fn jobs_limit(&self, step: Step, targets: &[Target<'_>]) -> Duration {
        let holder = std::slice::from_ref(&self.names.holder);
        let names = |target: &Target<'_>| match target {
            Target::Holder => [self.agent_units(), holder.to_vec()].concat(),
            Target::Agent(agent) if step == Step::Stop => vec![self.names.agent(&agent.name)],
            Target::Agent(agent) => [&[self.names.agent(&agent.name)], holder].concat(),
        };
        self.learn_limits(&targets.iter().flat_map(names).collect::<Vec<_>>());
        let limit = |target: &Target<'_>| {
            let own = self.longest(&[self.unit_name(*target)]);
            let before = match (target, step) {
                // The agents are stopped first: they are part of it.
                (Target::Holder, _) => self.longest(&self.agent_units()).stop,
                (Target::Agent(_), Step::Stop) => Duration::ZERO,
                // It is started first, if it does not run.
                (Target::Agent(_), _) => self.longest(holder).start,
            };
            let start = if step == Step::Stop { Duration::ZERO } else { own.start };
            before.saturating_add(own.stop).saturating_add(start)
        };
        targets.iter().map(limit).max().unwrap_or_default()
    }

    fn agent_units(&self) -> Vec<String> {
        self.agents.iter().map(|agent| self.names.agent(&agent.name)).collect()
    }

    /// Asks for the limits of units that are not known yet. Whatever is wrong with the manager, the
    /// step itself will say.
    fn learn_limits(&self, names: &[String]) {
        let mut known = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        let unknown = names.iter().filter(|name| !known.contains_key(*name));
        let unknown: Vec<_> = unknown.map(String::as_str).collect();
        if unknown.is_empty() {
            return;
        }
        let found = self.manager.limits(&unknown).unwrap_or_default();
        if found.len() == unknown.len() {
            known.extend(unknown.iter().map(|name| (*name).to_owned()).zip(found));
        }
    }

    /// The longest that any of these units may take.
    fn longest(&self, names: &[String]) -> Limits {
        let known = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        let limits = || names.iter().map(|name| known.get(name).copied().unwrap_or_default());
        Limits {
            start: limits().map(|limits| limits.start).max().unwrap_or_default(),
            stop: limits().map(|limits| limits.stop).max().unwrap_or_default(),
        }
    }

    /// How much of the wait for a step comes after the manager's job.
    pub(super) fn after_job(&self, step: Step, target: Target<'_>) -> Duration {
        match (step, target) {
            (Step::Stop, Target::Holder) => Duration::ZERO,
            (Step::Stop, Target::Agent(_)) => self.patience.grace,
            (Step::Start | Step::Restart, Target::Holder) => tmux::HOLDER_PATIENCE,
            (Step::Start | Step::Restart, Target::Agent(_)) => self.patience.settle,
        }
    }
}

/// Reads blocks of `Key=value` lines with an empty line between two.
fn parse(text: &str) -> Vec<Limits> {
    text.split("\n\n").filter(|block| !block.trim().is_empty()).map(parse_unit).collect()
}

fn parse_unit(block: &str) -> Limits {
    let lines = || block.lines().filter_map(|line| line.split_once('='));
    // The manager counts each command's time anew.
    let commands = |keys: &[&str]| lines().filter(|(key, _)| keys.contains(key)).count();
    let setting =
        |wanted| lines().find(|(key, _)| *key == wanted).and_then(|(_, span)| parse_span(span));
    let times = |span: Duration, commands: usize| {
        span.saturating_mul(u32::try_from(commands).unwrap_or(u32::MAX))
    };
    let stop = match setting("TimeoutStopUSec") {
        // The processes get SIGTERM between the two, and SIGKILL when their time is over.
        Some(span) => times(span, commands(&["ExecStop", "ExecStopPost"]) + 1) + KILL_PATIENCE,
        None => UNLIMITED,
    };
    let start = match setting("TimeoutStartUSec") {
        Some(span) => {
            let keys = ["ExecCondition", "ExecStartPre", "ExecStart", "ExecStartPost"];
            times(span, commands(&keys).max(1)).saturating_add(stop)
        }
        None => UNLIMITED,
    };
    Limits { start, stop }
}

/// Reads a time as systemctl writes it: `1min 30s`, `1.500s`; nothing for `infinity`, or if it is
/// none.
fn parse_span(text: &str) -> Option<Duration> {
    let mut span = Duration::ZERO;
    for word in text.split_whitespace() {
        let digits = word.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(word.len());
        let (number, unit) = word.split_at(digits);
        let seconds = match unit {
            "us" => 0.000_001,
            "ms" => 0.001,
            "s" => 1.0,
            "min" => 60.0,
            "h" => 3_600.0,
            "d" => 86_400.0,
            "w" => 604_800.0,
            "month" => 2_629_800.0,
            "y" => 31_557_600.0,
            _ if word == "0" => 0.0,
            _ => return None,
        };
        let number: f64 = number.parse().ok()?;
        span = span.saturating_add(Duration::try_from_secs_f64(number * seconds).ok()?);
    }
    (!text.trim().is_empty()).then_some(span)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[rstest]
    #[case("1min 30s", Some(seconds(90)))]
    #[case("15s", Some(seconds(15)))]
    #[case("1.500s", Some(Duration::from_millis(1500)))]
    #[case("2h 5min 250ms", Some(seconds(7500) + Duration::from_millis(250)))]
    #[case("1w 1d", Some(seconds(691_200)))]
    #[case("0", Some(Duration::ZERO))]
    #[case("infinity", None)]
    #[case("", None)]
    #[case("5 parsecs", None)]
    fn spans_are_read_as_systemctl_writes_them(#[case] text: &str, #[case] span: Option<Duration>) {
        assert_eq!(parse_span(text), span);
    }

    #[rstest]
    #[case::plain(
        "TimeoutStartUSec=1min 30s\nTimeoutStopUSec=15s\nExecStart={ path=/bin/a }\n",
        20 + 90,
        20
    )]
    #[case::with_more_commands(
        "TimeoutStartUSec=30s\nTimeoutStopUSec=10s\nExecStartPre={ a }\nExecStartPre={ b }\n\
         ExecStart={ c }\nExecStop={ d }\nExecStopPost={ e }\n",
        35 + 90,
        35
    )]
    #[case::any_time("TimeoutStartUSec=infinity\nTimeoutStopUSec=infinity\n", 600, 600)]
    #[case::nothing_is_said("Id=a.service\n", 600, 600)]
    fn each_command_has_its_time(#[case] block: &str, #[case] start: u64, #[case] stop: u64) {
        let limits = Limits { start: seconds(start), stop: seconds(stop) };
        assert_eq!(parse(&format!("{block}\n{block}")), [limits, limits]);
    }
}
