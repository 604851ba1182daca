//! Agents as plain processes, restarted as the `process` supervisor does it, without a lock and
//! under one.

use std::fs::OpenOptions;
use std::process::{Child, Command, Stdio};

use camino::Utf8PathBuf;
use rustix::process::{Pid, Signal, kill_process};

use super::home::{Home, IDLE};
use super::locked::Locked;
use crate::error::Error;

/// All of them, ended when dropped.
pub(super) struct Agents {
    directory: Utf8PathBuf,
    agents: Vec<Child>,
}

impl Agents {
    pub(super) fn start(home: &Home, size: usize) -> Result<Self, Error> {
        let mut all = Self { directory: home.path("work"), agents: Vec::new() };
        for index in 0..size {
            all.agents.push(start(&all.directory, index)?);
        }
        Ok(all)
    }

    /// One after the other.
    pub(super) fn restart(&mut self) -> Result<(), Error> {
        for (agent, index) in self.agents.iter_mut().zip(0..) {
            end(agent)?;
            wait(agent)?;
            *agent = start(&self.directory, index)?;
        }
        Ok(())
    }

    /// The same under the lock: ending and starting are fenced, and so is noting that it is
    /// done, which `fleet` does third.
    pub(super) fn restart_under(&mut self, lock: &mut Locked) -> Result<(), Error> {
        for (agent, index) in self.agents.iter_mut().zip(0..) {
            lock.step(|| end(agent))?;
            wait(agent)?;
            lock.step(|| start(&self.directory, index).map(|started| *agent = started))?;
            lock.step(|| Ok(()))?;
        }
        Ok(())
    }
}

fn end(agent: &Child) -> Result<(), Error> {
    let asked = kill_process(Pid::from_child(agent), Signal::TERM);
    asked.map_err(Error::system("end", "an agent"))
}

fn wait(agent: &mut Child) -> Result<(), Error> {
    agent.wait().map(drop).map_err(Error::system("wait for", "an agent"))
}

fn start(directory: &Utf8PathBuf, index: usize) -> Result<Child, Error> {
    let path = directory.join(format!("bare-{index}.log"));
    let log = OpenOptions::new().create(true).append(true).open(&path);
    let log = log.map_err(Error::system("open", &path))?;
    let copy = log.try_clone().map_err(Error::system("copy the descriptor of", &path))?;
    let mut command = Command::new("/bin/sh");
    command.args(["-c", IDLE]).current_dir(directory);
    let started = command.stdin(Stdio::null()).stdout(log).stderr(copy).spawn();
    started.map_err(Error::system("start", "an agent"))
}

impl Drop for Agents {
    fn drop(&mut self) {
        for agent in &mut self.agents {
            let _ = agent.kill();
            let _ = agent.wait();
        }
    }
}
