//! Listings that strace has written, and some that it never would.

use rstest::rstest;

use super::*;

fn one(line: &str) -> Call {
    let mut calls = parse(line).expect("because strace wrote it");
    assert_eq!(calls.len(), 1);
    calls.remove(0)
}

#[test]
fn a_call_has_a_time_arguments_and_an_outcome() {
    let call = one(
        r#"42 1795526611.484811 openat(3</run>, "restart.lock", O_RDONLY|O_CLOEXEC) = 5</run/#17>(deleted) <0.000301>"#,
    );
    assert_eq!((call.line, call.thread, call.name.as_str()), (1, 42, "openat"));
    assert_eq!((call.began, call.ended), (1_795_526_611_484_811, Some(1_795_526_611_485_112)));
    assert_eq!(call.args(), ["3</run>", "\"restart.lock\"", "O_RDONLY|O_CLOEXEC"]);
    assert_eq!(call.opened(), Some(Descriptor { number: Some(5), path: "/run/#17".to_owned() }));
}

#[rstest]
#[case::number("= 187 <0.000010>", Outcome::Returned("187".to_owned()))]
#[case::remark("= 0x1 (flags FD_CLOEXEC) <0.000010>", Outcome::Returned("0x1".to_owned()))]
#[case::error("= -1 ENOENT (No such file or directory) <0.000010>", Outcome::Failed("ENOENT".to_owned()))]
#[case::injected("= -1 EPERM (Operation not permitted) (INJECTED) <0.000010>", Outcome::Failed("EPERM".to_owned()))]
#[case::signal("= ? ERESTARTNOHAND (To be restarted if no handler) <1.2>", Outcome::Interrupted)]
#[case::never("= ?", Outcome::Never)]
#[case::never_timed("= ? <unavailable>", Outcome::Never)]
fn outcomes_are_told_apart(#[case] result: &str, #[case] outcome: Outcome) {
    assert_eq!(one(&format!("1 2.000000 getpid() {result}")).outcome, outcome);
}

#[test]
fn a_call_that_others_interrupt_stands_where_it_began() {
    let calls = parse(
        "7 1.000000 fstat(3</run>,  <unfinished ...>\n\
         8 1.000010 close(4</x>) = 0 <0.000001>\n\
         7 1.000020 <... fstat resumed>{st_ino=5}) = 0 <0.000030>\n",
    )
    .expect("because strace wrote it");
    let names: Vec<_> = calls.iter().map(|call| (call.line, call.name.as_str())).collect();
    assert_eq!(names, [(1, "fstat"), (2, "close")]);
    let fstat = calls.first().expect("because there are two");
    assert_eq!(fstat.args(), ["3</run>", "{st_ino=5}"]);
    assert_eq!(fstat.ended, Some(1_000_030));
}

/// One thread ends the process while another is in a call; a third is killed.
#[test]
fn a_call_may_never_return() {
    let calls = parse(
        "8 1.000000 ppoll([], 0, NULL, NULL, 8 <unfinished ...>\n\
         9 1.000005 flock(3</run/a>, LOCK_EX <unfinished ...>\n\
         7 1.000010 exit_group(0 <unfinished ...>\n\
         8 1.000020 <... ppoll resumed> <unfinished ...>) = ?\n\
         7 1.000030 <... exit_group resumed>) = ?\n\
         9 1.000040 +++ killed by SIGKILL +++\n",
    )
    .expect("because strace wrote it");
    let names: Vec<_> = calls.iter().map(|call| call.name.as_str()).collect();
    assert_eq!(names, ["ppoll", "flock", "exit_group"]);
    for call in &calls {
        assert_eq!((&call.outcome, call.ended), (&Outcome::Never, None), "{call}");
    }
}

