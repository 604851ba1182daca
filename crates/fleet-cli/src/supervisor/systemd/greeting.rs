//! Asks a manager whether it is there, without a call of systemctl: its socket is greeted as
//! a client of D-Bus does, and only one that is alive returns the greeting. Nothing follows it.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

/// The manager's socket in the user's runtime directory: the one that systemctl talks to.
const SOCKET: &str = "systemd/private";

/// A millisecond is usual. One that is busy may be asked by systemctl, which waits longer.
const PATIENCE: Duration = Duration::from_secs(1);

/// Whether a manager that has its socket in `runtime_directory` is there for us. If not, that
/// may be for other reasons than that there is none.
pub(super) fn is_returned(runtime_directory: &Path) -> bool {
    let user = rustix::process::getuid().as_raw().to_string();
    greet(&runtime_directory.join(SOCKET), &user).is_ok_and(|answer| answer.starts_with(b"OK "))
}

fn greet(socket: &Path, user: &str) -> io::Result<Vec<u8>> {
    // It may hang, and then its queue may be full.
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let stream = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    connect(&stream, &SocketAddrUnix::new(socket)?)?;
    let mut stream = UnixStream::from(stream);
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let user: String = user.bytes().map(|digit| format!("{digit:02x}")).collect();
    stream.write_all(format!("\0AUTH EXTERNAL {user}\r\n").as_bytes())?;
    let mut answer = vec![0; 64];
    let length = stream.read(&mut answer)?;
    answer.truncate(length);
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::a_manager("OK 217fb51fd0184bf89c2d113cd78aeebd\r\n", true)]
    #[case::not_for_us("REJECTED EXTERNAL\r\n", false)]
    #[case::it_hangs_up("", false)]
    fn only_who_returns_it_is_a_manager(#[case] answer: &'static str, #[case] is_one: bool) {
        let directory = tempfile::tempdir().expect("temporary directory");
        assert!(!is_returned(directory.path()), "there is no socket");
        std::fs::create_dir(directory.path().join("systemd")).expect("it is ours");
        let listener = UnixListener::bind(directory.path().join(SOCKET)).expect("bound");
        let manager = std::thread::spawn(move || {
            let (mut client, _) = listener.accept().expect("greeted");
            let mut greeting = [0; 64];
            let length = client.read(&mut greeting).expect("readable");
            client.write_all(answer.as_bytes()).expect("it listens");
            String::from_utf8_lossy(&greeting[..length]).into_owned()
        });
        assert_eq!(is_returned(directory.path()), is_one);
        let greeting = manager.join().expect("it ran");
        assert!(greeting.starts_with("\0AUTH EXTERNAL 3") && greeting.ends_with("\r\n"));
    }
}
