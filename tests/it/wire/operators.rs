//! What operators ask: the same of a real etcd and of the wire server, by the real etcd-client, and
//! the same is answered, word by word.

use std::fmt::Debug;

use etcd_client::{
    AlarmAction, AlarmOptions, AlarmType, Client, CompactionOptions, Compare, CompareOp,
    ConnectOptions, Error, KvClient, LeaseGrantOptions, Permission, PermissionType, PutOptions,
    RoleRevokePermissionOptions, Txn, TxnOp, UserAddOptions,
};
use portolan_kit::{Etcd as RealEtcd, Release};
use portolan_wire::{Config, Etcd, Server};

const RELEASES: [Release; 2] = [Release::V3_4, Release::V3_5];

/// Asks both, and holds their answers together.
async fn both<F>(script: impl Fn(String) -> F)
where
    F: Future<Output = Vec<String>>,
{
    let mut differ = Vec::new();
    for release in RELEASES {
        let real = RealEtcd::start(release).expect("it starts");
        let mut client = client(&real.client_url(), None).await;
        let status = client.status().await.expect("it tells its status");
        let header = status.header().expect("a header");
        let ids = (header.cluster_id(), header.member_id());
        let config = Config::of_version(real.version()).expect("a version");
        let (cluster_id, member_id) = ids;
        let etcd = Etcd::new(Config { cluster_id, member_id, ..config });
        let server = Server::bind(([127, 0, 0, 1], 0).into(), etcd).await.expect("it listens");
        let url = format!("http://{}", server.address());
        let ours = tokio::spawn(server.serve(std::future::pending()));

        let (real, ours_said) = (script(real.client_url()).await, script(url).await);
        ours.abort();
        assert!(real.len() > 10, "{real:#?}");
        assert_eq!(ours_said.len(), real.len());
        let pairs = real.into_iter().zip(ours_said);
        differ.extend(pairs.filter(|(real, ours)| real != ours).map(|pair| (release, pair)));
    }
    assert!(differ.is_empty(), "etcd and then ours: {differ:#?}");
}

async fn client(url: &str, user: Option<(&str, &str)>) -> Client {
    log_in(url, user).await.expect("it connects")
}

async fn log_in(url: &str, user: Option<(&str, &str)>) -> Result<Client, Error> {
    let options = user.map(|(name, password)| ConnectOptions::new().with_user(name, password));
    Client::connect([url], options).await
}

/// What was asked, and what came of it.
#[derive(Default)]
struct Said(Vec<String>);

impl Said {
    fn add<T: Debug>(&mut self, asked: &str, answer: Result<T, Error>) {
        let text = match answer {
            Ok(answer) => format!("{answer:?}"),
            Err(Error::GRpcStatus(status)) => format!("{:?}: {}", status.code(), status.message()),
            Err(error) => format!("{error}"),
        };
        self.0.push(format!("{asked}: {text}"));
    }
}

/// Asks, and writes down the answer, or what `$shown` makes of it.
macro_rules! ask {
    ($said:ident, $client:ident.$call:ident($($argument:expr),*)) => {
        ask!($said, $client.$call($($argument),*), |_| "done")
    };
    ($said:ident, $client:ident.$call:ident($($argument:expr),*), $shown:expr) => {
        let answer = $client.$call($($argument),*).await.map($shown);
        let asked = concat!(stringify!($call), "(", stringify!($($argument),*), ")");
        $said.add(&asked.split_whitespace().collect::<Vec<_>>().join(" "), answer);
    };
}

#[tokio::test]
async fn users_and_roles_are_set_up() {
    both(set_up).await;
}

