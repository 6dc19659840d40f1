//! Plan files and share links: read or refused in a sentence; what is read is written so that it is
//! read the same, and can be run for a while without a panic.

use portolan_playground::Play;
use portolan_sim::{Plan, Runner, Scenario};
use serde_json::json;

use crate::tape::{self, Tape};

/// How much happens in a plan that was read: it may be one that would take hours.
const MOST_EVENTS: u32 = 300;

/// More processes than that take long to begin with.
const MOST_PROCESSES: u16 = 32;

/// The first byte says what the rest is: a plan's text, a page's address, what a page asks for, or a
/// tape with a plan and with what is done to its text.
pub fn run(input: &[u8]) {
    let Some((&what, rest)) = input.split_first() else { return };
    let text = String::from_utf8_lossy(rest);
    match what % 4 {
        0 => plan(&text),
        1 => open(&json!({ "share": text }).to_string()),
        2 => open(&text),
        _ => {
            let mut tape = Tape::new(rest);
            let Some(drawn) = tape.read::<Plan>() else { return };
            let mut text = drawn.to_text().into_bytes();
            while let Some((at, byte)) = (!tape.is_over()).then(|| tape.read()).flatten() {
                let at: u16 = at;
                let at = usize::from(at) % text.len();
                text[at] = byte;
            }
            plan(&String::from_utf8_lossy(&text));
        }
    }
}

/// Some scenarios, and addresses of them.
pub fn seeds() -> Vec<(String, Vec<u8>)> {
    let of = |name: &str| Scenario::find(name).expect("there is such a scenario").plan();
    let step = json!({ "at_ms": 1_000, "do": { "crash": { "process": 0 } } });
    let share =
        json!({ "of": { "scenario": "crash" }, "steps": [step], "at_nanos": 1_500_000_000 });
    let drawn = json!({ "of": { "drawn": { "seed": "7", "mix": "full" } }, "beside": "GoKit" });
    let mut seeds = vec![
        ("share".to_owned(), [b"\x01", share.to_string().as_bytes()].concat()),
        ("share-drawn".to_owned(), [b"\x01", drawn.to_string().as_bytes()].concat()),
        ("seed".to_owned(), b"\x02{\"seed\":\"7\",\"mix\":\"full\"}".to_vec()),
    ];
    for name in ["crash", "store-wiped", "rights-taken", "naive-lease-revoked"] {
        let plan = of(name);
        seeds.push((name.to_owned(), [b"\x00", plan.to_text().as_bytes()].concat()));
        seeds.push((format!("{name}-tape"), [&[3], &tape::write(&[plan])[..]].concat()));
    }
    seeds
}

fn plan(text: &str) {
    let plan = match Plan::parse(text) {
        Ok(plan) => plan,
        Err(error) => return assert!(!error.to_string().is_empty(), "a refusal without a word"),
    };
    let again = Plan::parse(&plan.to_text()).expect("what is written is read");
    assert_eq!(again, plan, "a plan is read as it was written");
    if plan.world.processes > MOST_PROCESSES {
        return;
    }
    let mut runner = Runner::new(&plan, false);
    for _ in 0..MOST_EVENTS {
        if !runner.step() {
            return;
        }
    }
}

fn open(request: &str) {
    let mut play = match Play::open(request) {
        Ok(play) => play,
        Err(refusal) => return assert!(!refusal.is_empty(), "a refusal without a word"),
    };
    if play.processes() > MOST_PROCESSES.into() {
        return;
    }
    for _ in 0..MOST_EVENTS {
        if !play.step() {
            break;
        }
    }
    let at = play.at();
    let mut other =
        Play::open(&json!({ "share": play.share() }).to_string()).expect("it was shared");
    assert_eq!(other.wanted(), Some(at));
    other.advance(at, MOST_EVENTS);
    assert_eq!(other.export(), play.export(), "what is shared is the same plan");
}
