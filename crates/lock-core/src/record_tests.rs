//! Every way a record can be read, refused and rewritten.

use alloc::format;
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

fn parsed(below: &str) -> Result<Record, RecordError> {
    Record::parse(format!("7\n5\nt\n{below}").as_bytes())
}

fn detail(below: &str) -> Option<Detail> {
    parsed(below).expect("because it is a record").detail
}

const fn malformed_key(line: usize, what: &'static str) -> RecordError {
    RecordError::Malformed { line, what }
}

/// The kernel lock decides, whatever a record of a newer fleet says or lacks.
#[rstest]
#[case::nothing_else("format=3\n", 3)]
#[case::unknown_keys("format=3\ncolour=red\nheart=beats\n", 3)]
#[case::known_keys_of_another_kind("format=4\nsince=dawn\nprogress=half\nquiet=long\n", 4)]
#[case::a_number_that_is_damage("format=3\ngeneration=9223372036854775808\n", 3)]
#[case::timed_as_well("format=3\narbitration=timed\n", 3)]
#[case::the_largest("format=4294967295\n", u32::MAX)]
#[case::larger_than_we_can_count("format=99999999999999999999\n", u32::MAX)]
fn a_newer_format_is_ours(#[case] below: &str, #[case] format: u32) {
    let record = parsed(below).expect("because it is a record");
    assert_eq!(record.newer_format(), Some(format));
    let detail = record.detail.expect("because it is ours");
    assert_eq!(detail.arbitration, Arbitration::Kernel(format));
    assert_eq!(detail.generation, Generation(0));
    assert!(!detail.terms.preemptible);
}

#[test]
fn what_a_newer_format_says_as_we_do_is_read() {
    let detail = detail("format=3\ngeneration=17\npreemptible=1\nhost=h\ncolour=red\n");
    let detail = detail.expect("because it is ours");
    assert_eq!(detail.generation, Generation(17));
    assert!(detail.terms.preemptible);
    assert_eq!(detail.host.name, "h");
}

#[test]
fn our_format_needs_no_other_key() {
    let detail = detail("format=2\n").expect("because it is ours");
    assert_eq!(detail.arbitration, Arbitration::Kernel(2));
    assert_eq!((detail.generation, detail.terms), (Generation(0), Terms::default()));
    assert_eq!(ours().newer_format(), None);
}

/// As the original would: by its stamp.
#[rstest]
#[case::none("generation=9\n")]
#[case::an_older("format=1\ngeneration=9\n")]
#[case::no_number("format=x\ngeneration=9\n")]
#[case::nothing("format=\n")]
#[case::negative("format=-2\n")]
#[case::a_fraction("format=2.0\n")]
#[case::damaged_keys_do_not_matter("since=dawn\n")]
#[case::arbitration_of_another_kind("arbitration=kernel\n")]
fn what_has_no_format_of_ours_is_a_peers(#[case] below: &str) {
    assert_eq!(detail(below), None);
}

/// So that the original and older fleets judge it by its stamp.
#[test]
fn a_timed_record_has_no_format_and_its_keys_are_read() {
    let timed = |mut record: Record| {
        record.detail.as_mut().expect("because it is ours").arbitration = Arbitration::Timed;
        record
    };
    let record = timed(ours().owning(Generation(3), at(9)));
    let text = record.encode(0);
    assert!(!text.contains("format="), "{text}");
    assert!(text.contains("arbitration=timed\n"), "{text}");
    assert_eq!(Record::parse(text.as_bytes()), Ok(record));
    let damaged = parsed("arbitration=timed\nsince=dawn\n");
    assert_eq!(damaged, Err(malformed_key(5, "number")));
}

#[rstest]
#[case::the_largest("9223372036854775807", Ok(Generation((1 << 63) - 1)))]
#[case::too_large("9223372036854775808", Err(malformed_key(5, "generation below 2^63")))]
#[case::the_largest_of_all("18446744073709551615", Err(malformed_key(5, "generation below 2^63")))]
#[case::beyond_that("18446744073709551616", Err(malformed_key(5, "number")))]
fn a_generation_of_2_to_the_63_is_damage(
    #[case] value: &str,
    #[case] expected: Result<Generation, RecordError>,
) {
    let record = parsed(&format!("format=2\ngeneration={value}\n"));
    assert_eq!(record.map(|record| record.generation().unwrap_or_default()), expected);
}

const DAY: Duration = Duration::from_secs(86_400);

#[rstest]
#[case::shorter(DAY - MS, DAY - MS)]
#[case::a_day(DAY, DAY)]
#[case::longer(DAY + MS, DAY)]
#[case::for_ever(Duration::MAX, DAY)]
fn no_quiet_is_longer_than_a_day(#[case] quiet: Duration, #[case] expected: Duration) {
    let written = ours().advanced("x", quiet, at(6));
    let text = written.encode(0);
    let millis = u64::try_from(quiet.as_millis()).unwrap_or(u64::MAX);
    let announced =
        text.replace(&format!("quiet={}", expected.as_millis()), &format!("quiet={millis}"));
    let read = Record::parse(announced.as_bytes()).expect("because it is a record");
    for record in [written, read] {
        let detail = record.detail.expect("because it is ours");
        assert_eq!(detail.terms.quiet, expected);
    }
}

/// A file holds no parts of a millisecond; each step says its own quiet, and a renewal none.
#[test]
fn a_quiet_is_written_in_whole_milliseconds_and_lasts_to_the_next_step() {
    let record = ours().advanced("x", Duration::from_micros(1_999), at(6)).renewed(at(7));
    assert!(record.encode(0).contains("\nquiet=1\n"));
    assert_eq!(Record::parse(record.encode(0).as_bytes()), Ok(record.clone()));
    let quiet = record.advanced("y", Duration::ZERO, at(8)).detail.map(|detail| detail.terms.quiet);
    assert_eq!(quiet, Some(Duration::ZERO));
}

#[rstest]
#[case::said("preemptible=1\n", true)]
#[case::denied("preemptible=0\n", false)]
#[case::unclear("preemptible=yes\n", false)]
#[case::absent("", false)]
fn only_a_clear_word_is_consent(#[case] key: &str, #[case] expected: bool) {
    let record = parsed(&format!("format=2\n{key}")).expect("because it is a record");
    assert_eq!(record.is_preemptible(), expected);
}

#[test]
fn all_that_an_owner_may_say_reads_back() {
    let mut record = ours().owning(Generation(3), at(9)).advanced("1/3 a", MS * 15, at(11));
    let detail = record.detail.as_mut().expect("because it is ours");
    detail.process = Birth { pidns: 4_026_531_836, start: 81_170 };
    let (renew, stale_after, hang_after) = (MS * 10, MS * 30, MS * 120);
    detail.terms = Terms { preemptible: true, quiet: MS * 15, renew, stale_after, hang_after };
    detail.cgroup = Some("user.slice/work.scope".into());
    let text = record.encode(0);
    assert_eq!(Record::parse(text.as_bytes()), Ok(record));
    insta::assert_snapshot!(text);
}
