//! The simulator in a browser: what a page shows of a world, and what one can do in it.
//!
//! Everything here is pure and runs anywhere; [`Playground`] hands it to a page through WebAssembly.
//! What crosses are numbers, and strings of JSON; times are milliseconds since the world began, with
//! fractions; ids of 64 bits are strings. Whoever is refused is given a sentence, and nothing has
//! changed.
//!
//! | module | what it holds |
//! |---|---|
//! | `session` | one run of a plan: forward, back, and what is done in it |
//! | `play` | a session, other clients beside it, and where its plan came from |
//! | `belief` | what each process believes, and where the store has it otherwise |
//! | `view` | what is shown of a moment |
//! | `trace` | the trace by kind and process, and the marks of the time line |
//! | `inspect` | one thing in words |
//! | `guide` | what to look at in a plan, and when |
//! | `action` | what one does, as steps of the plan |
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "what is shown picks few of many things, and is right to pass over new ones"
)]

mod action;
mod belief;
mod guide;
mod inspect;
mod play;
mod session;
#[cfg(test)]
mod tests;
mod trace;
mod view;
mod words;

use std::panic;
use std::sync::Mutex;

use portolan_core::Time;
use portolan_sim::plan::{Fleet, SubjectKind};
use portolan_sim::{Mix, Property, Scenario};
use serde::{Deserialize, Serialize};
use wasm_bindgen::JsError;
use wasm_bindgen::prelude::wasm_bindgen;

pub use play::Play;
use view::{Side, View, millis};

/// What was said when something broke that must not break.
static BROKEN: Mutex<Option<String>> = Mutex::new(None);

/// Has the page learn what to report where the module panics.
#[wasm_bindgen(start)]
pub fn begin() {
    panic::set_hook(Box::new(|panic| {
        if let Ok(mut broken) = BROKEN.lock() {
            *broken = Some(panic.to_string());
        }
    }));
}

/// What to report after the module has panicked: where, and why.
#[wasm_bindgen]
pub fn last_panic() -> Option<String> {
    BROKEN.lock().ok()?.clone()
}

/// The version of this module.
#[wasm_bindgen]
pub fn version() -> String {
    env!("CARGO_PKG_VERSION").to_owned()
}

#[derive(Serialize)]
struct Named {
    name: &'static str,
    about: String,
    /// The fleet whose client loses in it.
    naive: Option<&'static str>,
    loses: bool,
}

/// The scenarios: name, a sentence, and the fleet whose client loses there, if one does.
#[wasm_bindgen]
pub fn scenarios() -> String {
    let named = |&scenario: &Scenario| {
        let plan = scenario.plan();
        let naive = plan.world.subjects.0.iter().find_map(|&kind| match kind {
            SubjectKind::Engine => None,
            SubjectKind::Naive(fleet) => Some(fleet),
        });
        let beside = BESIDE.iter().find(|(name, _)| *name == scenario.name).map(|&(_, it)| it);
        let naive = naive.or(beside).map(words::fleet_id);
        Named { name: scenario.name, about: plan.about, naive, loses: naive.is_some() }
    };
    to_json(&Scenario::ALL.iter().map(named).collect::<Vec<_>>())
}

/// Scenarios of ours that are worth a look at other clients, too.
const BESIDE: &[(&str, Fleet)] = &[("first-visit", Fleet::EtcdNaming)];

/// The mixes from which plans are drawn: names, and what each is of.
#[wasm_bindgen]
pub fn mixes() -> String {
    to_json(&Mix::NAMES)
}

#[derive(Serialize)]
struct FleetView {
    id: &'static str,
    name: &'static str,
    about: &'static str,
}

/// The fleets whose clients can run beside.
#[wasm_bindgen]
pub fn fleets() -> String {
    let view = |&fleet: &Fleet| {
        let (name, about) = words::fleet(fleet);
        FleetView { id: words::fleet_id(fleet), name, about }
    };
    to_json(&Fleet::ALL.iter().map(view).collect::<Vec<_>>())
}

/// A plan that runs, for a page.
#[wasm_bindgen]
pub struct Playground(Play);

#[derive(Serialize)]
struct CheckView {
    id: String,
    about: &'static str,
    state: &'static str,
    looks: u64,
    violations: Vec<ViolationView>,
}

#[derive(Serialize)]
struct ViolationView {
    at_ms: f64,
    text: String,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct OfSide {
    side: Side,
}

#[wasm_bindgen]
impl Playground {
    /// Opens `{"scenario": NAME}`, `{"seed": "7", "mix": NAME}`, `{"plan": TEXT}` or `{"share": TEXT}`.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    #[wasm_bindgen(constructor)]
    pub fn new(request: &str) -> Result<Self, JsError> {
        Play::open(request).map(Self).map_err(refused)
    }

    /// Side by side with the clients of a fleet, or with nobody.
    ///
    /// # Errors
    /// There is no such fleet.
    pub fn beside(&mut self, fleet: Option<String>) -> Result<(), JsError> {
        self.0.beside(fleet.as_deref()).map_err(refused)
    }

    /// The moment that is shown.
    pub fn now(&self) -> f64 {
        millis(self.0.at())
    }

    /// The moment that whoever shared this wants to be shown; nothing, if it was not shared.
    pub fn wanted(&self) -> Option<f64> {
        self.0.wanted().map(millis)
    }

