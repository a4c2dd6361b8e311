//! System calls that fail or are observed, by strace; disks that become read-only or run out of inodes, by
//! mount. What a machine does not offer is reported as not tested, never as passed.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::Report;
use crate::client::Client;
use crate::server::{Plan, Server};

fn has(program: &str) -> bool {
    Command::new(program).arg("-V").output().is_ok_and(|output| output.status.success())
}

/// Starts a server below strace, which writes to `trace`.
fn traced(data: &Path, trace: &Path, more: &[&str]) -> Result<Server, String> {
    let trace = trace.display().to_string();
    let words: Vec<&str> = ["strace", "-f", "-o", &trace].into_iter().chain(more.iter().copied()).collect();
    Plan::default().below(&words).start(data)
}

pub(crate) fn t93_synced_before_the_answer(report: &mut Report) {
    if !has("strace") {
        report.skipped("T93", "a link is on disk before its 201", "no strace");
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let trace = folder.path().join("trace");
    let calls = "trace=fsync,fdatasync,sendto,sendmsg,write,writev,recvfrom,read";
    let server = traced(&folder.path().join("data"), &trace, &["-e", calls]).expect("it starts");
    let mut client = server.client();
    let mut rounds = 0;
    for round in 0..20 {
        assert_eq!(client.create(&format!("c{round}"), &json!({})).status, 201);
    }
    server.stop();
    let text = fs::read_to_string(&trace).expect("a trace");
    let (mut is_asked, mut is_synced, mut late) = (false, false, 0);
    for line in text.lines() {
        if line.contains("POST /api/v1/links") {
            (is_asked, is_synced) = (true, false);
        } else if is_asked && line.contains("sync") && line.trim_end().ends_with("= 0") {
            is_synced = true;
        } else if line.contains("HTTP/1.1 201") {
            rounds += 1;
            late += u32::from(!is_synced);
            is_asked = false;
        }
    }
    report.row(
        "T93",
        "a sync returns between each POST and its 201",
        "20 of 20",
        &format!("{rounds} answers, {late} before their sync"),
        rounds == 20 && late == 0,
    );
}

/// Failing system calls, with their error.
const FAULTS: [(&str, &str); 6] = [
    ("fsync,fdatasync", "EIO"),
    ("fsync,fdatasync", "ENOSPC"),
    ("pwrite64,pwritev", "EIO"),
    ("pwrite64,pwritev", "ENOSPC"),
    // As on a disk that the kernel made read-only.
    ("pwrite64,pwritev,ftruncate,fallocate,rename,renameat,renameat2,unlink", "EROFS"),
    ("openat,rename,renameat,renameat2,ftruncate,fallocate", "EIO"),
];

pub(crate) fn t95_the_nth_write_and_sync_fail(report: &mut Report) {
    if !has("strace") {
        report.skipped("T95", "the n-th write and sync fail", "no strace");
        return;
    }
    let most = if report.is_short() { 6 } else { 40 };
    for (calls, error) in FAULTS {
        let (mut runs, mut wrong, mut refused, mut acked) = (0, Vec::new(), 0, 0);
        let begun = Instant::now();
        for n in 1..=most {
            // A part ends at its own time limit.
            if begun.elapsed() > Duration::from_mins(3) {
                break;
            }
            // Once, and from then on.
            for when in [format!("{n}"), format!("{n}+")] {
                runs += 1;
                match fail(calls, error, &when) {
                    Ok(done) => {
                        refused += done.refused;
                        acked += done.acked;
                    }
                    Err(why) => wrong.push(format!("{when}: {why}")),
                }
            }
        }
        let what = format!("{error} at the n-th {}", calls.split(',').next().unwrap_or(calls));
        let measured = format!("{runs} runs, {acked} kept, {refused} refused {wrong:?}");
        report.row(
            "T95",
            &what,
            "201 is kept, else 503 or 507; usable",
            &measured,
            wrong.is_empty() && acked > 0,
        );
    }
}

struct Done {
    acked: usize,
    refused: usize,
}

fn fail(calls: &str, error: &str, when: &str) -> Result<Done, String> {
    const LINKS: usize = 10;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path().join("data");
    // Existing links stay, whatever fails.
    let server = Plan::default().start(&data).expect("it starts");
    assert_eq!(server.client().create("before", &json!({})).status, 201);
    server.stop();
    let inject = format!("inject={calls}:error={error}:when={when}");
    let mut kept = vec!["before".to_owned()];
    let mut refused = 0;
    match traced(&data, &folder.path().join("trace"), &["-e", &format!("trace={calls}"), "-e", &inject]) {
        // A failed start must print a reason. If the loader fails, there is none of ours.
        Err(said) if said.contains("error while loading shared libraries") => {}
        Err(said) if !said.lines().last().is_some_and(|line| line.starts_with("waypost: ")) => {
            return Err(format!("start: {said}"));
        }
        Err(_) => {}
        Ok(mut server) => {
            let mut client = server.client();
            for number in 0..LINKS {
                let code = format!("c{number}");
                match client.create(&code, &json!({})).status {
                    201 => kept.push(code),
                    503 | 507 => refused += 1,
                    other => return Err(format!("{code}: {other}")),
                }
            }
            check(&mut client, &kept, "while it fails")?;
            if !when.ends_with('+') {
                heals(&mut client, &mut kept)?;
            }
            if !server.is_running() || own_panic(&server.stderr()).is_some() {
                return Err(format!(
                    "ended or panicked: {}",
                    own_panic(&server.stderr()).unwrap_or_default()
                ));
            }
            server.kill();
        }
    }
    let server = Plan::default().start(&data).map_err(|said| format!("restart: {said}"))?;
    check(&mut server.client(), &kept, "after a restart")?;
    server.stop();
    Ok(Done { acked: kept.len() - 1, refused })
}

/// Returns a panic of the program. sled's panics are caught, logged and expected.
fn own_panic(text: &str) -> Option<String> {
    text.lines().find(|line| line.contains("panicked at") && !line.contains("sled-")).map(str::to_owned)
}

fn check(client: &mut Client, kept: &[String], when: &str) -> Result<(), String> {
    for code in kept {
        let answer = client.get(&format!("/{code}"));
        if answer.status != 302 {
            return Err(format!("{code} {when}: {}", answer.status));
        }
    }
    Ok(())
}

fn heals(client: &mut Client, kept: &mut Vec<String>) -> Result<(), String> {
    let begun = Instant::now();
    for number in 0.. {
        let code = format!("h{number}");
        let status = client.create(&code, &json!({})).status;
        if status == 201 {
            kept.push(code);
            return Ok(());
        }
        if begun.elapsed() > Duration::from_secs(10) {
            return Err(format!("not healed: {status}"));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

pub(crate) fn t14_no_file_is_opened_for_a_visitor(report: &mut Report) {
    if !has("strace") {
        report.skipped("T14", "no file is opened for a visitor", "no strace");
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let trace = folder.path().join("trace");
    let data = folder.path().join("data");
    let server =
        traced(&data, &trace, &["-e", "trace=open,openat,openat2,stat,statx,newfstatat"]).expect("it starts");
    let mut client = server.client();
    assert_eq!(client.create("s", &json!({})).status, 201);
    client.get("/s");
    let before = fs::read_to_string(&trace).expect("a trace").len();
    let paths = [
        "/assets/../../etc/passwd",
        "/assets/%2e%2e%2fetc%2fpasswd",
        "/assets/..%5cetc",
        "/assets/%252e%252e/x",
        "/assets//etc/passwd",
        "/../../etc/passwd",
        "/s",
        "/nothing",
        "/favicon.ico",
        "/robots.txt",
        "/.well-known/x",
        "/.env",
        "/api/docs",
        "/api/openapi.json",
        "/admin.key",
        "/data/admin.key",
    ];
    for path in paths {
        client.get(path);
    }
    let text = fs::read_to_string(&trace).expect("a trace");
    let opened: Vec<&str> = text[before..].lines().filter(|line| line.contains('"')).collect();
    let own = data.display().to_string();
    let foreign: Vec<&&str> = opened.iter().filter(|line| !line.contains(&own)).collect();
    report.row(
        "T14",
        "files opened for 16 visits",
        "none outside the data folder",
        &format!("{foreign:?}"),
        foreign.is_empty(),
    );
    server.stop();
}

/// A file system of its own, unmounted when dropped.
struct Volume(tempfile::TempDir);

impl Volume {
    fn mount(options: &str) -> Result<Volume, String> {
        let at = tempfile::tempdir().expect("a temporary folder");
        let ran = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "waypost-soak"])
            .arg(at.path())
            .output();
        match ran {
            Ok(output) if output.status.success() => Ok(Volume(at)),
            Ok(output) => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    fn remount(&self, options: &str) -> bool {
        let options = format!("remount,{options}");
        let ran = Command::new("mount").args(["-o", &options]).arg(self.0.path()).status();
        ran.is_ok_and(|status| status.success())
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

pub(crate) fn t97_a_disk_that_becomes_read_only(report: &mut Report) {
    let volume = match Volume::mount("size=64m,mode=0700") {
        Ok(volume) => volume,
        Err(why) => return report.skipped("T97", "a disk that becomes read-only", &why),
    };
    let data = volume.0.path().join("data");
    let mut server =
        Plan::default().env("WAYPOST_LOG__SEGMENT_BYTES", "1048576").start(&data).expect("it starts");
    let mut kept: Vec<String> = Vec::new();
    let mut client = server.client();
    let make = |client: &mut Client, kept: &mut Vec<String>, name: &str| -> Vec<u16> {
        let mut others = Vec::new();
        for number in 0..200 {
            let code = format!("{name}{number}");
            match client.create(&code, &json!({"notes": "n".repeat(2_000)})).status {
                201 => kept.push(code),
                other => others.push(other),
            }
        }
        others.sort_unstable();
        others.dedup();
        others
    };
    let calm = make(&mut client, &mut kept, "a");
    // The kernel rejects a remount while files are open for writing. Then the device is forced read-only,
    // like a disk with errors.
    let is_read_only = volume.remount("ro");
    if is_read_only {
        let refused = make(&mut client, &mut kept, "b");
        let seen = check(&mut client, &kept, "while read-only");
        let alive = client.get("/healthz").status;
        volume.remount("rw");
        let healed = heals(&mut client, &mut kept);
        let fine = refused.iter().all(|status| [503, 507].contains(status)) && seen.is_ok() && healed.is_ok();
        report.row(
            "T97",
            "read-only while it runs, then writable",
            "503 or 507, redirects go on, heals",
            &format!("{refused:?}, {seen:?}, health {alive}, {healed:?}"),
            fine && alive == 200,
        );
    } else {
        report.skipped("T97", "read-only while it runs", "busy: see EROFS in T95");
    }
    // Without inodes, no new segment can be created.
    let mut fillers = 0;
    volume.remount("nr_inodes=200");
    while fs::write(volume.0.path().join(format!("f{fillers}")), "").is_ok() && fillers < 100_000 {
        fillers += 1;
    }
    let mut refused = Vec::new();
    for name in ["i", "j", "k", "l", "m", "n"] {
        refused.extend(make(&mut client, &mut kept, name));
    }
    refused.dedup();
    let seen = check(&mut client, &kept, "without inodes");
    for number in 0..fillers {
        let _ = fs::remove_file(volume.0.path().join(format!("f{number}")));
    }
    let healed = heals(&mut client, &mut kept);
    let fine = calm.is_empty() && refused.iter().all(|status| [503, 507].contains(status));
    report.row(
        "T97",
        "no inodes while it runs",
        "503 or 507, redirects go on, heals",
        &format!("{fillers} files, {refused:?}, {seen:?}, {healed:?}"),
        fine && seen.is_ok() && healed.is_ok() && server.is_running(),
    );
    let said = server.complaints();
    report.row("T97", "warnings meanwhile", "<= 60", &said.to_string(), said <= 60);
    let ended = server.stop();
    let server = Plan::default().start(&data).expect("it starts");
    let seen = check(&mut server.client(), &kept, "after a restart");
    report.row(
        "T97",
        "a restart afterwards",
        "all are there",
        &format!("{} links, {seen:?}, {ended}", kept.len()),
        seen.is_ok(),
    );
    server.stop();
}
