//! A server on a folder of its own: start, find, stop, and start again, also after the worst.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use pgtasker_embedded::{Embedded, Error, recorded, recorded_url};
use std::{
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};
use support::{Folder, Program, ask, is_running, mode, run, signal, until};

/// Run by other tests as a program of its own.
#[tokio::test]
#[ignore = "a part of other tests"]
#[allow(clippy::zombie_processes, reason = "this program is killed")]
async fn program() {
    let dir = std::env::var_os("TEST_DIR").unwrap();
    let server = Embedded::builder().dir(dir).start().await.unwrap();
    // A child that outlives the program must not keep the server alive.
    let child = Command::new("sleep")
        .arg("30")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut interrupts =
        tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt()).unwrap();
    println!("child={}", child.id());
    println!("pid={}", server.pid());
    println!("url={}", server.admin_url());
    loop {
        interrupts.recv().await.unwrap();
        println!("interrupted={}", ask(&server.admin_url(), "select 'served'").await);
    }
}

/// Run with TASKER_PG_BIN set.
#[tokio::test]
#[ignore = "a part of another test"]
async fn program_with_binaries() {
    let dir = std::env::var_os("TEST_DIR").unwrap();
    match Embedded::builder().dir(dir).start().await {
        Ok(server) => println!("outcome={}", server.version()),
        Err(e) => println!("outcome={e}"),
    }
}

fn start_program(dir: &Path) -> (Program, u32, String) {
    let mut program = Program::start("program", &[("TEST_DIR", dir)]);
    let child: u32 = program.value("child").parse().unwrap();
    let pid = program.value("pid").parse().unwrap();
    let url = program.value("url");
    assert!(is_running(child) && is_running(pid));
    (program, pid, url)
}

