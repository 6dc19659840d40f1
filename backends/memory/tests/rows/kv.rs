//! Rows R1 to R7, K1 to K5, G1 to G6, C1, C2.

use portolan_core::waist::{KeyRange, Range};

use crate::kit::Bench;

#[test]
fn r1_a_fresh_store_is_at_revision_1() {
    let mut bench = Bench::new();
    assert_eq!(bench.range(Range::of(KeyRange::all())).header.revision.0, 1);
    assert_eq!(bench.model.compacted(), None);
}

#[test]
fn r2_one_step_for_each_changing_request() {
    let mut bench = Bench::new();
    assert_eq!(bench.put("b", ""), 2);
    assert_eq!(bench.put("a", ""), 3);
    assert_eq!(bench.delete(KeyRange::prefix("")), (4, 2));
    let log = bench.model.log().at_revision(portolan_core::waist::Revision(4)).to_vec();
    let order: Vec<_> =
        log.iter().map(|change| (change.index, change.kv.key.to_string())).collect();
    assert_eq!(order, [(0, "a".to_owned()), (1, "b".to_owned())]);
}
