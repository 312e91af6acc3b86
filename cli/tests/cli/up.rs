//! `tasker up`: a PostgreSQL of its own, found by the other commands, and stopped with the program.

use crate::support::{Folder, TWO_STEPS, command, run, start, stop, until_printed};

#[tokio::test]
async fn everything_runs_until_it_is_stopped_and_the_data_stays() {
    let folder = Folder::new();
    let here = |args: &[&str]| run(command(None, &folder.0, args));

    let mut up = start(command(None, &folder.0, &["up"]));
    let greeting = until_printed(&mut up, "ctrl-c stops everything").await;
    assert!(
        greeting.contains("schema tasker is installed") && greeting.contains("psql 'postgres://"),
        "{greeting}"
    );
    let second = here(&["up"]).await.failed();
    assert!(second.contains("another tasker runs a PostgreSQL in .tasker already"), "{second}");

    // A namespace that comes later is served, and no command needs a URL.
    let file = folder.write("order.yaml", TWO_STEPS);
    here(&["template", "apply", &file]).await.ok();
    let task = here(&["task", "enqueue", "shop.order", "--wait", "--timeout", "30s", "--json"])
        .await
        .json();
    assert_eq!(task["task"]["state"], "complete");

    let end = stop(up).await;
    assert_eq!(end.code, Some(0), "{end:?}");
    assert!(
        end.stderr.contains("worker serves shop") && end.stderr.ends_with("stopped\n"),
        "{end:?}"
    );
    assert!(here(&["task", "list"]).await.failed().contains("tasker up"));

    let mut again = start(command(None, &folder.0, &["up", "--json", "--no-worker"]));
    let document = until_printed(&mut again, "\n}\n").await;
    assert!(document.contains("\"worker\": false"), "{document}");
    let tasks = here(&["task", "list", "--json"]).await.json();
    assert_eq!(tasks.as_array().unwrap().len(), 1);
    assert_eq!(stop(again).await.code, Some(0));
}
