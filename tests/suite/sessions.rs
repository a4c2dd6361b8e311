//! Sessions of the dashboard in a store without a server: signing in, their ends, who sees them, and what is stored.

use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;
use waypost::app::Store;
use waypost::clock::{Clock, Timestamp};
use waypost::config::{AdminKey, Config};
use waypost::core::{AuditQuery, Author, Caller, Context, Error, SESSIONS_MAX, SignedIn, Tenants};
use waypost::log::Position;
use waypost::model::audit::SubjectKind;
use waypost::model::id::{ForeignId, Id};
use waypost::model::key::{KeyDraft, KeyReach, Scope, Scopes};
use waypost::model::session::{IDLE, LIFE, RENEW_AFTER, Session, SessionKey};
use waypost::model::workspace::WorkspaceDraft;
use waypost::readiness::Readiness;
use waypost::table::keys::Kind;

use crate::support::app::START;

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;

/// A store with a clock that the test moves.
struct Instance {
    folder: TempDir,
    clock: Clock,
    store: Store,
}

impl Instance {
    async fn start() -> Instance {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let clock = Clock::fixed(Timestamp::from_millis(START));
        let store = open(folder.path(), &clock, None).await;
        Instance { folder, clock, store }
    }

    /// Stops and starts again, with this key in the environment. `change` runs between the two.
    async fn restart(self, environment: Option<&str>, change: impl FnOnce(&Path)) -> Instance {
        let Instance { folder, clock, store } = self;
        store.close().await;
        change(folder.path());
        let store = open(folder.path(), &clock, environment).await;
        Instance { folder, clock, store }
    }

    fn tenants(&self) -> Tenants {
        self.store.core.tenants()
    }

    /// Moves the clock to this time after the start.
    fn at(&self, after: i64) {
        self.clock.set(Timestamp::from_millis(START + after));
    }

    /// Returns a context with all rights, in the first workspace.
    fn context(&self) -> Context {
        let workspace = self.tenants().acting(&Caller::Environment, None).expect("the first workspace");
        Context::of_program(workspace, self.clock.now())
    }

    /// Creates a key and returns its caller.
    async fn caller(&self, draft: KeyDraft) -> Caller {
        let (_, secret) = self.tenants().create_key(&self.context(), draft).await.expect("created");
        self.tenants().authenticate(&secret, self.clock.now()).expect("a live key")
    }

    async fn sign_in(&self, caller: &Caller) -> String {
        self.tenants().sign_in(caller, "Firefox on Linux").await.expect("signed in")
    }

    fn find(&self, secret: &str) -> Option<SignedIn> {
        self.tenants().session_of(secret, self.clock.now())
    }

    fn session(&self, secret: &str) -> Arc<Session> {
        self.find(secret).expect("a live session").session
    }

    async fn renew(&self, secret: &str) {
        self.tenants().renew_session(&self.session(secret)).await.expect("renewed, or not yet due");
    }

    /// Returns the ids of the sessions that a caller sees.
    fn listed(&self, caller: &Caller) -> Vec<Id> {
        self.tenants().sessions(caller).iter().map(|session| session.id).collect()
    }

    /// Returns the number of stored sessions.
    fn stored(&self) -> usize {
        let mut count = 0;
        let mut each = |_: &[u8], _, _: &[u8]| {
            count += 1;
            Ok(())
        };
        self.store.table.each_raw(&Kind::Session.prefix(), &mut each).expect("the table answers");
        count
    }

    fn position(&self) -> Position {
        self.store.log.position()
    }

    /// Sweeps. Returns the number of sessions that were removed.
    async fn swept(&self) -> usize {
        let before = self.stored();
        self.store.core.sweep_expired(self.clock.now()).await.expect("swept");
        before - self.stored()
    }
}

async fn open(folder: &Path, clock: &Clock, environment: Option<&str>) -> Store {
    let admin_key = environment.map(|key| AdminKey(key.to_owned()));
    let config = Config { data_dir: folder.join("data"), admin_key, ..Config::default() };
    let store = Store::open(&config, clock.clone(), &Readiness::default()).expect("it opens");
    store.ready(&config.data_dir).await.expect("its first records");
    store
}

/// A key of the first workspace that reads links.
fn reader(name: &str) -> KeyDraft {
    let scopes = [Scope::LinksRead].into_iter().collect();
    KeyDraft { name: name.into(), reach: None, scopes, create_only: false, expires_at: None }
}

