//! `add` where a file system refuses: nothing is left half done, and the sentence says what.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

use rstest::rstest;

use crate::kit::{Output, Sandbox};

const ROSTER: &str = "\
version: 1
transport: tmux
supervisor: process
runtimes: {sh: {command: [sleep, '1000']}}
agents:
- name: a
  runtime: sh
";

/// A small file system as the fleet's directory.
struct Mount(PathBuf);

impl Mount {
    fn new(home: &Sandbox) -> Self {
        assert!(rustix::process::geteuid().is_root(), "only root can mount");
        let at = home.path("fleet");
        fs::create_dir_all(&at).expect("a directory");
        let mount = Self(at);
        mount.mount(&["-t", "tmpfs", "-o", "size=512k", "tmpfs"]);
        mount
    }

    fn mount(&self, args: &[&str]) {
        let made = Command::new("mount").args(args).arg(&self.0).status().expect("mount runs");
        assert!(made.success(), "mount {args:?}");
    }

    /// Fills it up to the last `spare` bytes.
    fn fill(&self, spare: u64) {
        let mut file = File::create(self.0.join("ballast")).expect("room for a name");
        while file.write_all(&[0; 4096]).is_ok() {}
        let length = file.metadata().expect("open").len();
        file.set_len(length - spare).expect("it gets shorter");
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn add(home: &Sandbox) -> Output {
    home.fleet(&["add", "b", "--runtime", "sh", "--write"]).run()
}

/// Nothing is changed, and nothing lies about.
fn is_untouched(home: &Sandbox, roster: &str) {
    assert_eq!(home.read("fleet/roster.yaml"), roster);
    assert!(!home.has("fleet/agents"), "the directory went with the file that it was made for");
    let entries = fs::read_dir(home.path("fleet")).expect("readable");
    let names = entries.map(|entry| entry.expect("an entry").file_name().into_string());
    let names: Vec<_> = names.map(|name| name.expect("UTF-8")).collect();
    assert!(!names.iter().any(|name| name.starts_with('.')), "{names:?}");
}

#[test]
fn a_full_disk_changes_nothing() {
    let home = Sandbox::empty();
    let mount = Mount::new(&home);
    let roster = format!("{ROSTER}{}", "# a long comment\n".repeat(4096));
    home.write("fleet/roster.yaml", &roster);
    // Enough for the lock and the env file, not for another roster.
    mount.fill(6 * 4096);
    let out = add(&home);
    assert_eq!(out.code(), 73, "{out}");
    for says in ["roster.yaml; nothing was changed", "No space left on device"] {
        assert!(out.stderr.contains(says), "{says:?} in {out}");
    }
    is_untouched(&home, &roster);
    fs::remove_file(home.path("fleet/ballast")).expect("removed");
    assert_eq!(add(&home).code(), 0, "room is all that it needed");
}

#[test]
fn a_read_only_disk_changes_nothing() {
    let home = Sandbox::empty();
    let mount = Mount::new(&home);
    home.write("fleet/roster.yaml", ROSTER);
    mount.mount(&["-o", "remount,ro"]);
    let out = add(&home);
    assert_eq!(out.code(), 73, "{out}");
    assert!(out.stderr.contains("Read-only file system"), "{out}");
    is_untouched(&home, ROSTER);
    let out = home.fleet(&["add", "b", "--runtime", "sh"]).run();
    assert_eq!(out.code(), 0, "a dry run needs no permission: {out}");
    let out = home.fleet(&["init", "--write", "--force"]).run();
    assert_eq!(out.code(), 73, "{out}");
}

#[test]
fn without_permission_nothing_changes() {
    let home = Sandbox::empty();
    home.write("fleet/roster.yaml", ROSTER);
    fs::create_dir(home.path("fleet/run")).expect("for the lock");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o555);
    fs::set_permissions(home.path("fleet"), mode).expect("ours");
    let out = home.fleet(&["add", "b", "--runtime", "sh", "--write"]).bound_by_modes().run();
    assert_eq!(out.code(), 77, "{out}");
    let says = "fleet/agents; nothing was changed: Permission denied";
    assert!(out.stderr.contains(says), "{out}");
    is_untouched(&home, ROSTER);
}

/// The system refuses one call, or always; `add` makes one rename for the env file, which is
/// new, and one for the roster, which trades places with its successor. (The first plain
/// rename of all is the lock's.)
#[rstest]
#[case::the_first_rename(&["renameat2:error=EIO:when=1"], 73, "agents/b.env in place; nothing was changed")]
#[case::the_second(&["renameat2:error=EIO:when=2"], 73, "roster.yaml in place; nothing was changed")]
#[case::no_flags(&["renameat2:error=EINVAL"], 0, "")]
#[case::no_flags_and_a_failure(
    &["renameat2:error=EINVAL", "renameat:error=EIO:when=3"], 73, "roster.yaml in place; nothing was changed"
)]
#[case::modes_cannot_be_kept(&["fchmod:error=EPERM"], 77, "cannot keep mode and owner of")]
fn a_refused_call_leaves_all_or_nothing(
    #[case] faults: &[&str],
    #[case] code: i32,
    #[case] says: &str,
) {
    let home = Sandbox::empty();
    home.write("fleet/roster.yaml", ROSTER);
    let faults: Vec<String> = faults.iter().map(|fault| format!("--inject={fault}")).collect();
    let mut args = vec!["-f", "-qq", "-o", "/dev/null"];
    args.extend(faults.iter().map(String::as_str));
    args.push(env!("CARGO_BIN_EXE_fleet"));
    args.extend(["add", "b", "--runtime", "sh", "--write"]);
    let out = home.fleet(&[]).instead("strace", &args).run();
    assert_eq!(out.code(), code, "{out}");
    assert!(out.stderr.contains(says), "{says:?} in {out}");
    if code == 0 {
        assert!(
            home.read("fleet/roster.yaml").contains("name: b\n") && home.has("fleet/agents/b.env")
        );
    } else {
        is_untouched(&home, ROSTER);
    }
}
