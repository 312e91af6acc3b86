//! The contract of the two clients about dead letters.

use crate::client_contract::{ANA, Way, World, refusal};
use pgtasker_client::{
    DeadLetterFilter, DeadLetterReason, DeadLetterSelection, DeadLetterStatus, Page, StepState,
};
use rstest::rstest;

#[rstest]
#[case::database(Way::Database)]
#[case::http(Way::Http)]
#[tokio::test]
async fn a_dead_letter_is_added_listed_updated_and_retried(#[case] way: Way) {
    let world = World::with_flow(way).await;
    let client = &world.client;
    let (task, other) = (world.blocked().await, world.blocked().await);
    let entry = client.add_dead_letter(task, Some("look at this"), ANA).await.unwrap();
    client.add_dead_letter(other, None, ANA).await.unwrap();
    let all = DeadLetterFilter::default();
    let first = client.list_dead_letters(&all, &Page::first(1)).await.unwrap();
    let rest = client
        .list_dead_letters(&all, &Page { after: first.next.clone(), limit: 9 })
        .await
        .unwrap();
    assert_eq!(
        (first.items.len(), first.next.is_some(), rest.items.len(), rest.next),
        (1, true, 1, None)
    );
    // They failed for good, and so they had one each.
    let pending = |task_id, status: &str| DeadLetterFilter {
        reason: Some(DeadLetterReason::PermanentFailure),
        status: Some(status.into()),
        task_id,
        id_prefix: None,
    };
    let found =
        client.list_dead_letters(&pending(Some(task), "pending"), &Page::first(9)).await.unwrap();
    assert_eq!(found.items.iter().map(|e| e.entry_id).collect::<Vec<_>>(), [entry]);
    assert_eq!(client.dead_letter_counts().await.unwrap()[0].entries, 2);

    client.update_dead_letter(entry, None, Some("called the bank"), ANA).await.unwrap();
    client
        .update_dead_letter(entry, Some(&DeadLetterStatus::PermanentFailure), None, ANA)
        .await
        .unwrap();
    let shown = client.show_dead_letter(entry).await.unwrap();
    let notes = shown.overview.notes.unwrap();
    assert!(notes.contains("look at this") && notes.contains("called the bank"), "{notes}");
    assert_eq!(
        (shown.overview.status.as_str(), shown.overview.resolved_by.as_deref()),
        ("permanent_failure", Some("ana (login postgres)"))
    );
    assert_eq!(shown.snapshot.unwrap()["state"], "blocked_by_failures");

    let second =
        client.list_dead_letters(&pending(Some(other), "pending"), &Page::first(9)).await.unwrap();
    client.retry_dead_letter(second.items[0].entry_id, ANA).await.unwrap();
    let closed = client.show_dead_letter(second.items[0].entry_id).await.unwrap().overview;
    assert_eq!(closed.status, DeadLetterStatus::ManuallyResolved);
    assert_eq!(client.show_step(other, "first").await.unwrap().state, StepState::Pending);
    let beginning =
        DeadLetterFilter { id_prefix: Some(entry.to_string()), ..DeadLetterFilter::default() };
    assert_eq!(client.list_dead_letters(&beginning, &Page::first(9)).await.unwrap().items.len(), 1);
}

#[rstest]
#[case::database(Way::Database)]
#[case::http(Way::Http)]
#[tokio::test]
async fn many_dead_letters_are_counted_updated_and_retried(#[case] way: Way) {
    let world = World::with_flow(way).await;
    let client = &world.client;
    for _ in 0..3 {
        world.blocked().await;
    }
    let which =
        DeadLetterSelection { step: Some("first".to_owned()), ..DeadLetterSelection::default() };
    assert_eq!(client.count_dead_letters(&which).await.unwrap(), 3);
    let some = client.update_dead_letters(&which, None, ANA, 2, None).await.unwrap();
    assert_eq!((some.done, some.skipped, some.last_entry.is_some()), (2, 0, true));
    let rest = client.retry_dead_letters(&which, ANA, 100, some.last_entry).await.unwrap();
    assert_eq!((rest.done, rest.skipped), (1, 0));
    assert_eq!(client.count_dead_letters(&which).await.unwrap(), 2);
    let nothing = client.count_dead_letters(&DeadLetterSelection::default()).await;
    assert_eq!(refusal(nothing).0, "TK030");
}
