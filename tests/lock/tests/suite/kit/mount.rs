//! Small file systems of their own, gone with the test.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use camino::{Utf8Path, Utf8PathBuf};
use lock_tests::Arena;

/// A mounted file system.
pub(crate) struct Mount {
    at: Utf8PathBuf,
}

impl Mount {
    /// A tmpfs as the arena's run directory.
    pub(crate) fn tmpfs(arena: &Arena, options: &str) -> Self {
        let at = directory(arena);
        let args = ["-t", "tmpfs", "-o", options, "tmpfs", at.as_str()];
        run("mount", &args);
        Self { at }
    }

    /// A FAT file system as the arena's run directory, if the kernel has FAT.
    pub(crate) fn vfat(arena: &Arena) -> Option<Self> {
        let at = directory(arena);
        let image = arena.root().join("vfat.img");
        fs::File::create(&image)
            .and_then(|file| file.set_len(4 << 20))
            .expect("because the arena is writable");
        run("mkfs.vfat", &[image.as_str()]);
        let options = ["-t", "vfat", "-o", "loop,umask=077", image.as_str()];
        let mut mount = Command::new("mount");
        let mount = mount.args(options).arg(&at).stderr(Stdio::piped());
        let output = mount.output().expect("because mount is installed");
        if output.status.success() {
            return Some(Self { at });
        }
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(complaint.contains("unknown filesystem"), "{complaint}");
        None
    }

    /// Changes its options.
    pub(crate) fn remount(&self, options: &str) {
        let options = format!("remount,{options}");
        run("mount", &["-o", &options, self.at.as_str()]);
    }

    /// Fills it to the last byte.
    pub(crate) fn fill(&self) -> Utf8PathBuf {
        let ballast = self.at.join("ballast");
        let mut file = fs::File::create(&ballast).expect("because there is room for a name");
        let block = [0; 1024];
        while file.write_all(&block).is_ok() {}
        ballast
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily: a process may still be on its way out.
        let mut umount = Command::new("umount");
        let _ = umount.args(["-l", self.at.as_str()]).status();
    }
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whether a test can be made here. What it lacks is said aloud, and in CI it is an error: a
/// test that skips itself in silence proves nothing.
pub(crate) fn needs(met: bool, what: &str) -> bool {
    if met {
        return true;
    }
    let ci = std::env::var("CI").is_ok_and(|value| !value.is_empty() && value != "false");
    assert!(!ci, "this test needs {what}, and CI must provide it");
    say_aloud(&format!("NOT TESTED HERE: needs {what}"));
    false
}

/// Past the test harness, which swallows what passing tests print.
pub(crate) fn say_aloud(words: &str) {
    let name = std::thread::current().name().unwrap_or("?").to_owned();
    let _ = writeln!(std::io::stderr(), "{name}: {words}");
}

fn directory(arena: &Arena) -> Utf8PathBuf {
    let at = arena.run();
    fs::create_dir_all(&at).expect("because the arena is writable");
    at
}

fn run(program: &str, args: &[&str]) {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new(program);
    let command = command.args(args).env("PATH", path).stdout(Stdio::null());
    let status = command.status();
    let status = status.unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(status.success(), "{program} {args:?}: {status}");
}

/// Whether calls can be seen and tampered with here.
pub(crate) fn has_strace() -> bool {
    needs(has_program("strace"), "strace")
}

/// Whether a program is installed.
pub(crate) fn has_program(program: &str) -> bool {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut directories = path.split(':').chain(["/usr/sbin", "/sbin"]);
    directories.any(|directory| Utf8Path::new(directory).join(program).exists())
}
