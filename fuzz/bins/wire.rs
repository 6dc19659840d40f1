//! The target `wire`, for libFuzzer or for the files it is given.
#![cfg_attr(fuzzing, no_main)]

portolan_fuzz::program!(wire);
