//! Whether a cgroup that a record names has processes in it.

use lock_core::effect::Event;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno as Os;

/// Answers [`lock_core::effect::Effect::AskCgroup`]. The name is anybody's who may write the lock
/// file: so it is followed below the cgroup mount only, and through no symbolic link.
pub(crate) fn ask(name: &str) -> Event {
    let Some(mount) = mount() else { return Event::Unsupported };
    let events = format!("{}/cgroup.events", name.trim_matches('/'));
    let open = |base: &str| {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let base = rustix::fs::openat(CWD, base, flags, Mode::empty())?;
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        openat2(base, &*events, flags, Mode::empty(), beneath)
    };
    match open(&mount) {
        Ok(fd) => match std::io::read_to_string(std::fs::File::from(fd)) {
            Ok(text) if text.lines().any(|line| line == "populated 0") => Event::Absent,
            Ok(_) => Event::Done,
            // It was removed while we read.
            Err(error) if error.raw_os_error() == Some(Os::NODEV.raw_os_error()) => Event::Absent,
            Err(_) => Event::Unsupported,
        },
        Err(Os::NOENT) => Event::Absent,
        Err(_) => Event::Unsupported,
    }
}

/// Where the cgroup hierarchy is mounted; on some machines it is not `/sys/fs/cgroup` itself.
fn mount() -> Option<String> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    mounts.lines().find_map(|line| {
        let (place, kind) = line.split_once(" - ")?;
        let is_whole = kind.starts_with("cgroup2 ") && place.split(' ').nth(3)? == "/";
        is_whole.then(|| place.split(' ').nth(4).map(str::to_owned))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cgroup_is_populated_or_gone() {
        let Some(mount) = mount() else { return };
        assert_eq!(ask("no-such-cgroup-of-ours"), Event::Absent);
        // The hierarchy's own directory is not escaped from, whatever the name says.
        assert_eq!(ask("../../etc"), Event::Unsupported);
        let name = format!("lock-test-{}", std::process::id());
        let made = std::path::Path::new(&mount).join(&name);
        if std::fs::create_dir(&made).is_err() {
            return;
        }
        assert_eq!(ask(&name), Event::Absent);
        let mut child =
            std::process::Command::new("sleep").arg("60").spawn().expect("because there is sleep");
        let moved = std::fs::write(made.join("cgroup.procs"), child.id().to_string());
        if moved.is_ok() {
            assert_eq!(ask(&name), Event::Done);
        }
        child.kill().expect("because it is ours");
        drop(child.wait());
        assert_eq!(ask(&name), Event::Absent);
        std::fs::remove_dir(&made).expect("because it is empty");
    }
}
