//! The lines of a record below the first three, as they are read and written.

use alloc::borrow::ToOwned;
use alloc::string::String;
use core::time::Duration;

use crate::record::{
    Arbitration, Birth, Detail, FORMAT, Generation, Host, Inode, LONGEST_QUIET, Progress,
    RecordError, TOO_LARGE, Terms, line, malformed,
};
use crate::time::Boot;

impl Detail {
    pub(crate) fn write(&self, text: &mut String) {
        let mut digits = itoa::Buffer::new();
        match self.arbitration {
            Arbitration::Kernel(format) => {
                line(text, "format=", digits.format(format));
                line(text, "arbitration=", "kernel");
            }
            // Without `format=`, so that the original and older fleets judge it by its stamp.
            Arbitration::Timed => line(text, "arbitration=", "timed"),
        }
        line(text, "generation=", digits.format(self.generation.0));
        line(text, "host=", &self.host.name);
        line(text, "boot=", &self.host.boot);
        line(text, "pidns=", digits.format(self.process.pidns));
        line(text, "start=", digits.format(self.process.start));
        line(text, "since=", digits.format(self.since.0));
        line(text, "renewed=", digits.format(self.renewed.0));
        let Terms { preemptible, quiet, renew, stale_after, hang_after } = self.terms;
        if preemptible {
            line(text, "preemptible=", "1");
        }
        let durations = [
            ("quiet=", quiet),
            ("renew=", renew),
            ("stale_after=", stale_after),
            ("hang_after=", hang_after),
        ];
        for (key, duration) in durations {
            let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
            line(text, key, digits.format(millis));
        }
        if let Some(cgroup) = &self.cgroup {
            line(text, "cgroup=", cgroup);
        }
        if let Some(Inode { device, number, spared }) = self.after {
            text.push_str("after=");
            text.push_str(digits.format(device));
            text.push(':');
            text.push_str(digits.format(number));
            line(text, ":", digits.format(spared));
        }
        text.push_str("progress=");
        text.push_str(digits.format(self.progress.count));
        line(text, " ", &self.progress.phrase);
        line(text, "command=", &self.command);
    }
}

/// The keys of a record as far as they have been read.
#[derive(Default)]
pub(crate) struct Draft {
    format: Option<u32>,
    timed: bool,
    generation: u64,
    host: String,
    boot: String,
    process: Birth,
    since: u64,
    renewed: u64,
    terms: Terms,
    cgroup: Option<String>,
    after: Option<Inode>,
    progress: Progress,
    command: String,
    /// The first key whose value is not what it should be.
    malformed: Option<RecordError>,
}

impl Draft {
    pub(crate) fn read<'a>(lines: impl Iterator<Item = (&'a str, usize)>) -> Self {
        let mut draft = Self::default();
        for (text, line) in lines {
            if let Some((key, value)) = text.trim_end().split_once('=')
                && let Err(what) = draft.set(key, value)
            {
                draft.malformed.get_or_insert_with(|| malformed(line, what));
            }
        }
        draft
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), &'static str> {
        let number = || value.parse::<u64>().map_err(|_| "number");
        let millis = || number().map(Duration::from_millis);
        let terms = &mut self.terms;
        match key {
            "format" => self.format = integer(value),
            "arbitration" => self.timed = value == "timed",
            "generation" => {
                self.generation = number()?;
                if self.generation >= TOO_LARGE {
                    self.generation = 0;
                    return Err("generation below 2^63");
                }
            }
            "host" => self.host = value.to_owned(),
            "boot" => self.boot = value.to_owned(),
            "pidns" => self.process.pidns = number()?,
            "start" => self.process.start = number()?,
            "since" => self.since = number()?,
            "renewed" => self.renewed = number()?,
            "preemptible" => terms.preemptible = value == "1",
            "quiet" => terms.quiet = millis()?.min(LONGEST_QUIET),
            "renew" => terms.renew = millis()?,
            "stale_after" => terms.stale_after = millis()?,
            "hang_after" => terms.hang_after = millis()?,
            "cgroup" => self.cgroup = Some(value.to_owned()),
            "after" => self.after = Some(Inode::parse(value).ok_or("device and inode")?),
            "progress" => self.progress = Progress::parse(value).ok_or("progress")?,
            "command" => self.command = value.to_owned(),
            _ => {}
        }
        Ok(())
    }

    /// What a peer's file says below its three lines means nothing, and what a newer fleet's says
    /// may mean something else than we know.
    pub(crate) fn finish(self) -> Result<Option<Detail>, RecordError> {
        let arbitration = match self.format {
            Some(format) if format >= FORMAT => Arbitration::Kernel(format),
            _ if self.timed => Arbitration::Timed,
            _ => return Ok(None),
        };
        let is_newer = matches!(arbitration, Arbitration::Kernel(format) if format > FORMAT);
        if let Some(malformed) = self.malformed.filter(|_| !is_newer) {
            return Err(malformed);
        }
        Ok(Some(Detail {
            arbitration,
            generation: Generation(self.generation),
            host: Host { name: self.host, boot: self.boot },
            process: self.process,
            since: Boot(self.since),
            renewed: Boot(self.renewed),
            terms: self.terms,
            cgroup: self.cgroup,
            after: self.after,
            progress: self.progress,
            command: self.command,
        }))
    }
}

impl Inode {
    fn parse(value: &str) -> Option<Self> {
        let (device, rest) = value.split_once(':')?;
        let (number, spared) = rest.split_once(':').unwrap_or((rest, "0"));
        Some(Self {
            device: device.parse().ok()?,
            number: number.parse().ok()?,
            spared: spared.parse().ok()?,
        })
    }
}

impl Progress {
    fn parse(value: &str) -> Option<Self> {
        let (count, phrase) = value.split_once(' ').unwrap_or((value, ""));
        Some(Self { count: count.parse().ok()?, phrase: phrase.to_owned() })
    }
}

/// However large it is: a format only grows.
fn integer(value: &str) -> Option<u32> {
    let is_one = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    is_one.then(|| value.parse().unwrap_or(u32::MAX))
}
