//! `DATABASE_URL=… cargo run -p pgtasker-examples --example tree`

use pgtasker_examples::{run_example, tree};
use serde_json::json;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let contexts = [1, 6, 100].map(|n| json!({"n": n}));
    run_example(tree::TEMPLATE, tree::expected, &contexts).await
}
