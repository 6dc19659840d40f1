use super::*;

mod epochs;
mod leader;
mod members;
mod quorum;
