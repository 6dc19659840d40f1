//! A service registry over etcd.
