//! Judges a history: whether the lock kept what it promises.
//!
//! What is judged is work: an owner's section, and whatever it or its death left running that has
//! its ticket. An ownership is *broken* if another took it over while its owner lived (`Silent`,
//! `TimedOut`), which only a preemptible owner has agreed to. The rules:
//!
//! | rule | |
//! |---|---|
//! | `consent` | nobody is taken over while it lives that is not preemptible |
//! | `overlap` | the work of an owner that is not broken and of a later one never overlaps |
//! | `settle` | no later owner is at work while a child of an owner before it is, broken or not |
//! | `order` | an unbroken owner's generation is larger than all that began before |
//! | `step` | steps of any owners, broken or not, never overlap, and none is in progress once a later generation has begun |
//! | `unique` | no token and no generation is given out twice; none is smaller than what was given out before |
//! | `end` | only a section whose process was killed has no end, and nobody does anything after its death |
//! | `told` | a broken owner's release reports the loss; nobody else's does |
//! | `failure` | nothing fails but what the faults explain |
//!
//! A process can be killed after it has taken the lock over and before it has said so. It has
//! said before that it would (`intent`). So such a takeover, of which the generation is
//! missing everywhere else, counts as having broken whoever owned the lock before, and may
//! have ended what a preemptible owner before it had left running.
//! What is unknown is taken for the shortest: a killed section lasted until the kill was
//! sent, a tied child that died with its parent for no time at all.

mod section;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::history::{CHILD, Source, What};

pub use section::Section;

/// What is known of a history beside its lines.
#[derive(Clone, Copy, Debug, Default)]
pub struct Circumstances {
    /// The largest generation that was given out before it began.
    pub after: u64,
    /// Whether the file system was full at times.
    pub full_disk: bool,
}

/// Something that must not be, with the lines that show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The rule's name.
    pub rule: &'static str,
    /// The lines.
    pub lines: Vec<String>,
}

/// What was in a history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// How many of what: sections, steps, takeovers by reason.
    pub counts: BTreeMap<String, u64>,
    /// The largest generation.
    pub last: u64,
    /// Everything that must not be.
    pub violations: Vec<Violation>,
}

/// Judges a history.
#[must_use]
pub fn check(sources: &[Source], circumstances: Circumstances) -> Figures {
    let sections = section::collect(sources);
    let mut figures = Figures { last: circumstances.after, ..Figures::default() };
    figures.count(sources, &sections);
    let broken = Broken::new(sources, &sections);
    figures.unique(&sections, circumstances.after);
    figures.consent(&sections);
    figures.overlaps(&sections, &broken);
    figures.settled(&sections);
    figures.steps(&sections);
    figures.ends(sources, &sections);
    figures.told(&sections, &broken);
    figures.failures(sources, circumstances);
    figures
}

/// Which ownerships were taken over while their owners lived.
struct Broken {
    /// Token → the generation that took it over.
    by: BTreeMap<String, u64>,
    /// Generations of takeovers by processes that were killed before they said more.
    orphans: BTreeSet<u64>,
}

impl Broken {
    fn new(sources: &[Source], sections: &[Section]) -> Self {
        let by = sections.iter().filter_map(|section| {
            let (reason, victim) = section.takeover.as_ref()?;
            let living = matches!(reason.as_str(), "Silent" | "TimedOut");
            living.then(|| victim.clone().map(|victim| (victim, section.generation)))?
        });
        let begun: BTreeSet<_> = sections.iter().map(|section| section.generation).collect();
        let orphans = sources.iter().filter(|source| source.killed.is_some());
        let orphans = orphans.flat_map(|source| &source.events);
        let orphans = orphans.filter(|event| event.what == What::Intent);
        let orphans = orphans.map(|event| event.generation);
        Self {
            by: by.collect(),
            orphans: orphans.filter(|orphan| !begun.contains(orphan)).collect(),
        }
    }

    /// Whether `section` had been broken by the time that `generation` owned the lock.
    fn had(&self, section: &Section, generation: u64) -> bool {
        if !section.preemptible {
            return false;
        }
        let named = self.by.get(&section.token).is_some_and(|by| *by <= generation);
        let after = section.generation.saturating_add(1);
        named || (after <= generation && self.orphans.range(after..=generation).next().is_some())
    }
}

impl Figures {
    fn add(&mut self, what: &str, times: usize) {
        *self.counts.entry(what.to_owned()).or_default() += u64::try_from(times).unwrap_or(0);
    }

    fn violation(&mut self, rule: &'static str, sections: &[&Section]) {
        let lines = sections.iter().map(ToString::to_string).collect();
        self.violations.push(Violation { rule, lines });
    }

    fn count(&mut self, sources: &[Source], sections: &[Section]) {
        self.add("sections", sections.len());
        for section in sections {
            self.last = self.last.max(section.generation);
            self.add("steps", section.steps.len());
            self.add("preemptible sections", usize::from(section.preemptible));
            self.add("children", section.children.len());
            self.add("children ended by a later owner", section.ended_children);
            self.add("losses delivered", usize::from(section.told));
            self.add("sections cut off by a kill", usize::from(section.end.is_none()));
            if let Some((reason, _)) = &section.takeover {
                self.add(&format!("takeovers: {reason}"), 1);
            }
            if let Some(outcome) = &section.outcome {
                self.add(&format!("releases: {outcome}"), 1);
            }
        }
        for event in sources.iter().flat_map(|source| &source.events) {
            if let What::Failure(reason) = &event.what {
                self.add(&format!("failures: {reason}"), 1);
            }
        }
    }

