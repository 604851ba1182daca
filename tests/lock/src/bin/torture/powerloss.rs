//! `torture powerloss`: copies the image of a file system while workers use it, and has others
//! go on with the copy, as after a power loss.
//!
//! What is in the image is what the disk had been told to write: what the kernel still keeps
//! in memory is lost. A copy counts only if a second reading finds the same, so that it is the
//! state of one instant. The first contenders on a copy see another boot id, as they would
//! after a reboot; what would happen without that is looked at too, and only counted.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use lock_tests::checker::{Circumstances, Figures, Violation, check};
use lock_tests::history::{self, CONDUCTOR, Event, Recorder, What};
use lock_tests::{Dice, now_ns};

use crate::args::PowerlossArgs;
use crate::crew::{Worker, bury_orphans};
use crate::document;
use crate::error::Error;
use crate::place::Mount;
use crate::program;
use crate::report::say;

/// Small, so that reading it takes as short as possible.
const IMAGE_BYTES: u64 = 16 << 20;

/// So many copies are made of one file system.
const BATCH: u32 = 10;

/// By then the first contender after a power loss must own the lock.
const RECOVERED_WITHIN: Duration = Duration::from_secs(2);

/// Runs the recovery on a copy in a mount namespace of its own: the copy, where to mount it, the
/// file that stands for the boot id or nothing, the command.
const IN_NAMESPACE: &str = r#"
mount -o loop "$1" "$2" || exit 1
if [ -n "$3" ]; then mount --bind "$3" /proc/sys/kernel/random/boot_id || exit 1; fi
shift 3
exec "$@"
"#;

#[derive(Default)]
struct Tally {
    copies: u32,
    syncs: u32,
    kills: u32,
    readings: u32,
    /// The first contender's reason to take over, by how often.
    found: std::collections::BTreeMap<String, u32>,
    slowest: Duration,
    sections: u64,
    last: u64,
    back_without_reboot: u32,
}

/// Copies, recovers, judges, reports.
pub(crate) fn run(args: &PowerlossArgs) -> Result<(), Error> {
    if !program::is_root() {
        if program::is_ci() {
            return Err(Error::Needs { what: "root and loop devices, and CI must provide them" });
        }
        return say("NOT TESTED HERE: power loss, which needs root and loop devices");
    }
    let seed = args.seed.unwrap_or_else(|| now_ns() % 1_000_000_007);
    say(&format!(
        "powerloss: {} copies, {} contenders, seed {seed}",
        args.copies, args.contenders
    ))?;
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
        .map_err(Error::system("become", "the reaper of orphans"))?;
    let root = tempfile::tempdir().map_err(Error::system("create", "a temporary directory"))?;
    let (mut dice, mut tally, begun) = (Dice::new(seed), Tally::default(), Instant::now());
    let mut number = 0;
    while tally.copies < args.copies {
        let at = root.path().join(format!("disk-{number}"));
        let copies = BATCH.min(args.copies - tally.copies);
        let outcome = Original::new(&at, args.contenders, Dice::new(dice.roll()))
            .and_then(|mut original| original.copies(copies, &mut tally));
        if let Err(error) = outcome {
            let _ = root.keep();
            return Err(error);
        }
        fs::remove_dir_all(&at).map_err(Error::system("remove", &at))?;
        number += 1;
    }
    let table = tally.table();
    say(&table)?;
    if let Some(path) = &args.write {
        let PowerlossArgs { copies, contenders, .. } = args;
        let command = format!(
            "cargo xtask powerloss --copies {copies} --contenders {contenders} --seed {seed}"
        );
        document::write(path, "powerloss", &command, begun.elapsed(), &table)?;
    }
    Ok(())
}

/// A file system that workers use until the power is lost. Fields are dropped in this order.
struct Original {
    crew: Vec<Worker>,
    mount: PathBuf,
    _mounted: Mount,
    image: PathBuf,
    root: PathBuf,
    histories: PathBuf,
    recorder: Recorder,
    started: u32,
    quick: bool,
    dice: Dice,
}

impl Original {
    fn new(root: &Path, contenders: u32, mut dice: Dice) -> Result<Self, Error> {
        let (image, mount, histories) =
            (root.join("disk.img"), root.join("mount"), root.join("histories"));
        fs::create_dir_all(&histories).map_err(Error::system("create", &histories))?;
        let file = File::create(&image).and_then(|file| file.set_len(IMAGE_BYTES));
        file.map_err(Error::system("create", &image))?;
        let image_text = image.to_string_lossy();
        program::run("mkfs.ext4", &["-q", "-F", &image_text])?;
        let mounted = Mount::new(&["-o", "loop,commit=1", &image_text], &mount)?;
        let recorder = Recorder::create(&histories, CONDUCTOR);
        let recorder = recorder.map_err(Error::system("write the history of", CONDUCTOR))?;
        let mut original = Self {
            crew: Vec::new(),
            mount,
            _mounted: mounted,
            image: image.clone(),
            root: root.to_owned(),
            histories,
            recorder,
            started: 0,
            quick: dice.per_mille(500),
            dice,
        };
        for _ in 0..contenders.max(1) {
            let worker = original.start()?;
            original.crew.push(worker);
        }
        Ok(original)
    }

