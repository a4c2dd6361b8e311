//! A full disk: writes are rejected with 507, redirects continue and are counted, and the server recovers by
//! itself when space returns. The tests mount a small tmpfs, which only root can do.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;

use crate::support::http::{Client, text};
use crate::support::process::{Plan, Process, not_tested, poll};

/// Writes must succeed within this time after space returns: by their own retries, which come every two
/// seconds, and not by the check of a failed log each minute.
const HEALS_WITHIN: Duration = Duration::from_secs(30);

/// Bytes of the notes of a link. Large ones fill a larger disk with fewer requests.
const SMALL: usize = 2_000;
const LARGE: usize = 12_000;

/// A file system of a few megabytes, unmounted when dropped.
struct Volume {
    at: TempDir,
}

impl Volume {
    /// Mounts a tmpfs. Returns `None` with a printed notice where mounting is not allowed.
    fn mount(options: &str) -> Option<Volume> {
        let at = tempfile::tempdir().expect("a temporary folder");
        let options = format!("{options},mode=0700");
        let ran = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "waypost-test"])
            .arg(at.path())
            .output();
        match ran {
            Ok(output) if output.status.success() => Some(Volume { at }),
            failed => {
                let root = rustix::process::geteuid().is_root();
                let asked = std::env::var_os("CI").is_some();
                assert!(!(root && asked), "root in CI must be able to mount: {failed:?}");
                not_tested(&format!("a full disk: no tmpfs can be mounted here: {failed:?}"));
                None
            }
        }
    }

    fn path(&self) -> &Path {
        self.at.path()
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(self.at.path()).status();
        if !unmounted.is_ok_and(|status| status.success()) {
            eprintln!("{} stays mounted", self.at.path().display());
        }
    }
}

fn plan(volume: &Volume) -> Plan {
    Plan::on(&volume.path().join("data")).env("WAYPOST_CLICKS__FLUSH_INTERVAL", "100ms")
}

/// The links that were acknowledged with 201.
#[derive(Default)]
struct Made {
    links: Vec<(String, String)>,
    last_id: String,
}

impl Made {
    /// Creates links with notes of this length until one is rejected with 507.
    fn fill(&mut self, admin: &mut Client, notes: usize) {
        assert!(!self.create(admin, notes, 100_000), "a small disk took {} links", self.links.len());
    }

    /// Creates this many links. Returns false if one is rejected with 507.
    fn create(&mut self, admin: &mut Client, notes: usize, count: usize) -> bool {
        // Four bytes a letter.
        let notes = "\u{1f680}".repeat(notes / 4);
        for number in self.links.len()..self.links.len() + count {
            let (code, url) = (format!("c{number}"), format!("https://e.test/{number}"));
            let answer =
                admin.post("/api/v1/links", &json!({"url": url, "customSlug": code, "notes": notes}));
            if answer.status == 507 {
                answer.refuses(507, "the disk is full; nothing was written", &code);
                assert!(answer.header("retry-after").is_some(), "{answer:?}");
                return false;
            }
            let link = answer.expect(201, &code)["link"].clone();
            text(&link, "id").clone_into(&mut self.last_id);
            self.links.push((code, url));
        }
        true
    }

    /// Checks that every link redirects. Counts one click for each.
    fn check(&self, server: &Process, when: &str) {
        let mut visitor = server.visitor();
        for (code, url) in &self.links {
            let answer = visitor.get(&format!("/{code}"));
            assert_eq!((answer.status, answer.header("location")), (302, Some(&**url)), "{code} {when}");
        }
    }
}

