//! What a directory offers a lock, in plain words.

use camino::Utf8Path;
use lock_fs::Medium;
use schemars::JsonSchema;
use serde::Serialize;

use super::screen::{Paint, Screen};
use crate::lock::doctor::{Diagnosis, Evidence, Finding, Ground};

/// What a directory offers a lock.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Data<'a> {
    /// The directory that was tried.
    #[schemars(with = "String")]
    directory: &'a Utf8Path,
    /// The type of its file system.
    file_system: &'a str,
    /// Whether every guarantee holds there.
    holds: bool,
    /// One by one.
    findings: Vec<FindingData>,
}

/// One guarantee.
#[derive(Debug, Serialize, JsonSchema)]
struct FindingData {
    /// What was tried: `lock`, `arbitration`, `directory`, `room`, `exclusion`, `death`,
    /// `anonymous`, `links`, `rename`, `events`, `boot_clock`, `stamps` or `durable`.
    ground: &'static str,
    /// What rests on it.
    guarantee: &'static str,
    /// Whether it holds.
    holds: bool,
    /// What shows that, where it worked in a certain time or way, or did not.
    #[serde(skip_serializing_if = "String::is_empty")]
    evidence: String,
    /// What a lock does without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    without: Option<&'static str>,
}

impl Screen {
    /// What a directory offers a lock; `asked` is the one that was meant.
    pub(crate) fn diagnosis(&mut self, asked: &Utf8Path, diagnosis: &Diagnosis) {
        let Diagnosis { directory, file_system, findings } = diagnosis;
        if asked != directory {
            self.remark(&format!("there is no {asked} yet; tried {directory}, where it would be"));
        }
        if self.json() {
            let holds = diagnosis.holds();
            let findings = findings.iter().map(FindingData::new).collect();
            return self.data(&Data { directory, file_system, holds, findings });
        }
        self.result(&format!("{directory} ({file_system})"));
        let titles = findings.iter().map(|finding| guarantee(finding.ground).chars().count());
        let width = titles.max().unwrap_or(0);
        for finding in findings {
            let guarantee = guarantee(finding.ground);
            let evidence = evidence(finding);
            let mark = match finding.shown {
                Ok(_) => self.paint(Paint::Good, "holds"),
                Err(_) => self.paint(Paint::Bad, "fails"),
            };
            let line = format!("  {mark}  {guarantee:width$}  {evidence}");
            self.result(line.trim_end());
            if finding.shown.is_err() {
                self.result(&format!("         without it, {}", without(finding.ground)));
            }
        }
        let failed = findings.iter().filter(|finding| finding.shown.is_err()).count();
        self.result(&match failed {
            0 => "every guarantee holds here".to_owned(),
            1 => "one guarantee does not hold here".to_owned(),
            many => format!("{many} guarantees do not hold here"),
        });
    }
}

impl FindingData {
    fn new(finding: &Finding) -> Self {
        let holds = finding.shown.is_ok();
        Self {
            ground: word(finding.ground),
            guarantee: guarantee(finding.ground),
            holds,
            evidence: evidence(finding),
            without: (!holds).then(|| without(finding.ground)),
        }
    }
}

const fn word(ground: Ground) -> &'static str {
    match ground {
        Ground::Lock => "lock",
        Ground::Arbitration => "arbitration",
        Ground::Directory => "directory",
        Ground::Room => "room",
        Ground::Exclusion => "exclusion",
        Ground::Death => "death",
        Ground::Anonymous => "anonymous",
        Ground::Links => "links",
        Ground::Rename => "rename",
        Ground::Events => "events",
        Ground::BootClock => "boot_clock",
        Ground::Stamps => "stamps",
        Ground::Durable => "durable",
    }
}

/// What rests on a ground.
const fn guarantee(ground: Ground) -> &'static str {
    match ground {
        Ground::Lock => "a lock can be taken, used and released",
        Ground::Arbitration => "the kernel says who lives",
        Ground::Directory => "strangers cannot exchange its files",
        Ground::Room => "there is room for it and its journal",
        Ground::Exclusion => "two processes exclude each other",
        Ground::Death => "a dead owner is replaced at once",
        Ground::Anonymous => "nobody sees a lock file that is not whole",
        Ground::Links => "a role is taken by one, or by nobody",
        Ground::Rename => "a takeover is one step",
        Ground::Events => "a waiter wakes when something changes",
        Ground::BootClock => "setting the clock changes nothing",
        Ground::Stamps => "a file's age can be told",
        Ground::Durable => "generations grow across a power cut",
    }
}

/// What a lock does where a ground is missing.
const fn without(ground: Ground) -> &'static str {
    match ground {
        Ground::Lock => "nothing can be guarded here: choose another directory",
        Ground::Directory => "no lock is taken here",
        Ground::Room => "a lock may not be had, and its journal not be kept: make room",
        Ground::Arbitration | Ground::Exclusion | Ground::Death => {
            "locks are judged by age alone; --require-kernel-lock refuses that"
        }
        Ground::Anonymous => "files are born with a name, and a killed contender may leave one",
        Ground::Links => "each role is a file of its own, judged by age while it is made",
        Ground::Rename => "no lock can be taken over: choose another directory",
        Ground::Events => "a waiter looks four times a second",
        Ground::BootClock => "no lock can be opened: mount /proc",
        Ground::Stamps => "peers that go by age may take a fresh lock for an old one",
        Ground::Durable => "generations may begin anew after a power cut",
    }
}

fn evidence(finding: &Finding) -> String {
    match &finding.shown {
        Err(lack) => lack.to_string(),
        Ok(Evidence::Works) => String::new(),
        Ok(Evidence::Took(took)) if took.as_millis() == 0 => format!("in {}µs", took.as_micros()),
        Ok(Evidence::Took(took)) => format!("in {}ms", took.as_millis()),
        Ok(Evidence::Room { bytes, files }) => {
            let files = files.map(|files| format!(", {files} files")).unwrap_or_default();
            format!("{} MiB{files}", bytes >> 20)
        }
        Ok(Evidence::Medium(medium)) => match medium {
            Medium::Anonymous => "the normal way",
            Medium::Linked => "without O_TMPFILE",
            Medium::Separate => "without hard links",
            Medium::Unarbitrated => "without kernel locks",
        }
        .to_owned(),
    }
}