fn admin(name: &str) -> KeyDraft {
    KeyDraft { scopes: [Scope::LinksRead, Scope::Admin].into_iter().collect(), ..reader(name) }
}

fn millis(time: std::time::Duration) -> i64 {
    i64::try_from(time.as_millis()).expect("a constant")
}

#[tokio::test]
async fn a_session_outlives_a_restart_and_ends_with_its_key() {
    let instance = Instance::start().await;
    let caller = instance.caller(reader("reader")).await;
    let secret = instance.tenants().sign_in(&caller, " Firefox\n on Linux ").await.expect("signed in");
    assert_eq!(secret.len(), 43);
    assert!(secret.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)), "{secret}");
    let SignedIn { caller: found, session } = instance.find(&secret).expect("a live session");
    assert_eq!((found.key(), found.credential()), (caller.key(), caller.credential()));
    assert_eq!(session.key.id(), caller.key());
    assert_eq!((&*session.device, session.created_at), ("Firefox on Linux", instance.clock.now()));
    assert_ne!(session.token, [0; 16]);
    let other = instance.sign_in(&caller).await;
    assert_ne!(instance.session(&other).token, session.token);
    // Neither a part, nor a longer text, nor the id, nor nothing.
    for wrong in [&secret[1..], &format!("{secret}="), &session.id.to_string(), ""] {
        assert!(instance.find(wrong).is_none(), "{wrong:?}");
    }
    // Once with the table, and once with a table that is built from the log.
    let instance = instance.restart(None, |_| {}).await;
    assert_eq!(instance.session(&secret).id, session.id);
    let without_table = |folder: &Path| std::fs::remove_dir_all(folder.join("data/table")).expect("a table");
    let instance = instance.restart(None, without_table).await;
    assert_eq!(instance.session(&secret).token, session.token);
    assert_eq!(instance.stored(), 2);
    let id = caller.key().expect("a stored key");
    instance.tenants().revoke_key(&instance.context(), id).await.expect("revoked");
    assert!(instance.find(&secret).is_none() && instance.find(&other).is_none());
    assert_eq!(instance.stored(), 0, "in the Change of the revocation");
    assert!(matches!(instance.tenants().sign_in(&caller, "").await, Err(Error::Unauthorized)));
    let instance = instance.restart(None, |_| {}).await;
    assert!(instance.find(&secret).is_none());
    instance.store.close().await;
}

/// A sign-in relies on the record of its key, so of a revocation at the same time none is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_session_outlives_a_revocation_at_the_same_time() {
    let instance = Instance::start().await;
    for round in 0..20 {
        let caller = instance.caller(reader("reader")).await;
        let (id, context) = (caller.key().expect("a stored key"), instance.context());
        let (signing, revoking) = (instance.tenants(), instance.tenants());
        let signing = tokio::spawn(async move { signing.sign_in(&caller, "").await });
        let revoking = tokio::spawn(async move { revoking.revoke_key(&context, id).await });
        revoking.await.expect("no panic").expect("revoked");
        match signing.await.expect("no panic") {
            // It was first.
            Ok(secret) => assert!(instance.find(&secret).is_none(), "round {round}"),
            Err(Error::Unauthorized) => {}
            Err(error) => panic!("round {round}: {error}"),
        }
    }
    instance.swept().await;
    assert_eq!(instance.stored(), 0, "also of those that were committed just before");
    instance.store.close().await;
}

#[tokio::test]
async fn a_session_slides_while_it_is_used_and_ends_by_the_clock() {
    let instance = Instance::start().await;
    let caller = instance.caller(reader("reader")).await;
    let secret = instance.sign_in(&caller).await;
    let signed_in = instance.position();
    // Nothing is written before it is due.
    instance.at(millis(RENEW_AFTER) - 1);
    instance.renew(&secret).await;
    assert_eq!(instance.position(), signed_in);
    instance.at(millis(RENEW_AFTER));
    let stale = instance.session(&secret);
    instance.renew(&secret).await;
    let renewed = instance.position();
    assert!(renewed > signed_in);
    // Another request of the browser, which began before.
    instance.tenants().renew_session(&stale).await.expect("not due any more");
    assert_eq!(instance.position(), renewed);
    let end = millis(RENEW_AFTER) + millis(IDLE);
    assert_eq!(instance.session(&secret).ends_at(), Timestamp::from_millis(START + end));
    let instance = instance.restart(None, |_| {}).await;
    instance.at(end - 1);
    let last = instance.session(&secret);
    instance.at(end);
    assert!(instance.find(&secret).is_none() && instance.listed(&caller).is_empty());
    // A request that began in time brings back nothing.
    instance.tenants().renew_session(&last).await.expect("nothing to do");
    assert!(instance.find(&secret).is_none());
    assert_eq!((instance.stored(), instance.swept().await, instance.stored()), (1, 1, 0));
    instance.store.close().await;
}

