//! `DATABASE_URL=… cargo run -p pgtasker-examples --example strikes`; `tasker demo` is the same
//! with more to see.

use pgtasker_examples::{database_url, strikes};
use pgtasker_worker::{DbOptions, connect};
use std::time::Duration;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = database_url()?;
    let pool = connect(&DbOptions::new(&url, "strikes example")).await?;
    pgtasker_queues::migrate(&pool).await?;
    strikes::install(&pool).await?;
    let mut engine = strikes::start(&url).await?;
    let work = async {
        let run = strikes::enqueue(&pool).await?;
        strikes::wait(&pool, &run, Duration::from_secs(300), |_| ()).await?;
        strikes::summarize(&pool, &run, 3).await
    };
    let summary = engine.run(work).await?;
    engine.stop().await?;
    println!("{}", serde_json::to_string_pretty(&summary)?);
    assert!(summary.agrees(), "the workflow and plain Rust disagree");
    Ok(())
}
