//! Why our lock makes each system call of a cycle in which nobody is in the way.

/// A call, the file that it is about, and the reason.
const REASONS: &[(&str, &str, &str)] = &[
    ("getrandom", "", "the token: nobody else's ownership has its name"),
    ("getpid", "", "the record says who owns the lock"),
    ("openat", "the ticket", "the ticket is born without a name, so that nobody sees it half made"),
    (
        "flock",
        "the ticket",
        "the ticket is alive as long as it is locked; unlocking is letting go, whoever else has the descriptor",
    ),
    (
        "fstat",
        "the ticket",
        "which inode the ticket is: a name is removed only if it still leads there",
    ),
    (
        "pwrite64",
        "the ticket",
        "the record: before the ticket has a name, and again with the generation",
    ),
    ("pread64", "the ticket", "whether the record is still ours"),
    ("close", "the ticket", "the ticket is given back"),
    ("linkat", "<lock>.mutex", "enter the mutex: it fails if somebody is in it"),
    ("newfstatat", "<lock>.mutex", "whether the mutex is still ours before its name is removed"),
    ("unlinkat", "<lock>.mutex", "leave the mutex"),
    (
        "openat",
        "<lock>.generation",
        "the generation is in a file of its own, which can be replaced",
    ),
    ("fstat", "<lock>.generation", "whether that is a plain file of ours"),
    ("pread64", "<lock>.generation", "the last generation"),
    ("pwrite64", "<lock>.generation", "the next one"),
    ("close", "<lock>.generation", "nothing is kept open across the critical section"),
    ("openat", "<lock>.queue", "whether somebody has come before us"),
    ("openat", "<lock>", "whether there is an owner"),
    ("linkat", "<lock>", "become owner: it fails if somebody is"),
    ("newfstatat", "<lock>", "whether the lock is still ours before its name is removed"),
    ("unlinkat", "<lock>", "the lock is free"),
    ("futex", "", "whoever waits for the loss of this ownership learns that it is over"),
];

/// Nothing if none is known.
pub(super) fn reason(name: &str, file: &str) -> Option<&'static str> {
    let known = REASONS.iter().find(|(call, of, _)| (*call, *of) == (name, file));
    known.map(|(_, _, reason)| *reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_has_its_reason_only_for_its_file() {
        assert!(reason("unlinkat", "<lock>").is_some());
        assert!(reason("unlinkat", "<lock>.queue/17").is_none());
        assert!(reason("unlinkat", "<lock>.else").is_none());
        assert!(reason("fsync", "the ticket").is_none());
    }
}
