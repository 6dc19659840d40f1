//! Carries the portolan service registry's requests to a real etcd cluster.
