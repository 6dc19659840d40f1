//! Uses nothing but what portolan exports.

extern crate portolan;

fn main() {
    println!("a crate outside the workspace builds on portolan");
}