    /// When the next thing happens; nothing at the end.
    pub fn next(&self) -> Option<f64> {
        self.0.next().map(millis)
    }

    /// Goes on to a moment; has at most so much happen. Whether it is reached.
    pub fn advance(&mut self, to_ms: f64, most: u32) -> bool {
        self.0.advance(moment(to_ms), most)
    }

    /// Has the next thing happen. False at the end.
    pub fn step(&mut self) -> bool {
        self.0.step()
    }

    /// Goes to a moment that is known, back too.
    pub fn seek(&mut self, to_ms: f64) {
        self.0.seek(moment(to_ms));
    }

    /// Does something, and answers when, in whole milliseconds.
    ///
    /// # Errors
    /// A sentence; nothing has changed.
    pub fn act(&mut self, action: &str) -> Result<f64, JsError> {
        let at = self.0.act(action).map_err(refused)?;
        Ok(millis(Time::from_millis(at)))
    }

    /// Has nothing heal before a moment.
    ///
    /// # Errors
    /// A sentence; nothing has changed.
    pub fn last(&mut self, to_ms: f64) -> Result<(), JsError> {
        self.0.last(moment(to_ms).as_nanos() / 1_000_000).map_err(refused)
    }

    /// What is shown of the present moment: see `view.rs`.
    ///
    /// # Errors
    /// The options cannot be read.
    pub fn view(&self, options: &str) -> Result<String, JsError> {
        let options: view::Options = read(options)?;
        Ok(to_json(&View::of(&self.0, &options)))
    }

    /// Lines of the trace: see `trace.rs`.
    ///
    /// # Errors
    /// The options cannot be read.
    pub fn trace(&mut self, options: &str) -> Result<String, JsError> {
        let options: trace::Options = read(options)?;
        let (session, index) = self.0.indexed(options.side);
        Ok(to_json(&index.lines(session, &options)))
    }

    /// The place of the last line that has happened, among those that fit the options; −1 before it.
    ///
    /// # Errors
    /// The options cannot be read.
    pub fn trace_at(&mut self, options: &str) -> Result<i32, JsError> {
        let options: trace::Options = read(options)?;
        let (session, index) = self.0.indexed(options.side);
        let place = index.present(session, &options);
        Ok(place.and_then(|place| i32::try_from(place).ok()).unwrap_or(-1))
    }

    /// All lines of the main side by now, as the command prints them.
    pub fn trace_text(&self) -> String {
        let lines = self.0.side(Side::Main).past().iter();
        lines.map(|entry| format!("{entry}\n")).collect()
    }

    /// The marks of the time line.
    pub fn marks(&self) -> String {
        to_json(&trace::marks(self.0.side(Side::Main)))
    }

    /// What there is to look at in the plan as it is, and when.
    pub fn guide(&self) -> String {
        to_json(&guide::of(self.0.side(Side::Main).plan()))
    }

    /// Each property, how often it had something to look at, and where it did not hold.
    ///
    /// # Errors
    /// The options cannot be read.
    pub fn checks(&self, options: &str) -> Result<String, JsError> {
        let OfSide { side } = read(options)?;
        let session = self.0.side(side);
        let looked = session.runner().checks().looked();
        let view = |&property: &Property| {
            let violations: Vec<_> = session
                .violations()
                .filter(|(_, violation)| violation.property == property)
                .map(|(at, it)| ViolationView { at_ms: millis(at), text: it.text.clone() })
                .collect();
            let looks = looked.get(&property).copied();
            let state = match looks {
                None => "not asked",
                Some(_) if !violations.is_empty() => "violated",
                Some(0) => "not looked at",
                Some(_) => "holds",
            };
            let (id, about) = (property.to_string(), property.title());
            CheckView { id, about, state, looks: looks.unwrap_or(0), violations }
        };
        Ok(to_json(&Property::ALL.iter().map(view).collect::<Vec<_>>()))
    }

    /// One thing in words: see `inspect.rs`.
    ///
    /// # Errors
    /// There is no such thing now.
    pub fn inspect(&self, what: &str, options: &str) -> Result<String, JsError> {
        let OfSide { side } = read(options)?;
        inspect::inspect(self.0.side(side), what).map(|it| to_json(&it)).map_err(refused)
    }

    /// The plan as a file that `portolan sim replay` runs to the same trace.
    pub fn export(&self) -> String {
        self.0.export()
    }

    /// This moment as a text, which `{"share": TEXT}` opens again.
    pub fn share(&self) -> String {
        self.0.share()
    }

    /// Up to where it is known what happens, if nobody does anything.
    pub fn reaches(&self) -> f64 {
        millis(self.0.reaches())
    }
}

/// A moment of a page: from 0 to ten years.
fn moment(ms: f64) -> Time {
    let nanos = (ms * 1e6).round().clamp(0.0, 315_360_000_000e6);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is in range")]
    Time::from_nanos(if nanos.is_nan() { 0 } else { nanos as u64 })
}

fn read<'a, T: Deserialize<'a> + Default>(options: &'a str) -> Result<T, JsError> {
    if options.is_empty() {
        return Ok(T::default());
    }
    serde_json::from_str(options).map_err(|error| refused(format!("no such options: {error}")))
}

fn refused(words: String) -> JsError {
    JsError::new(&words)
}

fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("what is shown is JSON")
}
