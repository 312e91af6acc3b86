//! `DATABASE_URL=… cargo run -p pgtasker-examples --example strikes_batch`

use pgtasker_examples::{run_example, strikes_batch};
use serde_json::json;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let contexts = [json!({})];
    run_example(strikes_batch::TEMPLATE, strikes_batch::expected, &contexts).await
}
