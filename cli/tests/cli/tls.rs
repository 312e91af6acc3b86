//! TLS to PostgreSQL: what sslmode asks for is what happens, and an error says what to do.

use crate::support::{Folder, command, run, start, stop, tasker};
use pgtasker_core::db::{DbOptions, connect};
use pgtasker_embedded::Embedded;
use pgtasker_tests::{eventually, start_server};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::Path,
    time::Duration,
};

const SOON: Duration = Duration::from_secs(30);

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// Turns TLS on, with a certificate for 127.0.0.1 only.
async fn turn_on(server: &Embedded, authority: &Authority) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, authority).unwrap();
    let owner = fs::metadata(server.data_dir()).unwrap();
    for (name, text) in [("server.crt", certificate.pem()), ("server.key", key.serialize_pem())] {
        let path = server.data_dir().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        chown(&path, Some(owner.uid()), Some(owner.gid())).unwrap();
    }
    let pool = sqlx::PgPool::connect(&server.admin_url()).await.unwrap();
    sqlx::raw_sql("alter system set ssl = on").execute(&pool).await.unwrap();
    sqlx::raw_sql("select pg_reload_conf()").execute(&pool).await.unwrap();
    eventually("TLS to be on", SOON, async || {
        let pool = sqlx::PgPool::connect(&server.admin_url()).await.unwrap();
        let sql = "select ssl from pg_stat_ssl where pid = pg_backend_pid()";
        sqlx::query_scalar::<_, bool>(sql).fetch_one(&pool).await.unwrap()
    })
    .await;
    pool.close().await;
}

fn pem(folder: &Folder, name: &str, authority: &Authority) -> String {
    folder.write(name, &authority.pem())
}

async fn is_encrypted(url: &str) -> bool {
    let pool = connect(&DbOptions::new(url, "tls")).await.unwrap_or_else(|error| panic!("{error}"));
    let sql = "select ssl from pg_stat_ssl where pid = pg_backend_pid()";
    sqlx::query_scalar(sql).fetch_one(&pool).await.unwrap()
}

/// The end of a command that must fail at once: waiting would not help.
async fn refused(url: &str) -> String {
    let began = std::time::Instant::now();
    let text = tasker(url, &["migrate"]).await.failed();
    assert!(
        began.elapsed() < Duration::from_secs(20),
        "it was tried again for {:?}",
        began.elapsed()
    );
    text
}

#[tokio::test]
async fn what_sslmode_asks_for_is_what_happens() {
    let (server, folder, signer) = (start_server(&[]).await, Folder::new(), authority());
    let url = |more: &str| format!("{}?{more}", server.url("postgres"));
    let none = refused(&url("sslmode=require")).await;
    assert!(none.contains("server does not support TLS") && none.contains("ssl = on"), "{none}");
    assert!(!is_encrypted(&url("sslmode=prefer")).await);

    turn_on(&server, &signer).await;
    let ca = pem(&folder, "ca.pem", &signer);
    let full = url(&format!("sslmode=verify-full&sslrootcert={ca}"));
    assert!(is_encrypted(&full).await);
    assert!(is_encrypted(&url("sslmode=require")).await);
    assert!(is_encrypted(&url(&format!("sslmode=verify-ca&sslrootcert={ca}"))).await);
    assert!(!is_encrypted(&url("sslmode=disable")).await);

    let other = pem(&folder, "other.pem", &authority());
    for mode in ["verify-full", "verify-ca"] {
        for root in [format!("&sslrootcert={other}"), String::new()] {
            let unknown = refused(&url(&format!("sslmode={mode}{root}"))).await;
            assert!(unknown.contains("invalid peer certificate"), "{unknown}");
            assert!(
                unknown.contains("hint: name the file") && unknown.contains("sslrootcert=FILE"),
                "{unknown}"
            );
        }
    }
    let by_name = full.replace("127.0.0.1", "localhost");
    let name = refused(&by_name).await;
    assert!(name.contains("is for another name") && name.contains("sslmode=verify-ca"), "{name}");
    assert!(is_encrypted(&by_name.replace("verify-full", "verify-ca")).await);
    let missing = refused(&url("sslmode=verify-full&sslrootcert=/nowhere.pem")).await;
    assert!(missing.contains("/nowhere.pem") || missing.contains("No such file"), "{missing}");
}

#[tokio::test]
async fn services_work_over_verified_tls() {
    let (server, folder, signer) = (start_server(&[]).await, Folder::new(), authority());
    turn_on(&server, &signer).await;
    let ca = pem(&folder, "ca.pem", &signer);
    let url = format!("{}?sslmode=verify-full&sslrootcert={ca}", server.url("postgres"));
    let template = folder.write("two.yaml", crate::support::TWO_STEPS);
    tasker(&url, &["migrate"]).await.ok();
    tasker(&url, &["template", "apply", &template]).await.ok();
    let services = [&["orchestrator"][..], &["worker", "--namespace", "shop"]]
        .map(|args| start(command(Some(&url), Path::new("/"), args)));
    let done = run(command(Some(&url), &folder.0, &["task", "enqueue", "shop.order", "--wait"]))
        .await
        .ok();
    assert!(done.contains("complete"), "{done}");
    let pool = sqlx::PgPool::connect(&server.url("postgres")).await.unwrap();
    let sql = "select count(*) from pg_stat_ssl join pg_stat_activity using (pid) where not ssl \
        and application_name like 'tasker%'";
    assert_eq!(sqlx::query_scalar::<_, i64>(sql).fetch_one(&pool).await.unwrap(), 0);
    for service in services {
        assert_eq!(stop(service).await.code, Some(0));
    }
}