/// Checks that a write succeeds, at once or with the retries of recovery.
fn heals(admin: &mut Client, code: &str) {
    let begun = Instant::now();
    loop {
        let answer =
            admin.post("/api/v1/links", &json!({"url": "https://e.test/healed", "customSlug": code}));
        if answer.status < 500 {
            answer.expect(201, code);
            break;
        }
        assert!(begun.elapsed() < HEALS_WITHIN, "not healed: {answer:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
    eprintln!("healed after {:?}", begun.elapsed());
}

#[test]
fn t96_redirects_continue_and_writes_recover() {
    let Some(volume) = Volume::mount("size=48m") else { return };
    let filler: PathBuf = volume.path().join("filler");
    let mut file = File::create(&filler).expect("a file");
    file.write_all(&vec![1; 16 << 20]).expect("room");
    drop(file);
    let server = plan(&volume).start();
    let mut admin = server.admin();
    let mut made = Made::default();
    made.fill(&mut admin, LARGE);
    assert!(made.links.len() > 100, "{}", made.links.len());
    made.check(&server, "while the disk is full");
    // Another process takes the last few bytes as well.
    let mut rest = File::create(volume.path().join("rest")).expect("a file");
    while rest.write_all(&[1; 4096]).is_ok() {}
    poll("the guard sees it", HEALS_WITHIN, || {
        let answer = admin.post("/api/v1/links", &json!({"url": "https://e.test/"}));
        (answer.status == 507).then_some(())
    });
    made.check(&server, "while there is no byte left");
    // The space that the table has freed by now.
    while rest.write_all(&[1; 4096]).is_ok() {}
    poll("the guard sees it", HEALS_WITHIN, || {
        let answer = admin.post("/api/v1/links", &json!({"url": "https://e.test/"}));
        (answer.status == 507).then_some(())
    });
    // All kinds of writes are rejected alike and have no effect.
    let full = "the disk is full; nothing was written";
    let path = format!("/api/v1/links/{}", made.last_id);
    admin.patch(&path, &json!({"title": "T"})).refuses(507, full, "a change");
    admin.delete(&path).refuses(507, full, "a deletion");
    admin.post("/api/v1/tags", &json!({"name": "t"})).refuses(507, full, "a tag");
    let other = admin.delete(&format!("/links/{}", made.last_id)).expect(507, "in another dialect");
    assert_eq!(other, json!({"statusCode": 507, "message": full, "error": "Insufficient Storage"}));
    let link = admin.get(&path).expect(200, "reads go on")["link"].clone();
    assert_eq!(link["title"], json!(null));
    assert_eq!(link["clickCount"], 2, "clicks are counted while the disk is full");
    assert_eq!(server.visitor().get("/healthz").status, 200, "alive");
    drop(rest);
    fs::remove_file(volume.path().join("rest")).expect("there");
    fs::remove_file(&filler).expect("there");
    // Without a write, which nobody may send.
    for end in ["the disk has room again", "clicks are written to the log again"] {
        poll(end, HEALS_WITHIN, || server.stderr().contains(end).then_some(()));
    }
    assert!(server.stderr().contains("the disk is full: links cannot be changed"), "{}", server.stderr());
    poll("a healthy server", HEALS_WITHIN, || {
        server.visitor().get("/healthz").text().contains("\"ok\"").then_some(())
    });
    heals(&mut admin, "healed");
    assert_eq!(admin.clicks(&made.last_id), 2);
    made.check(&server, "once healed");
    server.stop();
    let server = plan(&volume).start();
    made.check(&server, "after a restart");
    assert_eq!(server.visitor().head("/healed").status, 302);
    assert_eq!(server.admin().clicks(&made.last_id), 4, "no click was lost");
    server.stop();
}

/// A click of a link with a limit needs a reservation in the log. Without space for one, the link answers 503:
/// no visitor exceeds the limit, and none is lost.
#[test]
fn a_limited_link_is_unavailable_without_space_for_a_reservation() {
    const LIMIT: usize = 100;
    let Some(volume) = Volume::mount("size=24m") else { return };
    let filler: PathBuf = volume.path().join("filler");
    fs::write(&filler, vec![1; 8 << 20]).expect("room");
    let server = plan(&volume).start();
    let mut admin = server.admin();
    admin.create(&json!({"url": "https://e.test/", "customSlug": "few", "maxClicks": LIMIT}));
    Made::default().fill(&mut admin, LARGE);
    let mut rest = File::create(volume.path().join("rest")).expect("a file");
    while rest.write_all(&[1; 4096]).is_ok() {}
    let mut visitor = server.visitor();
    let mut redirected = 0;
    let unavailable = poll("the reservation is used up", HEALS_WITHIN, || {
        let answer = visitor.get("/few");
        redirected += usize::from(answer.status == 302);
        (answer.status != 302).then_some(answer)
    });
    assert_eq!(unavailable.status, 503, "{unavailable:?}");
    assert!(redirected < LIMIT, "{redirected}");
    drop(rest);
    fs::remove_file(volume.path().join("rest")).expect("there");
    fs::remove_file(&filler).expect("there");
    heals(&mut admin, "healed");
    let over = poll("the limit is reached", HEALS_WITHIN, || {
        let answer = visitor.get("/few");
        redirected += usize::from(answer.status == 302);
        (answer.status == 410).then_some(answer)
    });
    assert_eq!(redirected, LIMIT, "{over:?}");
    server.stop();
}

#[test]
fn t96_a_disk_of_six_megabytes() {
    let Some(volume) = Volume::mount("size=6m") else { return };
    let server = plan(&volume).start();
    let mut made = Made::default();
    made.fill(&mut server.admin(), SMALL);
    made.check(&server, "while the disk is full");
    // A stop writes into the reserve.
    server.stop();
    let server = plan(&volume).start();
    made.check(&server, "after a restart on the full disk");
    let id = made.last_id.clone();
    assert_eq!(server.admin().clicks(&id), 2, "no click was lost");
    server.stop();
}

#[test]
fn t96_killed_on_a_full_disk() {
    let Some(volume) = Volume::mount("size=24m") else { return };
    let mut server = plan(&volume).start();
    let mut made = Made::default();
    made.fill(&mut server.admin(), LARGE);
    server.kill();
    let mut server = plan(&volume).start();
    made.check(&server, "after a kill on the full disk");
    server.kill();
    let server = plan(&volume).start();
    made.check(&server, "after another");
    server.stop();
}

#[test]
fn t97_a_start_names_a_full_disk() {
    for options in ["size=8m,ro", "size=8m,nr_inodes=4", "size=64k"] {
        let Some(volume) = Volume::mount(options) else { return };
        let (code, stdout, stderr) = plan(&volume).fails();
        assert_eq!((code, stdout.as_str()), (Some(1), ""), "{options}: {stderr}");
        let named = stderr.contains(&volume.path().display().to_string());
        assert!(named && !stderr.contains("panicked"), "{options}: {stderr}");
    }
}

#[test]
fn t96_restarted_on_a_disk_without_a_free_byte() {
    let Some(volume) = Volume::mount("size=48m") else { return };
    let mut server = plan(&volume).start();
    let mut made = Made::default();
    assert!(made.create(&mut server.admin(), SMALL, 1_000), "there is room");
    let filler = volume.path().join("filler");
    let fill = || {
        let mut file = fs::OpenOptions::new().create(true).append(true).open(&filler).expect("a file");
        while file.write(&[1; 4096]).is_ok_and(|written| written > 0) {}
    };
    for row in ["killed", "killed again"] {
        fill();
        server.kill();
        fill();
        server = plan(&volume).start();
        made.check(&server, row);
        server.admin().post("/api/v1/tags", &json!({"name": "t"})).expect(507, row);
    }
    fs::remove_file(&filler).expect("there");
    heals(&mut server.admin(), "healed");
    let ballast = volume.path().join("data/ballast");
    poll("the reserve is made again", HEALS_WITHIN, || ballast.exists().then_some(()));
    server.stop();
}
