//! SIGKILL before every single effect of whoever can die: the next contenders get in at once,
//! one at a time, and clear away everything.

use std::time::Duration;

use rstest::rstest;
use serde_json::Value;

use crate::kit::{AT_ONCE, Child, Crew, Heard, Leftovers, LockLeft, MutexLeft, ReclaimLeft, Scene};

/// What is there when the victim comes.
#[derive(Clone, Copy, Debug)]
enum Before {
    Nothing,
    Generation,
    Left(Leftovers),
}

impl Before {
    fn scene(self) -> Scene {
        match self {
            Self::Nothing => Scene::new(),
            Self::Left(leftovers) => leftovers.scene(),
            Self::Generation => Scene::used(),
        }
    }
}

const DEAD_PEER: Leftovers = Leftovers {
    lock: LockLeft::StaleSeed,
    mutex: MutexLeft::OldEmpty,
    reclaim: ReclaimLeft::OldSeed,
};

/// The names are effects that must have been among those where the victim died; without
/// them the test would not be about what it says.
#[rstest]
#[case::free_for_the_first_time(Before::Nothing, &["Rename(GenerationDraft, Generation)", "Link(Ticket, Lock)"])]
#[case::free(Before::Generation, &["Link(Ticket, Mutex)", "Link(Ticket, Lock)", "Unlink(Mutex)"])]
#[case::dead_owner(Before::Left(Leftovers::DEAD_OWNER), &["Link(Ticket, Takeover)", "Rename(Takeover, Lock)"])]
#[case::reaper(Before::Left(Leftovers::WORST), &["Link(Ticket, Reclaim)", "Unlink(Reclaim)"])]
#[case::reaper_after_a_peer(Before::Left(DEAD_PEER), &["Unlink(Mutex)", "Unlink(Reclaim)"])]
fn a_contender_killed_at_any_effect_costs_the_next_nothing(
    #[case] before: Before,
    #[case] named: &[&str],
) {
    let template = before.scene();
    let mut next = Crew::contenders(3, &template.arena, &[]);
    let effects = kill_at_every_effect(&mut next, |nth| {
        let scene = Scene::copy_of(&template.arena);
        let mut victim = Child::contender(&scene.arena, &[]);
        victim.must(&format!("trap kill * {nth}"));
        victim.say("acquire");
        (scene, victim)
    });
    assert_named(&effects, named);
}

#[rstest]
#[case::step("step on 0", &["Link(Ticket, Mutex)", "Write(Ticket)", "Unlink(Mutex)"])]
#[case::release("release", &["Unlink(Lock)", "Unlink(Mutex)", "Unlock(Ticket)"])]
fn an_owner_killed_at_any_effect_costs_the_next_nothing(#[case] act: &str, #[case] named: &[&str]) {
    let template = Before::Generation.scene();
    let mut next = Crew::contenders(3, &template.arena, &[]);
    let effects = kill_at_every_effect(&mut next, |nth| {
        let scene = Scene::copy_of(&template.arena);
        let mut victim = Child::owner(&scene.arena);
        victim.must(&format!("trap kill * {nth}"));
        victim.say(act);
        (scene, victim)
    });
    assert_named(&effects, named);
}

/// The keeper renews by itself, again and again; each effect of one renewal is tried.
#[test]
fn a_renewal_killed_at_any_effect_costs_the_next_nothing() {
    let template = Before::Generation.scene();
    let mut next = Crew::contenders(3, &template.arena, &[]);
    let renewing = ["--renew-every", "10"];
    let mut model = Child::contender(&template.arena, &renewing);
    model.must("acquire");
    let renewal = one_renewal(&mut model);
    model.release();
    assert_named(&renewal, &["Touch(Ticket)", "Write(Ticket)", "Unlink(Mutex)"]);
    for effect in &renewal {
        let scene = Scene::copy_of(&template.arena);
        let mut victim = Child::contender(&scene.arena, &renewing);
        victim.must("acquire");
        let effect = effect.replace(' ', "");
        victim.must(&format!("trap kill {effect} 1"));
        victim.event("trap");
        assert!(matches!(victim.hear(), Heard::End), "{effect}");
        victim.wait_end();
        succeed(&mut next, &scene, &effect);
    }
}

/// The effects from one touch of the ticket to the next: a renewal begins with it.
fn one_renewal(owner: &mut Child) -> Vec<String> {
    let mut trace: Vec<String> = Vec::new();
    owner.must("trace");
    loop {
        let more = owner.must("trace");
        let more = more["trace"].as_array().expect("because it is a list");
        trace.extend(more.iter().filter_map(Value::as_str).map(str::to_owned));
        let mut touches = trace.iter().enumerate();
        let mut touches = touches.by_ref().filter(|(_, name)| *name == "Touch(Ticket)");
        if let (Some((from, _)), Some((to, _))) = (touches.next(), touches.next()) {
            return trace[from..to].to_vec();
        }
        // The keeper renews when its time has come, and tells nobody.
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Someone is already waiting when the owner dies, and is woken by its death.
#[test]
fn a_waiter_follows_an_owner_killed_at_any_effect_of_its_release() {
    let template = Before::Generation.scene();
    let mut next = Crew::contenders(1, &template.arena, &[]);
    for nth in 1.. {
        let scene = Scene::copy_of(&template.arena);
        let mut victim = Child::owner(&scene.arena);
        victim.must(&format!("trap kill * {nth}"));
        next.open(&scene.arena);
        let waiter = next.0.first_mut().expect("because there is one");
        waiter.say("cycle 0");
        waiter.event("waiting");
        victim.say("release");
        let killed = killed_at(&mut victim);
        let reply = waiter.reply();
        assert_eq!(reply["ok"], true, "{killed:?}: {reply}");
        if killed.is_some() {
            scene.assert_clean("a waiter");
        } else {
            break;
        }
    }
}

/// Kills a new victim at its first effect, the next at its second, and so on until one
/// survives. Returns what the effects were.
fn kill_at_every_effect(
    next: &mut Crew,
    mut victim: impl FnMut(u32) -> (Scene, Child),
) -> Vec<String> {
    let mut effects = Vec::new();
    for nth in 1.. {
        let (scene, mut victim) = victim(nth);
        let Some(effect) = killed_at(&mut victim) else {
            break;
        };
        succeed(next, &scene, &format!("{nth}: {effect}"));
        effects.push(effect);
    }
    effects
}

/// The effect before which it died; nothing if it survived its command.
fn killed_at(victim: &mut Child) -> Option<String> {
    let effect = match victim.hear() {
        Heard::Event(event) if event["event"] == "trap" => event["effect"].clone(),
        Heard::Reply(_) => return None,
        other => victim.fail(&format!("{other:?}")),
    };
    assert!(matches!(victim.hear(), Heard::End), "{effect} did not kill");
    victim.wait_end();
    effect.as_str().map(str::to_owned)
}

fn succeed(next: &mut Crew, scene: &Scene, what: &str) {
    next.open(&scene.arena);
    let begun = std::time::Instant::now();
    next.cycle(20, what);
    let took = begun.elapsed();
    assert!(took < AT_ONCE, "{what}: {took:?}");
    let work = scene.assert_no_overlap(what);
    // The victim may have worked too, before it died.
    assert!(work.len() >= next.0.len(), "{what}");
    scene.assert_clean(what);
}

fn assert_named(effects: &[String], named: &[&str]) {
    for name in named {
        let there = effects.iter().any(|effect| effect == name);
        assert!(there, "no {name} among {effects:#?}");
    }
}
