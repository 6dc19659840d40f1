//! Starts private etcd servers for the tests of the portolan service registry.
