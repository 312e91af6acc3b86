//! `DATABASE_URL=… cargo run -p pgtasker-examples --example transfer`

use pgtasker_client::calls;
use pgtasker_examples::{Engine, database_url, transfer};
use pgtasker_worker::{DbOptions, connect};
use std::time::Duration;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = database_url()?;
    let pool = connect(&DbOptions::new(&url, "transfer example")).await?;
    pgtasker_queues::migrate(&pool).await?;
    transfer::install(&pool, 10, 10_000).await?;
    let before = transfer::total(&pool).await?;
    let mut engine = Engine::start(&url, transfer::register).await?;
    let work = async {
        let contexts = transfer::contexts(10, 100, 7);
        let tasks = calls::enqueue_tasks(&pool, transfer::NAMESPACE, "transfer", &contexts).await?;
        let mut complete = 0;
        for task in &tasks {
            complete +=
                u32::from(calls::wait(&pool, *task, Duration::from_secs(60)).await?.succeeded());
        }
        Ok((complete, tasks.len()))
    };
    let (complete, tasks) = engine.run(work).await?;
    engine.stop().await?;
    let (after, doubled) = (transfer::total(&pool).await?, transfer::doubled(&pool).await?);
    println!(
        "{complete} of {tasks} transfers; in all accounts {before} cents before and {after} after"
    );
    assert_eq!((after, doubled), (before, 0));
    Ok(())
}