#[tokio::test]
async fn a_session_ends_after_its_life_however_often_it_is_used() {
    let instance = Instance::start().await;
    let caller = instance.caller(reader("reader")).await;
    let secret = instance.sign_in(&caller).await;
    let life = millis(LIFE);
    let mut at = 0;
    while at < life - HOUR {
        at += 11 * HOUR;
        instance.at(at.min(life - HOUR));
        instance.renew(&secret).await;
    }
    instance.at(life - 1);
    assert_eq!(instance.session(&secret).ends_at(), Timestamp::from_millis(START + life));
    instance.at(life);
    assert!(instance.find(&secret).is_none());
    // The next sign-in of the key removes it.
    let next = instance.sign_in(&caller).await;
    assert_eq!((instance.stored(), instance.listed(&caller)), (1, vec![instance.session(&next).id]));
    instance.store.close().await;
}

#[tokio::test]
async fn a_session_ends_when_its_key_expires() {
    let instance = Instance::start().await;
    let expires_at = Some(Timestamp::from_millis(START + HOUR));
    let caller = instance.caller(KeyDraft { expires_at, ..reader("for an hour") }).await;
    let secret = instance.sign_in(&caller).await;
    instance.at(HOUR - 1);
    assert!(instance.find(&secret).is_some());
    instance.at(HOUR);
    assert!(instance.find(&secret).is_none());
    assert!(matches!(instance.tenants().sign_in(&caller, "").await, Err(Error::Unauthorized)));
    // The key stays in lists, and its session does not.
    assert_eq!((instance.swept().await, instance.stored()), (1, 0));
    instance.store.close().await;
}