    /// Either all use up generations as quickly as they can, block after block, or every other
    /// one does and the rest do all that workers do.
    fn start(&mut self) -> Result<Worker, Error> {
        self.started += 1;
        let name = format!("worker-{}", self.started);
        let lock = lock_in(&self.mount);
        let histories = self.histories.to_string_lossy();
        let (seed, until) = (self.dice.roll().to_string(), u64::MAX.to_string());
        let mut args = vec!["worker", "--lock", &lock, "--history", &histories];
        args.extend(["--name", &name, "--seed", &seed, "--until", &until]);
        if self.quick || self.started.is_multiple_of(2) {
            args.push("--quick");
        }
        Worker::start(name.clone(), &args)
    }

    fn copies(&mut self, copies: u32, tally: &mut Tally) -> Result<(), Error> {
        for number in 0..copies {
            thread::sleep(Duration::from_millis(self.dice.between(5, 700)));
            if self.dice.per_mille(300) {
                program::run("sync", &["-f", &self.mount.to_string_lossy()])?;
                tally.syncs += 1;
            }
            if self.dice.per_mille(400) {
                let at = self.dice.between(0, self.crew.len() as u64) as usize;
                let next = self.start()?;
                if let Some(seat) = self.crew.get_mut(at) {
                    seat.kill(&self.recorder)?;
                    *seat = next;
                    tally.kills += 1;
                }
            }
            let before = self.handed_out()?;
            let copy = self.copy(tally)?;
            let boot = self.recover(number, &copy, before, true)?;
            tally.count(&boot);
            let same = self.recover(number, &copy, before, false)?;
            let back = same.violations.iter().any(|violation| violation.rule == "unique");
            tally.back_without_reboot += u32::from(back);
            tally.copies += 1;
        }
        self.end(tally)
    }

    /// The largest generation that any worker has written down by now.
    fn handed_out(&self) -> Result<u64, Error> {
        const TAIL: u64 = 4096;
        let mut largest = 0;
        let failed = || Error::system("read", &self.histories);
        for entry in fs::read_dir(&self.histories).map_err(failed())? {
            let mut file = File::open(entry.map_err(failed())?.path()).map_err(failed())?;
            let length = file.metadata().map_err(failed())?.len();
            let start = SeekFrom::Start(length.saturating_sub(TAIL));
            let mut tail = Vec::new();
            file.seek(start).map_err(failed())?;
            file.read_to_end(&mut tail).map_err(failed())?;
            let tail = String::from_utf8_lossy(&tail).into_owned();
            let events = tail.lines().skip(1).filter_map(Event::parse);
            largest = events.map(|event| event.generation).fold(largest, u64::max);
        }
        Ok(largest)
    }

    /// The image at one instant: read until two readings are the same.
    fn copy(&self, tally: &mut Tally) -> Result<Vec<u8>, Error> {
        let failed = || Error::system("read", &self.image);
        let mut last = fs::read(&self.image).map_err(failed())?;
        for _ in 0..200 {
            tally.readings += 1;
            let again = fs::read(&self.image).map_err(failed())?;
            if again == last {
                return Ok(last);
            }
            last = again;
        }
        Err(Error::Needs { what: "an image that does not change all the time" })
    }

    /// What the first contenders on a copy did, judged. With `reboot`, all must be well.
    fn recover(
        &mut self,
        number: u32,
        copy: &[u8],
        before: u64,
        reboot: bool,
    ) -> Result<Recovered, Error> {
        let at = self.root.join(format!("copy-{number}-{}", if reboot { "new" } else { "same" }));
        let (image, mount, histories) =
            (at.join("copy.img"), at.join("mount"), at.join("histories"));
        for directory in [&mount, &histories] {
            fs::create_dir_all(directory).map_err(Error::system("create", directory))?;
        }
        fs::write(&image, copy).map_err(Error::system("write", &image))?;
        let boot = at.join("boot_id");
        let id = format!("00000000-0000-4000-8000-{:012x}\n", self.dice.roll() >> 16);
        fs::write(&boot, id).map_err(Error::system("write", &boot))?;
        let seed = self.dice.roll().to_string();
        let program = std::env::current_exe().map_err(Error::system("find", "this program"))?;
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", IN_NAMESPACE, "sh"]);
        command.args([&image, &mount]).arg(if reboot { boot.as_path() } else { Path::new("") });
        command.arg(program).args(["recovery", "--lock", &lock_in(&mount), "--history"]);
        command.arg(&histories).args(["--seed", &seed]);
        let mut worker = Worker::spawn(format!("recovery of copy {number}"), &mut command)?;
        let kept = histories.clone();
        if !worker.ends_within(Duration::from_secs(60))? {
            return Err(Error::Hangs { name: worker.name.clone(), kept, state: worker.state() });
        }
        if let Some(status) = worker.ended()?.filter(|status| !status.success()) {
            return Err(Error::Crashed { name: worker.name.clone(), status, kept });
        }
        let recovered = Recovered::read(&histories, before)?;
        if reboot {
            recovered.demand(&histories)?;
        }
        fs::remove_dir_all(&at).map_err(Error::system("remove", &at))?;
        Ok(recovered)
    }

