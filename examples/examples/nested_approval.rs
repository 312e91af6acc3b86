//! `DATABASE_URL=… cargo run -p pgtasker-examples --example nested_approval`

use pgtasker_examples::{nested_approval, run_example};
use serde_json::json;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let contexts =
        [(500, "abroad"), (2_000, "home"), (5_000, "home"), (5_000, "abroad"), (20_000, "home")]
            .map(|(amount, region)| json!({"amount": amount, "region": region}));
    run_example(nested_approval::TEMPLATE, nested_approval::expected, &contexts).await
}
