//! The pure engine of the portolan service registry: etcd's vocabulary, the state machines, the layouts.
