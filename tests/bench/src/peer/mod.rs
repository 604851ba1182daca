//! The peers that need nothing but this program: our lock, the floors, and programs that are
//! called as locks.

mod called;
mod floor;
mod ours;
mod replay;
mod script;

use lock_bench_peer::{Failure, Subject, serve};

use crate::args::PeerArgs;
use crate::error::Error;

pub(crate) use self::script::Script;

/// Is a peer until its input ends.
pub(crate) fn run(args: &PeerArgs) -> Result<(), Error> {
    let served = subject(args).and_then(|mut subject| serve(subject.as_mut()));
    served.map_err(|failure| Error::Failure(failure.to_string()))
}

fn subject(args: &PeerArgs) -> Result<Box<dyn Subject>, Failure> {
    let lock = args.lock.as_path();
    Ok(match args.name.as_str() {
        "ours" => Box::new(ours::Ours::open(lock)?),
        "replay" => Box::new(replay::Replay::open(lock, args.listing.as_deref())?),
        "open-flock-close" => Box::new(floor::OpenFlockClose::new(lock)),
        "kept-flock" => Box::new(floor::KeptFlock::open(lock)?),
        "checked-flock" => Box::new(floor::CheckedFlock::new(lock)),
        "exclusive" => Box::new(floor::Exclusive::new(lock)),
        "std" => Box::new(floor::Std::new(lock)),
        "lockfile" => Box::new(called::Maker::lockfile(lock)),
        "dotlockfile" => Box::new(called::Maker::dotlockfile(lock)),
        "flock" => Box::new(called::Wrapper::flock(lock)),
        "fleet" => Box::new(called::Wrapper::fleet(args.fleet.as_deref(), lock)?),
        "etcdctl" => Box::new(called::Wrapper::etcdctl(lock)),
        other => return Err(format!("no such peer: {other}").into()),
    })
}
