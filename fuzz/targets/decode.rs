//! Whatever is stored, decoding it ends in an answer, and what it reads as an instance can be
//! written again.
//!
//! ```console
//! cargo +stable fuzz run --sanitizer none decode
//! ```

#![no_main]

use libfuzzer_sys::fuzz_target;
use portolan_core::layout::{Decoded, Layout, Stamp};
use portolan_core::waist::{Key, Value};

fuzz_target!(|value: &[u8]| {
    let native = Layout::native("/portolan").expect("a root");
    let naming = Layout::etcd_naming("shop").expect("a root");
    for (layout, key) in [
        (&native, "/portolan/instances/web/a"),
        (&native, "/portolan/groups/web"),
        (&naming, "shop/web/10.0.0.7:8080"),
    ] {
        if let Decoded::Instance(instance) = layout.decode(&Key::from(key), &Value::from(value)) {
            let _ = layout.encode_instance(&instance, Stamp::default());
        }
    }
});