/// A signal without a handler is followed by no return from one.
#[test]
fn a_handlers_calls_are_known_from_its_return() {
    let calls = parse(
        "7 1.000000 --- SIGCHLD {si_signo=SIGCHLD} ---\n\
         7 1.000001 getpid() = 7 <0.000001>\n\
         7 1.000002 --- SIGINT {si_signo=SIGINT} ---\n\
         8 1.000003 gettid() = 8 <0.000001>\n\
         7 1.000004 sendto(8<UNIX-STREAM:[1->2]>, \"X\", 1, MSG_DONTWAIT, NULL, 0) = 1 <0.000001>\n\
         7 1.000005 rt_sigreturn({mask=[]}) = -1 EINTR (Interrupted system call) <0.000001>\n\
         7 1.000006 getuid() = 0 <0.000001>\n",
    )
    .expect("because strace wrote it");
    let handlers = calls.iter().filter(|call| call.in_handler).map(|call| call.name.as_str());
    assert_eq!(handlers.collect::<Vec<_>>(), ["sendto", "rt_sigreturn"]);
}

#[test]
fn signals_and_ends_are_no_calls() {
    let calls =
        parse("7 1.000000 --- SIGCHLD {si_signo=SIGCHLD} ---\n7 1.5 +++ exited with 0 +++\n");
    assert_eq!(calls, Ok(Vec::new()));
}

#[rstest]
#[case::no_time("7 getpid() = 7", "no thread or no time")]
#[case::no_arguments("7 1.000000 getpid = 7", "no `(`")]
#[case::never_closed("7 1.000000 getpid( = 7", "no `)`")]
#[case::closed_in_a_string("7 1.000000 a(\") = 7\"", "no `)`")]
#[case::no_result("7 1.000000 getpid()", "no result")]
#[case::nothing_to_resume("7 1.000000 <... getpid resumed>) = 7", "resumes nothing")]
fn what_strace_never_writes_is_refused(#[case] line: &str, #[case] reason: &str) {
    let error = parse(line).expect_err("because it is no listing");
    assert_eq!((error.line, error.reason), (1, reason));
}

#[rstest]
#[case::plain(r#""restart.lock""#, b"restart.lock")]
#[case::escapes(r#""a\nb\t\"\\""#, b"a\nb\t\"\\")]
#[case::octal(r#""\1\0\0\0\177\3777""#, b"\x01\0\0\0\x7f\xff7")]
#[case::hexadecimal(r#""\xff\x0a9""#, b"\xff\x0a9")]
fn strings_are_bytes(#[case] value: &str, #[case] bytes: &[u8]) {
    assert_eq!(text(value).as_deref(), Some(bytes));
}

#[rstest]
#[case::cut_off(r#""abc"..."#)]
#[case::pointer("0x7ffd3a527118")]
#[case::open("\"abc")]
fn what_is_no_whole_string_has_no_bytes(#[case] value: &str) {
    assert_eq!(text(value), None);
}

#[test]
fn structures_have_fields() {
    let stat = r#"{st_dev=makedev(0xfe, 0), st_mode=S_IFREG|0600, st_mtime=17 /* 1970-01-01 */, st_uid=0}"#;
    assert_eq!(field(stat, "st_dev"), Some("makedev(0xfe, 0)"));
    assert_eq!(field(stat, "st_mtime"), Some("17"));
    assert_eq!(field(stat, "st_uid"), Some("0"));
    assert_eq!(field(stat, "st_gid"), None);
}

#[test]
fn commas_in_strings_and_brackets_split_nothing() {
    assert_eq!(parts(r#"[{fd=3, events=1}], ",", f(a, b), 8"#).len(), 4);
    assert_eq!(elements("[{fd=3, events=1}, {fd=4}]"), ["{fd=3, events=1}", "{fd=4}"]);
    assert_eq!(parts(""), Vec::<&str>::new());
}

#[test]
fn strings_are_sifted_out() {
    let (strings, rest) = sift(r#"3</run>, "a\"b", "c\\", 0"#);
    assert_eq!(strings, [r#""a\"b""#, r#""c\\""#]);
    assert_eq!(rest, "3</run>, , , 0");
}
