//! `DATABASE_URL=… cargo run -p pgtasker-examples --example linear`

use pgtasker_examples::{linear, run_example};
use serde_json::json;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let contexts = [1, 6, 100].map(|n| json!({"n": n}));
    run_example(linear::TEMPLATE, linear::expected, &contexts).await
}
