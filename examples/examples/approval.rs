//! `DATABASE_URL=… cargo run -p pgtasker-examples --example approval`

use pgtasker_examples::{approval, run_example};
use serde_json::json;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let contexts = [999.99, 1_000.0, 4_999.99, 5_000.0].map(|amount| json!({"amount": amount}));
    run_example(approval::TEMPLATE, approval::expected, &contexts).await
}
