//! Puts a new file in the place of an old one at once, for files that need not outlive a power
//! cut.
//!
//! A plain rename over a file that is there has ext4 write the new one to the disk right away
//! (`auto_da_alloc`), which takes milliseconds. To let the two change their names, and remove
//! the old one, is as atomic to every reader and only changes the directory.

use rustix::fs::{CWD, RenameFlags, rename, renameat_with, unlink};
use rustix::path::Arg;

/// Has the file `draft` be `path`, and no longer `draft`. After a crash in between the old file
/// may be there as `draft`. Allocates nothing if the names are C strings.
///
/// # Errors
///
/// What `rename` says.
pub(crate) fn replace(draft: impl Arg + Copy, path: impl Arg + Copy) -> rustix::io::Result<()> {
    let exchange = || renameat_with(CWD, draft, CWD, path, RenameFlags::EXCHANGE);
    match exchange() {
        // A directory is not removed, and is put back.
        Ok(()) => unlink(draft).inspect_err(|_| {
            let _ = exchange();
        }),
        // There is none yet, or the file system has no such call.
        Err(_) => rename(draft, path),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_new_one_is_there_and_the_draft_is_not() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let [draft, path] = ["draft", "path"].map(|name| directory.path().join(name));
        for text in ["first", "second"] {
            fs::write(&draft, text).expect("written");
            replace(draft.as_path(), path.as_path()).expect("replaced");
            assert_eq!(fs::read_to_string(&path).expect("readable"), text);
            assert!(!draft.exists());
        }
        let missing = replace(draft.as_path(), path.as_path());
        assert_eq!(missing, Err(rustix::io::Errno::NOENT));
        assert_eq!(fs::read_to_string(&path).expect("readable"), "second");
    }

    #[test]
    fn a_directory_is_not_replaced() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let [draft, path] = ["draft", "path"].map(|name| directory.path().join(name));
        fs::write(&draft, "first").expect("written");
        fs::create_dir(&path).expect("made");
        replace(draft.as_path(), path.as_path()).expect_err("it is a directory");
        assert!(path.is_dir() && draft.is_file());
    }
}
