//! Ends or stops this process just before a chosen effect, and notes what effects there were.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, ThreadId};

use lock_fs::{Effect, Tracer};
use lock_tests::now_ns;
use rustix::process::{Signal, getpid, kill_process};
use serde_json::json;

use crate::report;

/// Set by commands, sprung by effects.
#[derive(Clone, Default)]
pub(crate) struct Trap {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    armed: Option<Armed>,
    /// The effects so far, each with the instant just before it, if anybody wants to know.
    trace: Option<Vec<(u64, String)>>,
}

struct Armed {
    signal: Signal,
    /// What the effect must be called; empty for any of this thread, for the keeper's come
    /// when they will.
    name: String,
    thread: ThreadId,
    /// How many of them are left, this one included.
    left: u32,
}

impl Trap {
    /// Springs at the `nth` effect from now that is called `name`, or at the `nth` at all.
    pub(crate) fn arm(&self, signal: Signal, name: &str, nth: u32) {
        let (name, thread) = (name.to_owned(), thread::current().id());
        self.state().armed = Some(Armed { signal, name, thread, left: nth });
    }

    /// Springs no more.
    pub(crate) fn disarm(&self) {
        self.state().armed = None;
    }

    /// The effects since this was asked last.
    pub(crate) fn trace(&self) -> Vec<(u64, String)> {
        self.state().trace.replace(Vec::new()).unwrap_or_default()
    }

    /// What shows it the effects.
    pub(crate) fn tracer(&self) -> Tracer {
        let trap = self.clone();
        Tracer::new(move |effect| trap.show(effect))
    }

    fn show(&self, effect: &Effect) {
        let name = effect.to_string();
        let mut state = self.state();
        if let Some(trace) = &mut state.trace {
            trace.push((now_ns(), name.clone()));
        }
        let Some(armed) = &mut state.armed else {
            return;
        };
        let is_meant = match armed.name.as_str() {
            "" => armed.thread == thread::current().id(),
            meant => meant == name.replace(' ', ""),
        };
        if !is_meant {
            return;
        }
        armed.left = armed.left.saturating_sub(1);
        if armed.left > 0 {
            return;
        }
        let signal = armed.signal;
        state.armed = None;
        drop(state);
        report::say(&json!({"event": "trap", "effect": name}));
        // To oneself, both signals work before the call returns.
        let _ = kill_process(getpid(), signal);
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
