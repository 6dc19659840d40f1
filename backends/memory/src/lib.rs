//! A deterministic in-memory model of etcd for the portolan service registry.