#[tokio::test]
async fn data_password_and_port_are_there_again() {
    let folder = Folder::new();
    let dir = folder.join("state");
    let server = Embedded::builder().dir(&dir).start().await.unwrap();
    let url = server.admin_url();
    assert_eq!(ask(&url, "select 'one'").await, "one");
    assert_eq!(ask(&url, "show fsync").await, "on");
    assert_eq!(ask(&url, "show server_encoding").await, "UTF8");
    run(&url, "create database shop").await;
    assert_eq!(ask(&server.url("shop"), "select current_database()::text").await, "shop");
    server.stop().await.unwrap();
    assert_eq!(recorded_url(&dir), None);

    let server =
        Embedded::builder().dir(&dir).settings([("work_mem", "5MB")]).start().await.unwrap();
    assert_eq!(server.admin_url(), url, "same port, same password");
    assert_eq!(ask(&server.url("shop"), "show work_mem").await, "5MB");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_password_is_needed_and_kept_to_ourselves() {
    let folder = Folder::new();
    let dir = folder.join("state");
    let server = Embedded::builder().dir(&dir).start().await.unwrap();
    for name in ["password", "server.json", "postgres.log"] {
        assert_eq!(mode(&dir.join(name)), 0o600, "{name}");
    }
    assert_eq!(mode(server.data_dir()), 0o700);
    let hba = std::fs::read_to_string(server.data_dir().join("pg_hba.conf")).unwrap();
    let methods: Vec<_> = hba
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_whitespace().last())
        .collect();
    assert_eq!(methods, ["scram-sha-256"; 6]);
    let other = format!("postgres://postgres:wrong@127.0.0.1:{}/postgres", server.port());
    let error = <sqlx::PgConnection as sqlx::Connection>::connect(&other).await.unwrap_err();
    assert_eq!(error.as_database_error().unwrap().code().unwrap(), "28P01");
    let socket = server.socket_dir().join(format!(".s.PGSQL.{}", server.port()));
    assert!(socket.exists() && socket.as_os_str().len() <= 103);
    assert_eq!(std::fs::read_to_string(dir.join(".gitignore")).unwrap(), "*\n");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_second_start_is_told_where_the_first_server_is() {
    let folder = Folder::new();
    let dir = folder.join("state");
    let server = Embedded::builder().dir(&dir).start().await.unwrap();
    assert_eq!(recorded_url(&dir), Some(server.admin_url()));
    match Embedded::builder().dir(&dir).start().await.unwrap_err() {
        Error::AlreadyRunning(other) => {
            assert_eq!(*other, recorded(&dir).unwrap());
            assert_eq!((other.url, other.pid), (server.admin_url(), server.pid()));
        }
        other => panic!("{other}"),
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_server_that_tasker_did_not_record_is_an_error() {
    let folder = Folder::new();
    let dir = folder.join("state");
    let server = Embedded::builder().dir(&dir).start().await.unwrap();
    // As if somebody had started it by hand: no record, nobody holds the folder.
    std::fs::remove_file(dir.join("server.json")).unwrap();
    std::fs::remove_file(dir.join("lock")).unwrap();
    let error = Embedded::builder().dir(&dir).start().await.unwrap_err();
    assert!(matches!(error, Error::InUse { pid, .. } if pid == server.pid()), "{error}");
    assert!(error.to_string().contains("another PostgreSQL (pid "), "{error}");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn the_server_ends_with_a_killed_program() {
    let folder = Folder::new();
    let dir = folder.join("state");
    let (mut program, pid, url) = start_program(&dir);
    run(&url, "create table kept as select 1").await;
    assert_eq!(recorded_url(&dir), Some(url.clone()));
    program.kill();
    // At once, while the old one is still stopping.
    let server = Embedded::builder().dir(&dir).start().await.unwrap();
    assert!(!is_running(pid));
    assert_eq!(server.admin_url(), url);
    assert_eq!(ask(&url, "select count(*)::text from kept").await, "1");
    let log = std::fs::read_to_string(dir.join("postgres.log.old")).unwrap();
    assert!(log.contains("database system is shut down"), "an orderly shutdown: {log}");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn ctrl_c_reaches_the_program_and_not_the_server() {
    let folder = Folder::new();
    let (mut program, pid, _) = start_program(&folder.join("state"));
    assert!(signal("INT", &format!("-{}", program.child.id())));
    assert_eq!(program.value("interrupted"), "served");
    assert!(is_running(pid));
}

#[cfg(target_os = "linux")]
fn parent_of(pid: u32) -> u32 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit_once(") ").unwrap().1.split(' ').nth(1).unwrap().parse().unwrap()
}

#[cfg(target_os = "linux")]
fn children_of(pid: u32) -> Vec<u32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    text.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_server_ends_with_the_program_even_without_its_watcher() {
    let folder = Folder::new();
    let (mut program, pid, _) = start_program(&folder.join("state"));
    assert!(signal("KILL", &parent_of(pid).to_string()));
    program.kill();
    until("the server is gone", || !is_running(pid)).await;
}

/// kill -9 of all, in an order that lets nobody tidy up.
#[cfg(target_os = "linux")]
fn kill_everything(mut program: Program, pid: u32) {
    let watcher = parent_of(pid);
    let mut all = children_of(watcher);
    all.extend(children_of(pid));
    assert!(signal("STOP", &watcher.to_string()));
    for pid in all {
        signal("KILL", &pid.to_string());
    }
    assert!(signal("KILL", &watcher.to_string()));
    program.kill();
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_stale_pid_file_does_not_stand_in_the_way() {
    let folder = Folder::new();
    let dir = folder.join("state");
    let (program, pid, url) = start_program(&dir);
    run(&url, "create table kept as select 1").await;
    kill_everything(program, pid);
    until("the server is gone", || !is_running(pid)).await;
    let pid_file = dir.join("data/postmaster.pid");
    assert!(std::fs::read_to_string(&pid_file).unwrap().contains("ready"));
    assert_eq!(recorded_url(&dir), None);
    let server = Embedded::builder().dir(&dir).start().await.unwrap();
    assert_eq!(ask(&url, "select count(*)::text from kept").await, "1");
    server.stop().await.unwrap();
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_stale_pid_that_belongs_to_another_process_does_not_either() {
    use std::os::unix::process::CommandExt;

    let folder = Folder::new();
    let dir = folder.join("state");
    let (program, pid, url) = start_program(&dir);
    kill_everything(program, pid);
    until("the server is gone", || !is_running(pid)).await;
    let data = std::fs::metadata(dir.join("data")).unwrap();
    // As the server's user: PostgreSQL itself would refuse to start.
    let mut sleep = Command::new("sleep");
    let mut other = sleep.arg("30").uid(data.uid()).gid(data.gid()).spawn().unwrap();
    for file in [dir.join("data/postmaster.pid"), dir.join("run").join(socket_lock(&url))] {
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, text.replacen(&pid.to_string(), &other.id().to_string(), 1)).unwrap();
    }
    let server = Embedded::builder().dir(&dir).start().await.unwrap();
    assert_eq!(ask(&url, "select 'one'").await, "one");
    assert!(is_running(other.id()), "and it is left alone");
    other.kill().unwrap();
    other.wait().unwrap();
    server.stop().await.unwrap();
}

#[cfg(target_os = "linux")]
fn socket_lock(url: &str) -> PathBuf {
    let port = url.rsplit_once(':').unwrap().1.split('/').next().unwrap();
    PathBuf::from(format!(".s.PGSQL.{port}.lock"))
}

#[tokio::test]
async fn an_end_of_the_server_is_noticed() {
    let folder = Folder::new();
    let mut server = Embedded::builder().dir(folder.join("state")).start().await.unwrap();
    assert!(signal("INT", &server.pid().to_string()));
    server.ended().await.unwrap();
    assert_eq!(recorded_url(folder.join("state")), None);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_crash_and_restart_keeps_port_and_commits() {
    let folder = Folder::new();
    let dir = folder.join("state");
    let mut server = Embedded::builder().dir(&dir).start().await.unwrap();
    let url = server.admin_url();
    run(&url, "create table kept (n int)").await;
    for kill in [false, true] {
        run(&url, "insert into kept values (1)").await;
        let before = server.pid();
        match kill {
            true => server.restart_killed().await.unwrap(),
            false => server.restart_immediate().await.unwrap(),
        }
        assert_ne!(server.pid(), before);
        assert_eq!(server.admin_url(), url);
        assert_eq!(recorded(&dir).unwrap().pid, server.pid());
    }
    assert_eq!(ask(&url, "select count(*)::text from kept").await, "2");
    let pid = server.pid();
    server.stop().await.unwrap();
    assert!(!is_running(pid));
}

#[tokio::test]
async fn a_folder_out_of_the_servers_reach_has_its_data_in_the_temporary_directory() {
    let folder = Folder::new();
    let closed = folder.join("closed");
    std::fs::create_dir(&closed).unwrap();
    std::fs::set_permissions(&closed, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let dir = closed.join("state");
    let server = Embedded::builder().dir(&dir).start().await.unwrap();
    let (url, data) = (server.admin_url(), server.data_dir().to_owned());
    let as_root = std::fs::metadata(&closed).unwrap().uid() == 0;
    assert_eq!(data.starts_with(&folder.0), !as_root, "{}", data.display());
    assert_eq!(recorded_url(&dir), Some(url.clone()), "the record stays where it is looked for");
    run(&url, "create table kept as select 1").await;
    server.stop().await.unwrap();
    let server = Embedded::builder().dir(&dir).start().await.unwrap();
    assert_eq!(server.data_dir(), data);
    assert_eq!(ask(&url, "select count(*)::text from kept").await, "1");
    server.stop().await.unwrap();
    if as_root {
        std::fs::remove_dir_all(data.parent().unwrap()).unwrap();
    }
}

#[tokio::test]
async fn data_of_another_user_is_taken_over_by_root() {
    let folder = Folder::new();
    let dir = folder.join("my, \"odd\" folder");
    let server = Embedded::builder().dir(&dir).start().await.unwrap();
    let (url, data) = (server.admin_url(), server.data_dir().to_owned());
    server.stop().await.unwrap();
    // As when the server ran as nobody, and a user postgres was made since. Only root can play
    // this.
    Command::new("chown").args(["-R", "nobody"]).arg(&data).output().unwrap();
    let server = Embedded::builder().dir(&dir).start().await.unwrap();
    assert_eq!(ask(&url, "select 'one'").await, "one");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn data_of_another_version_is_refused() {
    let folder = Folder::new();
    let data = folder.join("state/data");
    std::fs::create_dir_all(&data).unwrap();
    std::fs::write(data.join("PG_VERSION"), "14\n").unwrap();
    let error = Embedded::builder().dir(folder.join("state")).start().await.unwrap_err();
    assert!(
        error.to_string().contains("was made by PostgreSQL 14, but the one found is"),
        "{error}"
    );
    std::fs::remove_file(data.join("PG_VERSION")).unwrap();
    let error = Embedded::builder().dir(folder.join("state")).start().await.unwrap_err();
    assert!(error.to_string().contains("is not a PostgreSQL data folder"), "{error}");
}

#[tokio::test]
async fn a_wrong_setting_is_told_from_the_log() {
    let folder = Folder::new();
    let builder =
        Embedded::builder().dir(folder.join("state")).settings([("no_such_setting", "1")]);
    let error = builder.start().await.unwrap_err().to_string();
    assert!(error.contains("unrecognized configuration parameter \"no_such_setting\""), "{error}");
    assert!(error.contains("postgres.log"), "{error}");
}

#[test]
fn the_variable_decides_which_postgresql_runs() {
    let folder = Folder::new();
    let dir = folder.join("state");
    let outcome = |bin: &Path| {
        let environment = [("TEST_DIR", dir.as_path()), ("TASKER_PG_BIN", bin)];
        Program::start("program_with_binaries", &environment).value("outcome")
    };
    let wrong = outcome(&folder.join("nothing"));
    assert!(wrong.starts_with("TASKER_PG_BIN is "), "{wrong}");
    assert!(wrong.contains("but it has no program postgres"), "{wrong}");
    assert!(
        wrong.contains("set it to the folder that holds the programs postgres and initdb"),
        "{wrong}"
    );
    let bin = tokio::runtime::Runtime::new()
        .unwrap()
        .block_on(async { Embedded::ephemeral().start().await.unwrap().bin_dir().to_owned() });
    let version = outcome(&bin);
    assert!(version.starts_with(|c: char| c.is_ascii_digit()), "{version}");
}
