//! Throwaway servers: quick, alone, and gone without a trace.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use pgtasker_embedded::Embedded;
use std::path::{Path, PathBuf};
use support::{Folder, Program, ask, is_running, until};

/// Run by other tests as a program of its own.
#[tokio::test]
#[ignore = "a part of other tests"]
async fn program() {
    let started = std::time::Instant::now();
    let server = Embedded::ephemeral().start().await.unwrap();
    println!("pid={}", server.pid());
    println!("data={}", server.data_dir().display());
    println!("answer={}", ask(&server.admin_url(), "select 'one'").await);
    println!("milliseconds={}", started.elapsed().as_millis());
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn it_is_not_durable_and_is_deleted_when_it_stops() {
    let server = Embedded::ephemeral().start().await.unwrap();
    let home = server.data_dir().parent().unwrap().to_owned();
    for (setting, value) in [("show fsync", "off"), ("show max_connections", "200")] {
        assert_eq!(ask(&server.admin_url(), setting).await, value);
    }
    server.stop().await.unwrap();
    assert!(!home.exists());
}

#[tokio::test]
async fn it_is_deleted_when_it_is_dropped() {
    let server = Embedded::ephemeral().start().await.unwrap();
    let (pid, home) = (server.pid(), server.data_dir().parent().unwrap().to_owned());
    drop(server);
    until("server and folder are gone", || !is_running(pid) && !home.exists()).await;
}

#[tokio::test]
async fn it_is_deleted_when_its_program_is_killed() {
    let mut program = Program::start("program", &[]);
    let pid = program.value("pid").parse().unwrap();
    let data = PathBuf::from(program.value("data"));
    assert!(is_running(pid) && data.exists());
    program.kill();
    until("server and folder are gone", || !is_running(pid) && !data.parent().unwrap().exists())
        .await;
}

#[tokio::test]
async fn it_is_deleted_after_a_crash_and_restart_too() {
    let mut server = Embedded::ephemeral().start().await.unwrap();
    let home = server.data_dir().parent().unwrap().to_owned();
    server.restart_killed().await.unwrap();
    server.restart_immediate().await.unwrap();
    assert_eq!(ask(&server.admin_url(), "select 'one'").await, "one");
    server.stop().await.unwrap();
    assert!(!home.exists());
}

#[test]
fn programs_that_start_at_once_share_one_template() {
    let folder = Folder::new();
    std::fs::set_permissions(&folder.0, std::os::unix::fs::PermissionsExt::from_mode(0o1777))
        .unwrap();
    let environment: [(&str, &Path); 1] = [("TMPDIR", &folder.0)];
    let mut programs: Vec<_> = (0..4).map(|_| Program::start("program", &environment)).collect();
    let mut homes = Vec::new();
    for program in &mut programs {
        homes.push(PathBuf::from(program.value("data")).parent().unwrap().to_owned());
        assert_eq!(program.value("answer"), "one");
    }
    let private = homes[0].parent().unwrap().parent().unwrap();
    assert!(private.starts_with(folder.0.canonicalize().unwrap()));
    let templates = std::fs::read_dir(private.join("templates")).unwrap().count();
    assert_eq!(templates, 2, "one template and its lock");
    drop(programs);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(until("all are gone", || homes.iter().all(|home| !home.exists())));
}