async fn set_up(url: String) -> Vec<String> {
    let mut said = Said::default();
    let mut c = client(&url, None).await;
    ask!(said, c.auth_disable());
    ask!(said, c.auth_enable());
    ask!(said, c.user_add("", "x", None));
    ask!(said, c.user_add("root", "r", None));
    ask!(said, c.user_add("root", "r", None));
    ask!(said, c.auth_enable());
    ask!(said, c.user_grant_role("root", "part"));
    ask!(said, c.user_grant_role("root", "root"));
    ask!(said, c.user_grant_role("root", "root"));
    ask!(said, c.user_grant_role("nobody", "root"));
    ask!(said, c.role_add(""));
    ask!(said, c.role_add("part"));
    ask!(said, c.role_add("part"));
    ask!(said, c.role_add("empty"));
    ask!(said, c.user_add("ann", "a", None));
    ask!(said, c.user_add("badge", "", Some(UserAddOptions::new().with_no_pwd())));
    ask!(said, c.user_grant_role("ann", "part"));
    ask!(said, c.user_grant_role("ann", "empty"));
    ask!(said, c.user_get("ann"), |user| user.roles().to_vec());
    ask!(said, c.user_get("badge"), |user| user.roles().to_vec());
    ask!(said, c.user_get("nobody"), |user| user.roles().to_vec());
    ask!(said, c.user_list(), |list| list.users().to_vec());
    ask!(said, c.role_list(), |list| list.roles().to_vec());

    ask!(said, c.role_grant_permission("nothing", Permission::read("k")));
    ask!(said, c.role_grant_permission("part", Permission::read("")));
    ask!(said, c.role_grant_permission("part", Permission::read("b").with_range_end("a")));
    ask!(said, c.role_grant_permission("part", Permission::read("b").with_range_end("b")));
    ask!(said, c.role_grant_permission("nothing", Permission::read("")));
    ask!(said, c.role_grant_permission("part", Permission::read("k")));
    ask!(said, c.role_grant_permission("part", Permission::write("b").with_range_end("d")));
    ask!(said, c.role_grant_permission("part", Permission::read_write("p/").with_prefix()));
    ask!(said, c.role_grant_permission("part", Permission::read("z").with_from_key()));
    ask!(said, c.role_grant_permission("part", Permission::write("k")));
    ask!(said, c.role_get("part"), |role| role.0.perm);
    ask!(said, c.role_get("root"), |role| role.0.perm);
    ask!(said, c.role_get("nothing"), |role| role.0.perm);
    ask!(said, c.role_revoke_permission("part", "k", None));
    ask!(said, c.role_revoke_permission("part", "k", None));
    let range = Some(RoleRevokePermissionOptions::new().with_range_end("d"));
    ask!(said, c.role_revoke_permission("part", "b", range));
    ask!(said, c.role_revoke_permission("nothing", "k", None));
    ask!(said, c.role_get("part"), |role| role.0.perm);

    ask!(said, c.user_revoke_role("ann", "empty"));
    ask!(said, c.user_revoke_role("ann", "empty"));
    ask!(said, c.user_revoke_role("nobody", "empty"));
    ask!(said, c.role_delete("empty"));
    ask!(said, c.role_delete("empty"));
    ask!(said, c.user_change_password("ann", "b"));
    ask!(said, c.user_change_password("nobody", "b"));
    ask!(said, c.user_change_password("badge", "b"));
    ask!(said, c.role_add("root"));
    ask!(said, c.role_get("root"), |role| role.0.perm);
    ask!(said, c.role_delete("root"));
    ask!(said, c.user_delete("badge"));
    ask!(said, c.user_delete("badge"));
    ask!(said, c.user_list(), |list| list.users().to_vec());
    said.0
}

#[tokio::test]
async fn operators_need_the_role_root() {
    both(turn_on).await;
}

async fn turn_on(url: String) -> Vec<String> {
    let mut said = Said::default();
    let mut c = client(&url, None).await;
    ask!(said, c.user_add("root", "r", None));
    ask!(said, c.user_grant_role("root", "root"));
    ask!(said, c.user_add("ann", "a", None));
    ask!(said, c.user_add("badge", "", Some(UserAddOptions::new().with_no_pwd())));
    ask!(said, c.user_change_password("badge", "x"));
    ask!(said, c.role_add("part"));
    ask!(said, c.role_add("other"));
    ask!(said, c.user_grant_role("ann", "part"));
    ask!(said, c.role_grant_permission("part", Permission::new(PermissionType::Readwrite, "k")));
    ask!(said, c.auth_enable());
    // As nobody.
    ask!(said, c.auth_enable());
    ask!(said, c.user_list(), |list| list.users().to_vec());
    ask!(said, c.user_get("ann"), |user| user.roles().to_vec());
    ask!(said, c.role_get("part"), |role| role.0.perm);
    ask!(said, c.hash_kv(0), |hash| hash.hash());
    ask!(said, c.hash(), |_| "some");
    ask!(said, c.alarm(AlarmAction::Get, AlarmType::None, None), |list| list.alarms().len());
    ask!(said, c.alarm(AlarmAction::Deactivate, AlarmType::Nospace, None), |list| list.0.alarms);
    for (user, password) in [("ann", "wrong"), ("badge", ""), ("badge", "x"), ("nobody", "x")] {
        let refused = log_in(&url, Some((user, password))).await;
        said.add(&format!("{user} logs in with {password}"), refused.map(|_| "done"));
    }
    let mut ann = client(&url, Some(("ann", "a"))).await;
    ask!(said, ann.put("k", "1", None));
    ask!(said, ann.put("other", "1", None));
    ask!(said, ann.user_get("ann"), |user| user.roles().to_vec());
    ask!(said, ann.user_get("root"), |user| user.roles().to_vec());
    ask!(said, ann.user_get("nobody"), |user| user.roles().to_vec());
    ask!(said, ann.role_get("part"), |role| role.0.perm);
    ask!(said, ann.role_get("other"), |role| role.0.perm);
    ask!(said, ann.user_list(), |list| list.users().to_vec());
    ask!(said, ann.role_list(), |list| list.roles().to_vec());
    ask!(said, ann.user_add("eve", "e", None));
    ask!(said, ann.user_change_password("ann", "b"));
    ask!(said, ann.auth_disable());
    ask!(said, ann.hash_kv(0), |hash| hash.hash());
    ask!(said, ann.alarm(AlarmAction::Get, AlarmType::None, None), |list| list.alarms().len());

    let mut root = client(&url, Some(("root", "r"))).await;
    ask!(said, root.auth_enable());
    ask!(said, root.user_delete("root"));
    ask!(said, root.user_revoke_role("root", "root"));
    ask!(said, root.role_delete("root"));
    ask!(said, root.user_list(), |list| list.users().to_vec());
    ask!(said, root.role_list(), |list| list.roles().to_vec());
    ask!(said, root.hash_kv(0), |hash| (hash.hash(), hash.compact_version()));
    ask!(said, root.user_change_password("ann", "b"));
    // Her token is worth nothing any more.
    ask!(said, ann.user_get("ann"), |user| user.roles().to_vec());
    let again = log_in(&url, Some(("ann", "b"))).await;
    said.add("ann logs in anew", again.map(|_| "done"));
    ask!(said, root.auth_disable());
    ask!(said, c.user_list(), |list| list.users().to_vec());
    said.0
}

