//! The simulator in a browser: what a page shows of a world, and what one can do in it.

use portolan_sim::Scenario;
use serde::Serialize;
use wasm_bindgen::prelude::wasm_bindgen;

#[derive(Serialize)]
struct Named {
    name: &'static str,
    about: String,
}

/// The scenarios, as JSON.
#[wasm_bindgen]
pub fn scenarios() -> String {
    let named = |&scenario: &Scenario| Named { name: scenario.name, about: scenario.plan().about };
    let all: Vec<_> = Scenario::ALL.iter().map(named).collect();
    serde_json::to_string(&all).expect("names are JSON")
}
