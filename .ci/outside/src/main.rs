//! Uses nothing but what portolan exports, and does the main job with it.

use std::collections::BTreeMap;
use std::time::Duration;

use portolan::{ErrorKind, Instance, Registry, SecretString, State, Version};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let registry = Registry::embedded()?;
    registry.ready(Duration::from_secs(5)).await?;
    let web = registry.group("web")?;
    let instance: Instance = web
        .instance("web-1")?
        .endpoint("http", "10.0.0.7:8080")
        .version(Version::new(1, 2, 3))
        .build()?;
    let registration = web.register(instance)?;
    let directory = web.directory();
    let snapshot = directory.wait_for(|snapshot| !snapshot.is_empty()).await?;
    assert_eq!(snapshot.instance("web-1").map(Instance::state), Some(State::Ready));
    assert!(directory.pick().is_some());
    web.update_as(|limits: &mut BTreeMap<String, u32>| {
        limits.insert("requests".into(), 100);
    })
    .await?;
    registration.deregister().await?;
    assert!(registry.shutdown().await);

    // A real etcd, which is not there: built all the same, and it says so in time.
    let registry = Registry::builder()
        .endpoints(["127.0.0.1:1"])
        .user("somebody", SecretString::from("a secret"))
        .build()?;
    let error = registry.ready(Duration::from_millis(300)).await.expect_err("nobody is there");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    registry.abandon().await;
    println!("a crate outside the workspace does its job with portolan");
    Ok(())
}
