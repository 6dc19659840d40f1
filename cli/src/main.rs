//! The command line of the portolan service registry.

fn main() {}
