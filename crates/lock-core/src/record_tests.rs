//! Every way a record can be read, refused and rewritten.

use alloc::vec;

use rstest::rstest;

use super::*;
use crate::testing::{HERE, at, token};

const MS: Duration = Duration::from_millis(1);

fn ours() -> Record {
    Record::new(7, token("t"), HERE.host(), "fleet restart", at(5))
}

#[rstest]
#[case::empty(b"", RecordError::Empty)]
#[case::no_newline(b"42", RecordError::Missing { line: 1, what: "pid" })]
#[case::pid_only(b"42\n", RecordError::Missing { line: 2, what: "stamp" })]
#[case::half_stamp(b"42\n178", RecordError::Missing { line: 2, what: "stamp" })]
#[case::no_token(b"42\n178\n", RecordError::Missing { line: 3, what: "token" })]
#[case::half_token(b"42\n178\nabc", RecordError::Missing { line: 3, what: "token" })]
#[case::bad_pid(b"x\n178\nabc\n", RecordError::Malformed { line: 1, what: "process id" })]
#[case::negative_pid(b"-1\n178\nabc\n", RecordError::Malformed { line: 1, what: "process id" })]
#[case::bad_stamp(b"42\nsoon\nabc\n", RecordError::Malformed { line: 2, what: "time in milliseconds" })]
#[case::empty_token(b"42\n178\n\n", RecordError::Malformed { line: 3, what: "token" })]
#[case::two_words(b"42\n178\na b\n", RecordError::Malformed { line: 3, what: "token" })]
#[case::binary(b"42\n178\n\xff\n", RecordError::NotText { line: 3 })]
#[case::bad_number(b"42\n178\nabc\nformat=2\nsince=x\n", RecordError::Malformed { line: 5, what: "number" })]
#[case::bad_progress(b"42\n178\nabc\nformat=2\nprogress=x\n", RecordError::Malformed { line: 5, what: "progress" })]
fn a_malformed_file_says_which_line(#[case] bytes: &[u8], #[case] error: RecordError) {
    assert_eq!(Record::parse(bytes), Err(error));
}

#[test]
fn ten_megabytes_are_not_a_record() {
    assert_eq!(Record::parse(&vec![b'1'; 10 << 20]), Err(RecordError::TooLong));
}

#[test]
fn the_bare_three_lines_are_a_peers_record() {
    let record = Record::parse(b"4242\n1000\nstale-owner-token\n")
        .expect("because these are the three lines");
    assert_eq!(record.pid, 4242);
    assert_eq!(record.stamp, Wall(1000));
    assert_eq!(record.token.as_str(), "stale-owner-token");
    assert_eq!(record.detail, None);
}

#[test]
fn unknown_keys_are_ignored() {
    let record = Record::parse(b"1\n2\nabc\ncolour=red\nno equals sign\n")
        .expect("because unknown lines are skipped");
    assert_eq!(record.detail, None);
}

#[test]
fn what_is_written_reads_back() {
    let record = ours().owning(Generation(3), at(9)).advanced("1/3 restarting a=b", MS, at(11));
    assert_eq!(Record::parse(record.encode(0).as_bytes()), Ok(record));
}

#[test]
fn a_rewrite_is_never_shorter_and_padding_is_not_content() {
    let long = ours().advanced("a rather long phrase", MS, at(6)).encode(0);
    let short = ours().advanced("x", MS, at(6));
    let padded = short.encode(long.len());
    assert_eq!(padded.len(), long.len());
    assert!(padded.ends_with('\n'));
    assert_eq!(Record::parse(padded.as_bytes()), Ok(short));
}

#[test]
fn a_phrase_cannot_smuggle_in_a_key_or_grow_past_a_record() {
    let record = ours().advanced("x\ngeneration=99", MS, at(6));
    let read =
        Record::parse(record.encode(0).as_bytes()).expect("because what is written reads back");
    assert_eq!(read.generation(), Some(Generation(0)));
    let long = ours().advanced(&"ä".repeat(4000), MS, at(6)).encode(0);
    assert!(long.len() < MAX_RECORD_BYTES);
    assert!(Record::parse(long.as_bytes()).is_ok());
}

#[test]
fn each_step_counts() {
    let record = ours().advanced("a", MS, at(6)).advanced("b", MS, at(8));
    let detail = record.detail.expect("because the record is ours");
    assert_eq!(detail.progress, Progress { count: 2, phrase: "b".into() });
    assert_eq!((detail.since, detail.renewed), (at(5).boot, at(8).boot));
}

#[test]
fn a_record_is_readable_with_cat() {
    insta::assert_snapshot!(ours().owning(Generation(17), at(9)).encode(0));
}
