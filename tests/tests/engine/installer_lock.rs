//! Installers wait for each other by locks that nobody else may take, say who holds them up, and
//! give up in time.

use pgtasker_core::schema::Bundle;
use pgtasker_tests::TestDb;
use sqlx::query;
use std::time::Duration;

/// Numbers that another program may take; the second is what pgmq's installation takes.
const ANYBODYS: [i64; 2] = [0x7461_736b_6572_0001, 0x7461_736b_6572_0002];

#[tokio::test]
async fn a_lock_that_anybody_may_take_does_not_stop_an_installer() {
    let db = TestDb::new().await;
    let mut anybody = db.pool.acquire().await.unwrap();
    for key in ANYBODYS {
        query("select pg_advisory_lock($1)").bind(key).execute(&mut *anybody).await.unwrap();
    }
    let migrated =
        tokio::time::timeout(Duration::from_secs(20), pgtasker_queues::migrate(&db.pool)).await;
    assert!(migrated.expect("it does not wait").unwrap().schema.up_to_date());
}

#[tokio::test]
async fn a_frozen_installer_is_named_and_not_waited_for_without_end() {
    let db = TestDb::new().await;
    let mut frozen = db.pool.begin().await.unwrap();
    query("set local application_name = 'frozen'").execute(&mut *frozen).await.unwrap();
    query("select from tasker.schema_info for update").execute(&mut *frozen).await.unwrap();
    let bundle = Bundle::embedded().unwrap();
    let refused =
        bundle.migrate_within(&db.pool, Duration::from_millis(100)).await.unwrap_err().to_string();
    assert!(refused.contains("another installer") && refused.contains("frozen"), "{refused}");
    frozen.rollback().await.unwrap();
    bundle.migrate_within(&db.pool, Duration::from_millis(100)).await.unwrap();
}
