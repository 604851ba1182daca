//! Ownerships, put together from the lines of a history.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::history::{Source, What};

/// One ownership and what was done under it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Section {
    /// Whose.
    pub source: String,
    /// Its fencing token.
    pub generation: u64,
    /// Its name.
    pub token: String,
    /// An instant at which it had begun.
    pub begin: u64,
    /// An instant at which it had not yet ended, if it came to its end.
    pub end: Option<u64>,
    /// An instant at which it, or a child of it that has the ticket, had not yet ended.
    pub until: u64,
    /// Why and from whom it was taken over, if it was.
    pub takeover: Option<(String, Option<String>)>,
    /// What the release reported.
    pub outcome: Option<String>,
    /// Its fenced steps.
    pub steps: Vec<(u64, u64)>,
    /// Whether it had agreed to be replaced while it lived.
    pub preemptible: bool,
    /// When its children worked that had the ticket.
    pub children: Vec<(u64, u64)>,
    /// How many of them were ended by an owner after it.
    pub ended_children: usize,
    /// Whether a child vanished that nobody killed.
    pub endless_child: bool,
    /// Whether its loss was delivered.
    pub told: bool,
    /// Whether its process was killed.
    pub killed: bool,
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { source, generation, token, begin, end, until, preemptible, .. } = self;
        let kind = if *preemptible { "preemptible " } else { "" };
        write!(f, "{source}: {kind}generation {generation} token {token} begin {begin} ")?;
        match end {
            Some(end) => write!(f, "end {end}")?,
            None => write!(f, "killed")?,
        }
        write!(f, " until {until}")?;
        if let Some((reason, victim)) = &self.takeover {
            write!(f, " took over ({reason}) from {}", victim.as_deref().unwrap_or("?"))?;
        }
        if let Some(outcome) = &self.outcome {
            write!(f, " outcome {outcome}")?;
        }
        let mut spans = self.steps.iter().map(|span| ("step", span));
        let children = self.children.iter().map(|span| ("child", span));
        spans
            .by_ref()
            .chain(children)
            .try_for_each(|(what, (begin, until))| write!(f, " {what} {begin}-{until}"))
    }
}

/// All sections, in the order of their begin.
pub(super) fn collect(sources: &[Source]) -> Vec<Section> {
    let mut sections: Vec<_> = sources.iter().flat_map(of).collect();
    let mut by_generation: BTreeMap<u64, Vec<&mut Section>> = BTreeMap::new();
    for section in &mut sections {
        by_generation.entry(section.generation).or_default().push(section);
    }
    let signalled: BTreeSet<_> = sources.iter().flat_map(signalled).collect();
    let last_words = sources.iter().filter_map(last_words).max();
    for source in sources {
        if let Some((generation, child)) = children(source) {
            let is_told = pid(source).is_some_and(|pid| signalled.contains(&pid));
            let may_be = is_told || last_words.is_some_and(|last| last > generation);
            for section in by_generation.get_mut(&generation).into_iter().flatten() {
                let is_ended = child.endless && section.preemptible && may_be;
                section.children.push((child.begin, child.until));
                section.ended_children += usize::from(is_ended);
                section.until = section.until.max(child.until);
                section.endless_child |= child.endless && !is_ended;
            }
        }
    }
    sections.sort_by_key(|section| (section.begin, section.generation));
    sections
}

/// The sections of one process.
fn of(source: &Source) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    // What a killed process was at lasted until the kill was sent, and no shorter.
    let cut = source.killed.unwrap_or(0);
    for event in &source.events {
        if let What::Begin { token, takeover, preemptible } = &event.what {
            sections.push(Section {
                source: source.name.clone(),
                generation: event.generation,
                token: token.clone(),
                begin: event.at,
                until: event.at.max(cut),
                takeover: takeover.clone(),
                preemptible: *preemptible,
                killed: source.killed.is_some(),
                ..Section::default()
            });
            continue;
        }
        let Some(section) = sections.last_mut() else { continue };
        match &event.what {
            What::End => {
                section.end = Some(event.at);
                section.until = event.at;
            }
            What::Outcome(outcome) => section.outcome = Some(outcome.clone()),
            What::Told => section.told = true,
            What::StepBegin => section.steps.push((event.at, event.at.max(cut))),
            What::StepEnd => {
                if let Some((_, until)) = section.steps.last_mut() {
                    *until = event.at;
                }
            }
            _ => {}
        }
    }
    sections
}

struct Child {
    begin: u64,
    until: u64,
    endless: bool,
}

/// The child of an ownership that a file tells of, if it is a child's.
fn children(source: &Source) -> Option<(u64, Child)> {
    let mut events = source.events.iter();
    let begin = events.find(|event| matches!(event.what, What::ChildBegin { .. }))?;
    let end = events.find(|event| event.what == What::ChildEnd);
    let tied = begin.what == What::ChildBegin { tied: true };
    let until = end.map_or(begin.at, |event| event.at);
    let endless = end.is_none() && !tied;
    Some((begin.generation, Child { begin: begin.at, until, endless }))
}

/// Whom this process has sent a signal.
fn signalled(source: &Source) -> impl Iterator<Item = u32> {
    source.events.iter().filter_map(|event| match event.what {
        What::Signalled(pid) => Some(pid),
        _ => None,
    })
}

/// The generation that a process was to get when it was killed: it says whom it has signalled only
/// when it owns the lock.
fn last_words(source: &Source) -> Option<u64> {
    source.killed?;
    let mut events = source.events.iter().rev();
    let last = events
        .find(|event| matches!(event.what, What::Intent | What::Begin { .. } | What::Failure(_)))?;
    (last.what == What::Intent).then_some(last.generation)
}

/// The process that a child's file is named after, behind its generation.
fn pid(source: &Source) -> Option<u32> {
    source.name.rsplit('-').next()?.parse().ok()
}
