//! A server for `etcdctl lock`, on the loopback, for as long as the run lasts.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::place::{Medium, Places};

/// Ended when dropped.
pub(super) struct Server {
    process: Child,
}

/// Where `etcdctl` looks for the server's address. Its default is the server's too.
const ADDRESS: &str = "127.0.0.1:2379";

/// So long it may take to answer.
const PATIENCE: Duration = Duration::from_secs(20);

impl Server {
    /// Starts one that keeps its data with the run's other files.
    pub(super) fn start(places: &Places) -> Result<Self, Error> {
        // Somebody's server is not ours to measure with.
        let free = TcpListener::bind(ADDRESS);
        drop(free.map_err(Error::system("listen at", ADDRESS))?);
        let data = places.directory(Medium::Disk)?;
        let mut command = Command::new("etcd");
        command.args(["--data-dir", data.as_str(), "--log-level", "error"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.spawn().map_err(Error::system("start", "etcd"))?;
        let server = Self { process };
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            let health = Command::new("etcdctl").args(["endpoint", "health"]).output();
            if health.is_ok_and(|output| output.status.success()) {
                return Ok(server);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Err(Error::Failure("etcd did not become healthy".to_owned()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
