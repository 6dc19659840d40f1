//! The store is taken back to a snapshot, or forgets everything, while it is followed.

use portolan_kit::Etcd;

use super::*;

/// What a follower that knows the former store is told of the present one.
async fn a_new_epoch_is_declared(etcd: &Etcd, follower: &mut Follower, writer: &mut Writer) {
    let url = etcd.client_url();
    let (told, _, why) = until_broken(follower).await;
    assert_eq!(why, Some(Gap::NewEpoch));
    assert_eq!(told, [], "nothing of the present store is told as a change of the former one");
    let (at, content) = listed(follower, usize::MAX).await;
    assert_eq!(content, history::content_at(&url, PREFIX, at).await);
    let telling = history::Telling::from(&url, PREFIX, at + 1).await;
    writer.reconnect().await;
    writer.write(50).await;
    let mark = writer.mark().await;
    let told = until(follower, &mark).await;
    let truth: Vec<_> = telling.end(&url).await.into_iter().map(|(_, event)| event).collect();
    is_all(&told, &truth);
}

/// Follows, and has read all that was written, when the store is `taken_back` to a snapshot of
/// before.
async fn followed_across(taken_back: impl FnOnce(&mut Etcd)) {
    let mut etcd = etcd();
    let registry = registry(&etcd);
    let mut writer = Writer::at(&etcd.client_url()).await;
    writer.write(30).await;
    let mut follower = registry.follow(PREFIX);
    begun(&mut follower).await;
    let path = etcd.folder().join("snapshot");
    etcdctl(&etcd, &["snapshot", "save", path.to_str().expect("UTF-8")]);
    writer.write(30).await;
    let mark = writer.mark().await;
    until(&mut follower, &mark).await;
    taken_back(&mut etcd);
    a_new_epoch_is_declared(&etcd, &mut follower, &mut writer).await;
    assert!(registry.shutdown().await);
}

fn restored(etcd: &mut Etcd, token: Option<&str>) {
    let snapshot = etcd.folder().join("snapshot");
    etcd.restore(&snapshot, token).expect("it is restored");
    etcd.restart().expect("it starts");
}

#[tokio::test]
async fn a_wiped_store_is_told() {
    followed_across(|etcd| {
        etcd.wipe().expect("it is wiped");
        etcd.restart().expect("it starts");
    })
    .await;
}

#[tokio::test]
async fn a_restored_store_is_told() {
    followed_across(|etcd| restored(etcd, None)).await;
}

#[tokio::test]
async fn a_store_restored_as_another_cluster_is_told() {
    followed_across(|etcd| restored(etcd, Some("another"))).await;
}

/// Followed while it is cut off, the store is taken back and has come further than the follower
/// was by the time that it is back, in the same term: only its content tells.
async fn overtaken(before: impl AsyncFnOnce(&mut Writer), instead: impl AsyncFnOnce(&mut Writer)) {
    let mut etcd = etcd();
    let proxy = Proxy::start(etcd.client_port()).await;
    let registry = registry_at(&proxy.url());
    let mut writer = Writer::at(&etcd.client_url()).await;
    writer.at_once(&["/app/a", "/app/b"], &[]).await;
    let path = etcd.folder().join("snapshot");
    etcdctl(&etcd, &["snapshot", "save", path.to_str().expect("UTF-8")]);
    let mut follower = registry.follow(PREFIX);
    begun(&mut follower).await;
    let saved = writer.revision().await;
    before(&mut writer).await;
    let cursor = writer.revision().await;
    let mut seen = saved;
    while seen < cursor {
        let Followed::Changes { events } = next(&mut follower).await else { panic!("a change") };
        seen = events.last().expect("not empty").kv.mod_revision.0;
    }
    proxy.cut();
    restored(&mut etcd, None);
    writer.reconnect().await;
    instead(&mut writer).await;
    while writer.revision().await < cursor + 2 {
        writer.put("/elsewhere", "").await;
    }
    proxy.heal();
    a_new_epoch_is_declared(&etcd, &mut follower, &mut writer).await;
    assert!(registry.shutdown().await);
}

#[tokio::test]
async fn a_restored_store_that_has_overtaken_is_told() {
    overtaken(
        async |writer| writer.put("/app/c", "ours").await,
        async |writer| writer.put("/app/c", "another's").await,
    )
    .await;
}

/// What is left is older than what was deleted, and the other store has as much, and no newer.
#[tokio::test]
async fn a_restored_store_is_told_also_after_the_newest_record_was_deleted() {
    overtaken(
        async |writer| {
            writer.put("/app/c", "").await;
            writer.put("/app/c", "").await;
            writer.delete("/app/c").await;
        },
        async |writer| writer.at_once(&["/app/d"], &["/app/a"]).await,
    )
    .await;
}