    fn unique(&mut self, sections: &[Section], after: u64) {
        let mut tokens = BTreeMap::new();
        let mut generations = BTreeMap::new();
        for section in sections {
            let again = [
                tokens.insert(&section.token, section),
                generations.insert(section.generation, section),
            ];
            for other in again.into_iter().flatten() {
                self.violation("unique", &[other, section]);
            }
            if section.generation <= after {
                self.violation("unique", &[section]);
            }
        }
    }

    /// A takeover is named by whoever made it, and its victim says what it had agreed to.
    fn consent(&mut self, sections: &[Section]) {
        let by_token: BTreeMap<_, _> =
            sections.iter().map(|section| (section.token.as_str(), section)).collect();
        for section in sections {
            let Some((reason, Some(victim))) = &section.takeover else { continue };
            let living = matches!(reason.as_str(), "Silent" | "TimedOut");
            let victim = by_token.get(victim.as_str()).filter(|victim| !victim.preemptible);
            if let Some(victim) = victim.filter(|_| living) {
                self.violation("consent", &[victim, section]);
            }
        }
    }

    /// What a step has started, or a killed owner has left, is over before the next owner begins.
    fn settled(&mut self, sections: &[Section]) {
        let mut begun: Vec<_> = sections.iter().map(|section| (section.begin, section)).collect();
        begun.sort_by_key(|(begin, _)| *begin);
        for section in sections {
            for (begin, until) in &section.children {
                let from = begun.partition_point(|(at, _)| at < begin);
                let during = begun.get(from..).unwrap_or_default().iter();
                let during = during.take_while(|(at, _)| at < until);
                let later = during.filter(|(_, other)| other.generation > section.generation);
                let later: Vec<_> = later.map(|(_, other)| *other).collect();
                for other in later {
                    self.violation("settle", &[section, other]);
                }
            }
        }
    }

    /// `sections` in the order of their begin.
    fn overlaps(&mut self, sections: &[Section], broken: &Broken) {
        let mut begun: BTreeMap<u64, &Section> = BTreeMap::new();
        let mut active: Vec<&Section> = Vec::new();
        for section in sections {
            active.retain(|other| other.until > section.begin);
            for other in &active {
                let (older, newer) = match other.generation < section.generation {
                    true => (*other, section),
                    false => (section, *other),
                };
                if broken.had(older, newer.generation) {
                    self.add("overlaps with a broken owner", 1);
                } else {
                    self.violation("overlap", &[other, section]);
                }
            }
            let next = begun.range(section.generation.saturating_add(1)..).next();
            if let Some((generation, later)) = next
                && !broken.had(section, *generation)
            {
                self.violation("order", &[later, section]);
            }
            begun.insert(section.generation, section);
            active.push(section);
        }
    }

    fn steps(&mut self, sections: &[Section]) {
        // For each generation, the first instant at which it or a later one had begun.
        let mut first: BTreeMap<u64, (u64, &Section)> = BTreeMap::new();
        let by_generation: BTreeMap<_, _> =
            sections.iter().map(|section| (section.generation, section)).collect();
        let mut earliest = None;
        for (generation, section) in by_generation.into_iter().rev() {
            let here = (section.begin, section);
            let best = earliest.filter(|(begin, _): &(u64, &Section)| *begin < section.begin);
            earliest = Some(best.unwrap_or(here));
            first.extend(earliest.map(|best| (generation, best)));
        }
        let mut steps: Vec<_> = sections
            .iter()
            .flat_map(|section| section.steps.iter().map(move |step| (*step, section)))
            .collect();
        steps.sort_by_key(|(step, _)| *step);
        let mut last: Option<(u64, &Section)> = None;
        for ((begin, until), section) in steps {
            if let Some((_, other)) = last.filter(|(end, _)| *end > begin) {
                self.violation("step", &[other, section]);
            }
            let later = first.range(section.generation.saturating_add(1)..).next();
            if let Some((_, (_, other))) = later.filter(|(_, (at, _))| *at < until) {
                self.violation("step", &[section, other]);
            }
            last = last.filter(|(end, _)| *end > until).or(Some((until, section)));
        }
    }

    fn ends(&mut self, sources: &[Source], sections: &[Section]) {
        for section in sections {
            if section.end.is_none() && !section.killed {
                self.violation("end", &[section]);
            }
            if section.endless_child {
                self.violation("end", &[section]);
            }
        }
        for source in sources {
            let Some(reaped) = source.reaped else { continue };
            let late = source.events.iter().filter(|event| event.at > reaped);
            let lines: Vec<_> = late.map(|event| format!("{}: {event}", source.name)).collect();
            if !lines.is_empty() && !source.name.starts_with(CHILD) {
                self.violations.push(Violation { rule: "end", lines });
            }
        }
    }

    fn told(&mut self, sections: &[Section], broken: &Broken) {
        for section in sections {
            let named = broken.by.contains_key(&section.token);
            let at_all = broken.had(section, u64::MAX);
            let lost = section.outcome.as_deref() == Some("lost");
            let released = section.outcome.as_deref() == Some("released");
            if (named && released) || ((lost || section.told) && !at_all) {
                self.violation("told", &[section]);
            }
        }
    }

    fn failures(&mut self, sources: &[Source], circumstances: Circumstances) {
        for source in sources {
            for event in &source.events {
                let What::Failure(reason) = &event.what else { continue };
                let explained = match reason.as_str() {
                    // A process that is stopped in the mutex is never robbed.
                    "MutexHeld" | "Lost" | "TimedOut" => true,
                    "NoSpace" => circumstances.full_disk,
                    _ => false,
                };
                if !explained {
                    let lines = vec![format!("{}: {event}", source.name)];
                    self.violations.push(Violation { rule: "failure", lines });
                }
            }
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.rule)?;
        self.lines.iter().try_for_each(|line| write!(f, "\n    {line}"))
    }
}