    /// The file system that the copies were made of must have kept its promises too.
    fn end(&mut self, tally: &mut Tally) -> Result<(), Error> {
        for worker in &mut self.crew {
            worker.kill(&self.recorder)?;
        }
        bury_orphans()?;
        let sources = history::read(&self.histories).map_err(Error::History)?;
        let figures = check(&sources, Circumstances::default());
        tally.sections += figures.counts.get("sections").copied().unwrap_or(0);
        tally.last = tally.last.max(figures.last);
        refuse(&figures.violations, &self.histories)
    }
}

/// What came of a copy.
struct Recovered {
    violations: Vec<Violation>,
    /// Until the first owner.
    took: Duration,
    /// Why it had to take over, if so.
    found: String,
}

impl Recovered {
    fn read(histories: &Path, before: u64) -> Result<Self, Error> {
        let sources = history::read(histories).map_err(Error::History)?;
        let circumstances = Circumstances { after: before, full_disk: false };
        let Figures { violations, .. } = check(&sources, circumstances);
        let ready = histories.join("ready");
        let begun = fs::read_to_string(&ready).map_err(Error::system("read", &ready))?;
        let begun: u64 = begun.trim().parse().unwrap_or(0);
        let events = sources.iter().flat_map(|source| &source.events);
        let first = events
            .filter_map(|event| match &event.what {
                What::Begin { takeover, .. } => Some((event.at, takeover)),
                _ => None,
            })
            .min_by_key(|(at, _)| *at);
        let (at, takeover) = first.unwrap_or((u64::MAX, &None));
        let found = takeover.as_ref().map_or("nobody", |(reason, _)| reason);
        let took = Duration::from_nanos(at.saturating_sub(begun));
        Ok(Self { violations, took, found: found.to_owned() })
    }

    fn demand(&self, histories: &Path) -> Result<(), Error> {
        refuse(&self.violations, histories)?;
        if self.took <= RECOVERED_WITHIN {
            return Ok(());
        }
        say(&format!("VIOLATION: it took {:?} to recover", self.took))?;
        Err(Error::Violations { count: 1, kept: histories.to_owned() })
    }
}

fn refuse(violations: &[Violation], histories: &Path) -> Result<(), Error> {
    for violation in violations {
        say(&format!("VIOLATION: {violation}"))?;
    }
    match violations.len() {
        0 => Ok(()),
        count => Err(Error::Violations { count, kept: histories.to_owned() }),
    }
}

fn lock_in(mount: &Path) -> String {
    mount.join("run").join("torture.lock").to_string_lossy().into_owned()
}

impl Tally {
    fn count(&mut self, recovered: &Recovered) {
        *self.found.entry(recovered.found.clone()).or_default() += 1;
        self.slowest = self.slowest.max(recovered.took);
    }

    fn table(&self) -> String {
        let mut rows = vec![
            ("copies recovered".to_owned(), self.copies.to_string()),
            ("readings until two were the same".to_owned(), self.readings.to_string()),
            ("syncs before a copy".to_owned(), self.syncs.to_string()),
            ("kills before a copy".to_owned(), self.kills.to_string()),
            ("sections on the originals".to_owned(), self.sections.to_string()),
            ("largest generation on the originals".to_owned(), self.last.to_string()),
        ];
        for (reason, times) in &self.found {
            rows.push((format!("the first owner took over from: {reason}"), times.to_string()));
        }
        rows.extend([
            ("slowest recovery".to_owned(), format!("{} ms", self.slowest.as_millis())),
            ("**generations that went back**".to_owned(), "0".to_owned()),
            (
                "generations that went back where the boot id stays, which no reboot does"
                    .to_owned(),
                self.back_without_reboot.to_string(),
            ),
        ]);
        let rows: String =
            rows.iter().map(|(what, value)| format!("| {what} | {value} |\n")).collect();
        format!("| | |\n|---|---:|\n{rows}")
    }
}
