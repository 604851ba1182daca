//! The first contenders after a power loss, in a mount namespace of their own.

use std::time::Duration;

use lock_tests::{names_in, now_ns};

use crate::args::RecoveryArgs;
use crate::crew::Worker;
use crate::error::Error;

/// How many start at once.
const CREW: u32 = 3;

/// How many sections each of them does.
const SECTIONS: &str = "5";

/// Has some workers use the lock, each a few times, and waits for their end.
pub(crate) fn run(args: &RecoveryArgs) -> Result<(), Error> {
    let histories = args.history.to_string_lossy();
    let ready = args.history.join("ready");
    std::fs::write(&ready, now_ns().to_string()).map_err(Error::system("write", &ready))?;
    let until = (now_ns() + 60_000_000_000).to_string();
    let mut crew = Vec::new();
    for number in 1..=CREW {
        let name = format!("after-{number}");
        let seed = args.seed.wrapping_add(u64::from(number)).to_string();
        let mut command = vec!["worker", "--lock", args.lock.as_str(), "--history", &histories];
        command.extend(["--name", &name, "--seed", &seed, "--until", &until]);
        command.extend(["--quick", "--sections", SECTIONS]);
        crew.push(Worker::start(name.clone(), &command)?);
    }
    for mut worker in crew {
        if !worker.ends_within(Duration::from_secs(20))? {
            let (name, kept) = (worker.name.clone(), args.history.clone());
            return Err(Error::Hangs { name, kept, state: worker.state() });
        }
        if let Some(status) = worker.ended()?.filter(|status| !status.success()) {
            let (name, kept) = (worker.name.clone(), args.history.clone());
            return Err(Error::Crashed { name, status, kept });
        }
    }
    let directory = args.lock.parent().map(camino::Utf8Path::as_std_path);
    let names = directory.map_or_else(|| Ok(Vec::new()), names_in);
    let names = names.map_err(Error::system("list", &args.lock))?;
    if names == ["torture.lock.generation"] {
        return Ok(());
    }
    Err(Error::History(format!("after a recovery there is left {names:?}")))
}
