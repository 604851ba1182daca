//! An owner whose ticket others have inherited is killed wherever it can be. What it leaves running
//! keeps the lock, if it owns anything, and never the mutex.

use rstest::rstest;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::kit::{Child, Heard, Scene, assert_at_once};

/// So often is each place tried: with the heirs alive and after their end.
const ROUNDS: usize = 3;

const RENEWING: [&str; 2] = ["--renew-every", "10"];

/// An owner with an heir that has its ticket.
struct Family {
    scene: Scene,
    owner: Child,
    heir: Pid,
    generation: u64,
}

impl Family {
    fn new(template: &Scene, options: &[&str]) -> Self {
        let scene = Scene::copy_of(&template.arena);
        let mut owner = Child::contender(&scene.arena, options);
        let generation = owner.must("acquire")["generation"].as_u64();
        let generation = generation.expect("because it is the owner");
        let heir = owner.must("leave 60000")["pid"].as_i64();
        let heir = heir.and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
        Self { scene, owner, heir: heir.expect("because it is a pid"), generation }
    }

    /// The effect before which it died; nothing if it came through.
    fn dies(&mut self) -> Option<String> {
        let effect = match self.owner.hear() {
            Heard::Event(event) if event["event"] == "trap" => event["effect"].clone(),
            Heard::Reply(_) => return None,
            other => self.owner.fail(&format!("{other:?}")),
        };
        assert!(matches!(self.owner.hear(), Heard::End), "{effect} did not kill");
        self.owner.wait_end();
        effect.as_str().map(str::to_owned)
    }

    /// With the heir alive, the mutex is free for everybody; once it has ended, so is the lock.
    fn bury(&self, preemptible: bool, evicts: bool, what: &str) {
        let scene = &self.scene;
        let mut asker = Child::contender(&scene.arena, &["--no-wait"]);
        let owner = asker.must("status")["owner"].clone();
        let is_owned = owner["generation"].as_u64() == Some(self.generation);
        if !is_owned {
            assert_eq!(owner, Value::Null, "{what}");
        } else if evicts {
            let evicted = asker.must(&format!("evict {}", self.generation));
            assert_eq!(evicted["evicted"], "Done", "{what}: {evicted}");
            assert_at_once(&evicted);
        } else if !preemptible {
            let busy = asker.must_fail("acquire", "Busy");
            assert_at_once(&busy);
            self.end_heir();
        }
        // Of a preemptible owner the heir is a step's tool, and is ended: no quiet was announced.
        let mut next = Child::contender(&scene.arena, &[]);
        let acquired = next.must("acquire");
        assert_at_once(&acquired);
        next.must("step undisturbed 0");
        next.release();
        scene.assert_clean(what);
    }

    fn end_heir(&self) {
        // It may have been ended by then.
        let _ = kill_process(self.heir, Signal::KILL);
    }
}

impl Drop for Family {
    fn drop(&mut self) {
        self.end_heir();
    }
}

/// Kills at the first effect, then at the second, and so on until one comes through.
#[rstest]
#[case::step("step on 0", false)]
#[case::release("release", false)]
#[case::preemptible_step("step on 0", true)]
#[case::preemptible_release("release", true)]
fn an_owner_with_heirs_that_is_killed_wedges_nobody(#[case] act: &str, #[case] preemptible: bool) {
    let template = Scene::used();
    let options: &[&str] = if preemptible { &["--preemptible"] } else { &[] };
    let mut effects = Vec::new();
    for round in 0..ROUNDS {
        for nth in 1.. {
            let mut family = Family::new(&template, options);
            family.owner.must(&format!("trap kill * {nth}"));
            family.owner.say(act);
            let Some(effect) = family.dies() else { break };
            family.bury(preemptible, round % 2 == 1, &format!("{act} {nth}: {effect}"));
            effects.push(effect);
        }
    }
    for effect in ["CreateAnonymous(Mutex)", "Link(Mutex, Mutex)", "Unlink(Mutex)", "Close(Mutex)"]
    {
        assert!(effects.iter().any(|other| other == effect), "no {effect} among {effects:?}");
    }
    assert!(!effects.iter().any(|effect| effect == "Link(Ticket, Mutex)"), "{effects:?}");
}

/// The same in a renewal, which comes by itself.
#[rstest]
#[case::not_preemptible(false)]
#[case::preemptible(true)]
fn an_owner_with_heirs_that_is_killed_in_a_renewal_wedges_nobody(#[case] preemptible: bool) {
    const RENEWAL: [&str; 12] = [
        "CreateAnonymous(Mutex)",
        "Lock(Mutex,Exclusive)",
        "Stat(Mutex)",
        "Write(Mutex)",
        "Link(Mutex,Mutex)",
        "Look(Lock)",
        "Read(Ticket)",
        "Write(Ticket)",
        "Look(Mutex)",
        "Unlink(Mutex)",
        "Unlock(Mutex)",
        "Close(Mutex)",
    ];
    let template = Scene::used();
    let more: &[&str] = if preemptible { &["--preemptible"] } else { &[] };
    let options = [&RENEWING[..], more].concat();
    for round in 0..ROUNDS {
        for effect in RENEWAL {
            let mut family = Family::new(&template, &options);
            family.owner.say(&format!("trap kill {effect} 1"));
            // It may renew before it can answer.
            loop {
                match family.owner.hear() {
                    Heard::End => break,
                    Heard::Reply(reply) => assert_eq!(reply["ok"], true, "{reply}"),
                    Heard::Event(_) => {}
                }
            }
            family.owner.wait_end();
            family.bury(preemptible, round % 2 == 1, effect);
        }
    }
}
