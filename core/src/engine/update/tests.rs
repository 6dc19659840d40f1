mod harness;
mod judging;
mod laws;
mod traces;
mod world;
