mod creations;
mod endings;
mod harness;
mod judging;
mod laws;
mod store;
mod traces;
mod world;