#[tokio::test]
async fn the_session_above_the_cap_replaces_the_one_used_longest_ago() {
    let instance = Instance::start().await;
    let caller = instance.caller(reader("reader")).await;
    let mut secrets = Vec::new();
    for number in 0..SESSIONS_MAX {
        instance.at(i64::try_from(number).expect("small") * SECOND);
        secrets.push(instance.sign_in(&caller).await);
    }
    assert_eq!(instance.listed(&caller).len(), SESSIONS_MAX);
    // The oldest is in use, so that the second one was used longest ago.
    instance.at(HOUR);
    instance.renew(&secrets[0]).await;
    instance.at(HOUR + 1);
    let position = instance.position();
    let newest = instance.sign_in(&caller).await;
    assert_eq!(instance.position(), Position(position.0 + 1), "one Change for both");
    let left: Vec<bool> = secrets.iter().map(|secret| instance.find(secret).is_some()).collect();
    let want: Vec<bool> = (0..SESSIONS_MAX).map(|number| number != 1).collect();
    assert_eq!(left, want);
    assert_eq!(instance.stored(), SESSIONS_MAX);
    let listed = instance.listed(&caller);
    assert_eq!(listed[..2], [instance.session(&newest).id, instance.session(&secrets[0]).id]);
    // A session of another key takes no room of this one.
    let other = instance.caller(reader("other")).await;
    instance.sign_in(&other).await;
    assert_eq!(instance.listed(&caller).len(), SESSIONS_MAX);
    instance.store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sign_ins_at_the_same_time_stay_below_the_cap() {
    let instance = Instance::start().await;
    let caller = instance.caller(reader("reader")).await;
    let mut signing = Vec::new();
    for _ in 0..3 * SESSIONS_MAX {
        let (tenants, caller) = (instance.tenants(), caller.clone());
        signing.push(tokio::spawn(async move { tenants.sign_in(&caller, "").await }));
    }
    let mut done = 0;
    for one in signing {
        match one.await.expect("no panic") {
            Ok(_) => done += 1,
            Err(Error::Busy) => {}
            Err(error) => panic!("{error}"),
        }
    }
    let stored = instance.stored();
    assert!(done >= SESSIONS_MAX && stored <= SESSIONS_MAX && stored > 0, "{done} done, {stored} stored");
    // Afterwards as before.
    instance.sign_in(&caller).await;
    assert!(instance.stored() <= SESSIONS_MAX);
    instance.store.close().await;
}

#[tokio::test]
async fn a_session_of_the_environment_key_ends_when_the_key_is_another_one() {
    const KEY: &str = "correct horse battery";
    let instance = Instance::start().await;
    let none = instance.tenants().sign_in(&Caller::Environment, "").await;
    assert!(matches!(none, Err(Error::Unauthorized)), "{none:?}");
    let instance = instance.restart(Some(KEY), |_| {}).await;
    let secret = instance.sign_in(&Caller::Environment).await;
    let found = instance.find(&secret).expect("a live session");
    assert!(matches!(found.caller, Caller::Environment));
    assert!(matches!(found.session.key, SessionKey::Environment(_)));
    let instance = instance.restart(Some(KEY), |_| {}).await;
    assert_eq!(instance.session(&secret).id, found.session.id);
    // With another key, and without one: then nothing is listed, and the sweep removes it.
    let instance = instance.restart(Some("correct horse batterY"), |_| {}).await;
    assert!(instance.find(&secret).is_none());
    let instance = instance.restart(None, |_| {}).await;
    assert!(instance.find(&secret).is_none());
    assert!(instance.listed(&Caller::Environment).is_empty());
    assert_eq!((instance.swept().await, instance.stored()), (1, 0));
    instance.store.close().await;
}

/// What a person reads who has a copy of the data folder.
#[tokio::test]
async fn no_file_has_a_secret_or_a_hash_by_which_it_could_be_guessed() {
    use sha2::{Digest, Sha256};
    const KEY: &str = "correct horse battery";
    let instance = Instance::start().await.restart(Some(KEY), |_| {}).await;
    let caller = instance.caller(reader("reader")).await;
    let secrets = [instance.sign_in(&caller).await, instance.sign_in(&Caller::Environment).await];
    let device = b"Firefox on Linux";
    let Instance { folder, store, .. } = instance;
    store.close().await;
    let (mut has_device, hash) = (false, Sha256::digest(KEY));
    for entry in walk(&folder.path().join("data")) {
        let bytes = std::fs::read(&entry).expect("a file");
        let has = |text: &[u8]| bytes.windows(text.len()).any(|part| part == text);
        has_device |= has(device);
        for secret in [secrets[0].as_bytes(), secrets[1].as_bytes(), KEY.as_bytes(), &hash] {
            assert!(!has(secret), "{}: {secret:?}", entry.display());
        }
    }
    assert!(has_device, "the sessions are stored there");
}

fn walk(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

#[tokio::test]
async fn a_key_that_may_only_create_links_gets_no_session() {
    let instance = Instance::start().await;
    let scopes = [Scope::LinksWrite].into_iter().collect();
    let caller = instance.caller(KeyDraft { create_only: true, scopes, ..reader("a form") }).await;
    match instance.tenants().sign_in(&caller, "").await {
        Err(Error::Forbidden(why)) => assert!(why.contains("only create links"), "{why}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(instance.stored(), 0);
    instance.store.close().await;
}

/// A key sees its own sessions, with the scope `admin` also those of the keys that it may revoke.
#[tokio::test]
async fn sessions_are_seen_and_ended_within_the_reach_of_an_admin() {
    let instance = Instance::start().await.restart(Some("correct horse battery"), |_| {}).await;
    let own = instance.context();
    let id = ForeignId::parse("id", "second").expect("an id");
    let second =
        WorkspaceDraft { id: Some(id.clone()), company: None, name: "Second".into(), edits: Vec::new() };
    instance.tenants().create_workspace(&own, second).await.expect("created");
    let other_reach = Some(KeyReach::Workspace(id));
    let instance_reach = Some(KeyReach::Instance);
    let company = Some(KeyReach::Company(own.workspace.company.clone()));
    let drafts = [
        reader("reader"),
        admin("admin"),
        KeyDraft { reach: other_reach.clone(), ..reader("other reader") },
        KeyDraft { reach: other_reach, ..admin("other admin") },
        KeyDraft { reach: company, ..admin("company admin") },
        KeyDraft { reach: instance_reach.clone(), scopes: Scopes::all(), ..reader("instance admin") },
        KeyDraft { reach: instance_reach, ..reader("instance reader") },
    ];
    let mut callers = Vec::new();
    for draft in drafts {
        callers.push(instance.caller(draft).await);
    }
    callers.push(Caller::Environment);
    let mut ids = Vec::new();
    for (number, caller) in callers.iter().enumerate() {
        instance.at(i64::try_from(number).expect("small") * SECOND);
        let secret = instance.sign_in(caller).await;
        ids.push(instance.session(&secret).id);
    }
    let seen: [&[usize]; 8] = [
        &[0],
        &[1, 0],
        &[2],
        &[3, 2],
        &[4, 3, 2, 1, 0],
        &[7, 6, 5, 4, 3, 2, 1, 0],
        &[6],
        &[7, 6, 5, 4, 3, 2, 1, 0],
    ];
    let listed = |instance: &Instance| -> Vec<Vec<usize>> {
        let number = |id: &Id| ids.iter().position(|other| other == id).expect("a session");
        callers.iter().map(|caller| instance.listed(caller).iter().map(number).collect()).collect()
    };
    assert_eq!(listed(&instance), seen);
    // What a caller does not see, it cannot end, and learns nothing of it.
    for (caller, seen) in callers.iter().zip(seen) {
        for (number, id) in ids.iter().enumerate().filter(|(number, _)| !seen.contains(number)) {
            let ended = instance.tenants().end_session(caller, *id).await;
            assert!(matches!(ended, Err(Error::NotFound("session"))), "{caller:?} {number}: {ended:?}");
        }
    }
    assert_eq!(listed(&instance), seen, "nothing was ended");
    // An admin, a person's own session, and the operator's.
    for (caller, number) in [(1, 0), (2, 2), (5, 7)] {
        instance.tenants().end_session(&callers[caller], ids[number]).await.expect("ended");
        let again = instance.tenants().end_session(&callers[caller], ids[number]).await;
        assert!(matches!(again, Err(Error::NotFound("session"))), "{again:?}");
    }
    assert_eq!(instance.listed(&callers[7]).len(), 5);
    instance.store.close().await;
}

#[tokio::test]
async fn a_person_signs_out() {
    let instance = Instance::start().await;
    let caller = instance.caller(reader("reader")).await;
    let (one, two) = (instance.sign_in(&caller).await, instance.sign_in(&caller).await);
    let session = instance.session(&one);
    // A renewal at the same time does not keep it.
    instance.at(HOUR);
    instance.renew(&one).await;
    for _ in 0..2 {
        instance.tenants().end_own_session(&session).await.expect("ended");
        assert!(instance.find(&one).is_none() && instance.find(&two).is_some());
    }
    instance.tenants().renew_session(&session).await.expect("nothing to do");
    assert!(instance.find(&one).is_none());
    instance.store.close().await;
}

/// Sign-ins, and ends of sessions from the list, are in the audit list of the key's workspace.
#[tokio::test]
async fn the_audit_list_names_the_key_of_a_session() {
    let instance = Instance::start().await;
    let (caller, other) = (instance.caller(reader("reader")).await, instance.caller(admin("admin")).await);
    let wide = KeyDraft { reach: Some(KeyReach::Instance), ..reader("instance reader") };
    let wide = instance.caller(wide).await;
    let ended = instance.sign_in(&caller).await;
    let ended = instance.session(&ended);
    instance.tenants().end_session(&other, ended.id).await.expect("ended");
    // A person signs out, and a key reaches further than the workspace: nothing is noted of either.
    let secret = instance.sign_in(&wide).await;
    instance.tenants().end_own_session(&instance.session(&secret)).await.expect("ended");
    let query = AuditQuery {
        after: None,
        limit: 10,
        key: None,
        kind: Some(SubjectKind::Session),
        act: None,
        link: None,
        from: None,
        to: None,
    };
    let page = instance.store.core.links().audit(&instance.context(), query).await.expect("the list");
    let shown: Vec<_> = page
        .entries
        .iter()
        .map(|entry| {
            (entry.act.name(), entry.name.as_deref(), entry.subject.id.to_string(), entry.by.clone())
        })
        .collect();
    let by = |caller: &Caller, name: &str| Author::Key {
        id: caller.key().expect("a stored key"),
        name: Some(name.into()),
    };
    let id = ended.id.to_string();
    let want = [
        ("delete", Some("reader"), id.clone(), by(&other, "admin")),
        ("create", Some("reader"), id, by(&caller, "reader")),
    ];
    assert_eq!(shown, want);
    instance.store.close().await;
}
