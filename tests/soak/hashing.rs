//! Passwords in little memory: their memory is bounded by the buffers of the hashing slots.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use crate::Report;
use crate::server::Plan;

/// An address has 10 guesses a minute for each link.
const LINKS: usize = 20;

/// Allowed growth by guesses and creations, in KB: one buffer of 19 MiB, and the memory of threads.
const GROWTH_MAX: u64 = 24 * 1024;

/// A server in 64 MB survives a thousand links with passwords, created one by one, in one bulk and in
/// parallel, and 200 guesses. Its memory grows by one buffer.
pub(crate) fn n02_passwords_in_sixty_four_megabytes(report: &mut Report) {
    let name = format!("/sys/fs/cgroup/memory/waypost-soak-hash-{}", std::process::id());
    let group = PathBuf::from(name);
    let limit = (64_u64 << 20).to_string();
    let made = fs::create_dir(&group).and_then(|()| fs::write(group.join("memory.limit_in_bytes"), limit));
    if let Err(error) = made {
        report.skipped("N02", "passwords in 64 MB", &error.to_string());
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let enter = format!("echo $$ > {}/cgroup.procs && exec \"$0\"", group.display());
    let mut server = Plan::default().below(&["sh", "-c", &enter]).start(folder.path()).expect("it starts");
    let mut client = server.client();
    for n in 0..LINKS {
        client.create(&format!("plain{n}"), &json!({}));
        client.get(&format!("/plain{n}"));
    }
    let before = server.resident();
    let password = json!({"password": "open sesame"});
    let mut created = 0;
    for n in 0..LINKS {
        created += usize::from(client.create(&format!("s{n}"), &password).status == 201);
    }
    let rows: Vec<Value> =
        (0..480).map(|_| json!({"url": "https://e.test/", "password": "open sesame"})).collect();
    // In batches whose duration a client accepts.
    for some in rows.chunks(60) {
        let body = json!({"links": some}).to_string();
        let answer = client.send("POST", "/api/v1/links/bulk", &body).unwrap_or_default();
        created += usize::try_from(answer.json()["created"].as_u64().unwrap_or(0)).unwrap_or(0);
    }
    let address = server.address;
    let beside: usize = std::thread::scope(|scope| {
        let creators: Vec<_> = (0..10)
            .map(|thread| {
                let password = &password;
                scope.spawn(move || {
                    let mut client = crate::client::Client::new(address);
                    let create = |n| client.create(&format!("t{thread}-{n}"), password).status == 201;
                    (0..50).map(create).filter(|is_made| *is_made).count()
                })
            })
            .collect();
        creators.into_iter().map(|creator| creator.join().unwrap_or(0)).sum()
    });
    let after_creates = server.resident();
    let guess = |n: usize| {
        let form = ("password=wrong", format!("/s{}", n % LINKS));
        let mut client = crate::client::Client::new(address);
        client.send_form(&form.1, form.0).unwrap_or_default().status
    };
    let wrong = (0..200).map(guess).filter(|status| *status == 403).count();
    std::thread::sleep(Duration::from_millis(100));
    let runs = server.is_running();
    let after = if runs { server.resident() } else { u64::MAX };
    let most = fs::read_to_string(group.join("memory.max_usage_in_bytes")).unwrap_or_default();
    report.row(
        "N02",
        &format!("{} passwords created, {wrong} wrong guesses in 64 MB", created + beside),
        "not killed, at most 24 MB more",
        &format!("runs: {runs}, {before} KB, {after_creates} KB, {after} KB, most {}", most.trim()),
        runs && wrong == 200 && created + beside == 1_000 && after.saturating_sub(before) <= GROWTH_MAX,
    );
    server.stop();
    let _ = fs::remove_dir(&group);
}