#[tokio::test]
async fn an_alarm_is_raised_and_disarmed() {
    both(alarm).await;
}

async fn alarm(url: String) -> Vec<String> {
    let mut said = Said::default();
    let mut c = client(&url, None).await;
    let status = c.status().await.expect("it tells its status");
    let id = status.header().expect("a header").member_id();
    let of = |id| {
        let mut options = AlarmOptions::new();
        options.with_member(id);
        Some(options)
    };
    use {AlarmAction as Do, AlarmType as Kind};
    let list = |answer: etcd_client::AlarmResponse| answer.0.alarms;
    ask!(said, c.alarm(Do::Get, Kind::None, None), list);
    ask!(said, c.alarm(Do::Activate, Kind::Nospace, of(id)), list);
    ask!(said, c.alarm(Do::Activate, Kind::Nospace, of(id)), list);
    ask!(said, c.alarm(Do::Get, Kind::None, None), list);
    ask!(said, c.alarm(Do::Get, Kind::Nospace, None), list);
    ask!(said, c.put("k", "1", None));
    ask!(said, c.status(), |status| status.0.errors);
    ask!(said, c.alarm(Do::Deactivate, Kind::Nospace, None), list);
    ask!(said, c.alarm(Do::Activate, Kind::Nospace, of(7)), list);
    ask!(said, c.alarm(Do::Get, Kind::Nospace, None), |answer| answer.alarms().len());
    ask!(said, c.alarm(Do::Get, Kind::Corrupt, None), list);
    ask!(said, c.alarm(Do::Deactivate, Kind::Nospace, of(7)), list);
    ask!(said, c.put("k", "1", None));
    ask!(said, c.alarm(Do::Deactivate, Kind::Nospace, of(id)), list);
    ask!(said, c.alarm(Do::Deactivate, Kind::Nospace, of(id)), list);
    ask!(said, c.put("k", "1", None));
    ask!(said, c.status(), |status| status.0.errors);
    said.0
}

/// The very number: of puts, of deletes, of transactions, of leases, and of what compaction leaves.
#[tokio::test]
async fn what_is_kept_has_the_same_hash() {
    both(hash).await;
}

async fn hash(url: String) -> Vec<String> {
    let mut said = Said::default();
    let mut c = client(&url, None).await;
    let number = |hash: etcd_client::HashKvResponse| (hash.hash(), hash.compact_version());
    ask!(said, c.hash_kv(0), number);
    c.lease_grant(60, Some(LeaseGrantOptions::new().with_id(0x1234))).await.expect("a lease");
    for i in 0..20 {
        let key = format!("k{}", i % 7);
        let value = "v".repeat(i);
        let options = (i % 3 == 0).then(|| PutOptions::new().with_lease(0x1234));
        c.put(key, value, options).await.expect("it is put");
    }
    ask!(said, c.hash_kv(0), number);
    c.delete("k1", None).await.expect("it is deleted");
    let put = |key: &str| TxnOp::put(key, "t", None);
    let txn = Txn::new().when([Compare::version("k1", CompareOp::Equal, 0)]).and_then([
        put("k1"),
        put("x"),
        TxnOp::delete("k2", None),
        put("y"),
    ]);
    let mut kv: KvClient = c.kv_client();
    kv.txn(txn).await.expect("it is done");
    c.delete("x", None).await.expect("it is deleted");
    for revision in [0, 1, 2, 10, 22, 23, 24, 25, 26, -1] {
        ask!(said, c.hash_kv(revision), number);
    }
    let physical = || Some(CompactionOptions::new().with_physical());
    for compacted in [5, 21, 22, 23, 24] {
        c.compact(compacted, physical()).await.expect("it is compacted");
        // Of older ones some releases still have the hash.
        for revision in [compacted + 1, 0] {
            ask!(said, c.hash_kv(revision), number);
        }
    }
    c.lease_revoke(0x1234).await.expect("it is revoked");
    ask!(said, c.hash_kv(0), number);
    said.0
}
