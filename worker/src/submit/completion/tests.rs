//! The completion side against a database that is a script.

use super::*;
use crate::{
    claim::Claims,
    events::StepEvent,
    submit::{
        StepResult,
        calls::{Answer, Submitted},
    },
};
use chrono::Utc;
use pgtasker_core::{DomainEvent, Failure};
use serde_json::Value;
use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard},
    time::Instant,
};
use tokio::sync::Semaphore;
use uuid::Uuid;

/// What the next submit does.
enum Reply {
    /// The connection is lost, perhaps after the commit.
    Lost,
    /// A refusal that stays, of anything that holds a result with this text.
    Refuses(&'static str),
    /// The same of anything with an event that is to be sent.
    RefusesEvents,
}

impl Reply {
    fn refuses(&self, results: &[Finished]) -> bool {
        match self {
            Self::Lost => false,
            Self::Refuses(text) => {
                results.iter().any(|r| format!("{:?}", r.result.outcome).contains(text))
            }
            Self::RefusesEvents => {
                results.iter().flat_map(|r| &r.result.events).any(|event| event.problem.is_none())
            }
        }
    }
}

#[derive(Clone, Default)]
struct Fake(Arc<Inner>);

struct Inner {
    calls: Mutex<Vec<Vec<(String, StepOutcome)>>>,
    released: Mutex<Vec<(String, Duration, String)>>,
    replies: Mutex<VecDeque<Reply>>,
    /// What is answered for a result that counts; none: accepted.
    answer: Mutex<Option<&'static str>>,
    /// The step that somebody holds.
    held: Mutex<Option<String>>,
    /// The claims of the events that were announced.
    announced: Mutex<Vec<i32>>,
    /// Each submit takes one.
    gate: Semaphore,
}

impl Default for Inner {
    fn default() -> Self {
        let gate = Semaphore::new(1_000);
        Self {
            calls: Mutex::default(),
            released: Mutex::default(),
            replies: Mutex::default(),
            answer: Mutex::default(),
            held: Mutex::default(),
            announced: Mutex::default(),
            gate,
        }
    }
}

impl Fake {
    fn calls(&self) -> MutexGuard<'_, Vec<Vec<(String, StepOutcome)>>> {
        self.0.calls.lock().unwrap()
    }

    fn sizes(&self) -> Vec<usize> {
        self.calls().iter().map(Vec::len).collect()
    }
}

impl Submitter for Fake {
    async fn submit(
        &self,
        results: &[Finished],
        _max_claims: usize,
    ) -> pgtasker_core::Result<Submitted> {
        let call = results
            .iter()
            .map(|r| (r.ticket.key.step.to_string(), r.result.outcome.clone()))
            .collect();
        self.calls().push(call);
        self.0.gate.acquire().await.unwrap().forget();
        let mut replies = self.0.replies.lock().unwrap();
        match replies.front() {
            Some(Reply::Lost) => {
                replies.pop_front();
                return Err(sqlx::Error::WorkerCrashed.into());
            }
            Some(reply) if reply.refuses(results) => {
                return Err(Error::Refused {
                    code: "TK099".to_owned(),
                    message: "no".to_owned(),
                    hint: None,
                });
            }
            _ => {}
        }
        // As the database: of several claims of a step only the last counts.
        let newest = |r: &Finished| {
            results.iter().all(|other| {
                other.ticket.key != r.ticket.key || other.ticket.claim_no <= r.ticket.claim_no
            })
        };
        let counts = self.0.answer.lock().unwrap().unwrap_or("accepted");
        let held = self.0.held.lock().unwrap().clone();
        let answer = |r: &Finished| Answer {
            task_id: r.ticket.key.task_id,
            step: r.ticket.key.step.to_string(),
            claim_no: r.ticket.claim_no,
            status: match () {
                () if held.as_deref() == Some(&*r.ticket.key.step) => "busy",
                () if newest(r) => counts,
                () => "stale",
            }
            .into(),
        };
        Ok(Submitted { answers: results.iter().map(answer).collect(), claims: Vec::new() })
    }

    async fn release(
        &self,
        claims: &[(&StepKey, i32)],
        delay: Duration,
        reason: &str,
        _lost: bool,
    ) -> pgtasker_core::Result<Vec<ClaimStatus>> {
        let row = |(key, _): &(&StepKey, i32)| (key.step.to_string(), delay, reason.to_owned());
        self.0.released.lock().unwrap().extend(claims.iter().map(row));
        Ok(vec![ClaimStatus::Released; claims.len()])
    }

    fn announce(&self, events: &[StepEvent]) {
        self.0.announced.lock().unwrap().extend(events.iter().map(|event| event.event.claim_no));
    }
}

struct Setup {
    fake: Fake,
    claims: Arc<Claims>,
    sender: mpsc::Sender<Completed>,
    actor: CompletionActor<Fake>,
}

fn setup() -> Setup {
    let (fake, claims) = (Fake::default(), Arc::new(Claims::default()));
    let (sender, receiver) = mpsc::channel(100);
    let actor = CompletionActor::new(fake.clone(), receiver, None, Arc::new(Meters::new(1, 64)));
    Setup { fake, claims, sender, actor }
}

impl Setup {
    async fn send(&self, step: &str, report: Report) {
        self.send_claim(step, 1, report).await;
    }

    async fn send_claim(&self, step: &str, claim_no: i32, report: Report) {
        let key = StepKey { task_id: Uuid::nil(), step: step.into() };
        let ticket = self.claims.hold(key, None, claim_no, Instant::now(), Duration::from_secs(30));
        self.sender.send(Completed { ticket, report }).await.ok().unwrap();
    }

    async fn result(&self, step: &str) {
        self.send(
            step,
            Report::Result(StepResult {
                outcome: StepOutcome::success(step),
                events: Vec::new(),
                duration_ms: 1,
            }),
        )
        .await;
    }

    /// Lets the actor deliver everything.
    async fn finish(self) -> (Fake, Arc<Claims>) {
        drop(self.sender);
        self.actor.run(CancellationToken::new()).await;
        (self.fake, self.claims)
    }
}

#[tokio::test]
async fn what_arrives_during_a_call_is_submitted_by_the_next() {
    let setup = setup();
    setup.fake.0.gate.forget_permits(1_000);
    setup.result("first").await;
    let Setup { fake, claims, sender, actor } = setup;
    let actor = tokio::spawn(actor.run(CancellationToken::new()));
    while fake.sizes() != [1] {
        tokio::task::yield_now().await;
    }
    for step in ["a", "b", "c"] {
        let ticket = claims.hold(
            StepKey { task_id: Uuid::nil(), step: step.into() },
            None,
            1,
            Instant::now(),
            Duration::from_secs(30),
        );
        let report = Report::Result(StepResult {
            outcome: StepOutcome::success(()),
            events: Vec::new(),
            duration_ms: 0,
        });
        sender.send(Completed { ticket, report }).await.ok().unwrap();
    }
    drop(sender);
    assert_eq!(claims.len(), 4, "leases are kept until the database has the results");
    fake.0.gate.add_permits(1_000);
    actor.await.unwrap();
    assert_eq!((fake.sizes(), claims.len()), (vec![1, 3], 0));
}

#[tokio::test]
async fn a_lost_connection_loses_no_result() {
    let setup = setup();
    setup.fake.0.replies.lock().unwrap().extend([Reply::Lost, Reply::Lost]);
    setup.result("a").await;
    setup.result("b").await;
    let (fake, claims) = setup.finish().await;
    assert_eq!((fake.sizes(), claims.len()), (vec![2, 2, 2], 0));
}

#[tokio::test]
async fn a_refused_result_fails_its_step_and_no_other() {
    let setup = setup();
    setup.fake.0.replies.lock().unwrap().push_back(Reply::Refuses("bad"));
    for step in ["a", "bad", "c"] {
        setup.result(step).await;
    }
    let (fake, claims) = setup.finish().await;
    let calls = fake.calls();
    // All three, then a, bad, the failure for bad, c.
    assert_eq!(calls.iter().map(Vec::len).collect::<Vec<_>>(), [3, 1, 1, 1, 1]);
    let StepOutcome::Failure(Failure { message, retryable, code, .. }) = &calls[3][0].1 else {
        panic!("no failure")
    };
    assert_eq!(
        (calls[3][0].0.as_str(), *retryable, code.as_deref()),
        ("bad", false, Some("TK099"))
    );
    assert!(message.contains("refused the step's result: no"), "{message}");
    assert_eq!(calls[4][0].1, StepOutcome::success("c"));
    assert_eq!(claims.len(), 0);
}

#[tokio::test]
async fn a_refusal_of_everything_keeps_the_result() {
    let setup = setup();
    // The failure in its place says "refused" as well: not the result's fault.
    setup.fake.0.replies.lock().unwrap().push_back(Reply::Refuses("a"));
    setup.result("a").await;
    let Setup { fake, claims: _claims, sender, actor } = setup;
    let actor = tokio::spawn(actor.run(CancellationToken::new()));
    while fake.sizes().len() < 4 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    fake.0.replies.lock().unwrap().clear();
    drop(sender);
    actor.await.unwrap();
    assert_eq!(fake.calls().last().unwrap()[0].1, StepOutcome::success("a"));
}

#[tokio::test]
async fn releases_go_with_their_reasons_and_finish_drains_the_channel() {
    let setup = setup();
    let second = Duration::from_secs(1);
    setup.send("x", Report::give_back(second, "no handler")).await;
    setup.result("a").await;
    let Setup { fake, claims, sender, actor } = setup;
    let finish = CancellationToken::new();
    finish.cancel();
    // A sender is still there: a blocked handler must not hold up the end.
    actor.run(finish).await;
    drop(sender);
    assert_eq!(fake.sizes(), [1]);
    assert_eq!(
        *fake.0.released.lock().unwrap(),
        [("x".to_owned(), second, "no handler".to_owned())]
    );
    assert_eq!(claims.len(), 0);
}

/// It is told again by itself, its lease extended meanwhile, and the others go on.
#[tokio::test]
async fn what_somebody_holds_is_told_again_until_it_is_free() {
    let setup = setup();
    *setup.fake.0.held.lock().unwrap() = Some("a".to_owned());
    setup.result("a").await;
    setup.result("b").await;
    let Setup { fake, claims, sender, actor } = setup;
    let actor = tokio::spawn(actor.run(CancellationToken::new()));
    while fake.calls().len() < 4 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(claims.len(), 1, "that of a");
    *fake.0.held.lock().unwrap() = None;
    // The channel is closed and empty, and yet it is not the end.
    drop(sender);
    actor.await.unwrap();
    let calls = fake.calls();
    assert_eq!((calls[0].len(), calls.last().unwrap()[0].0.as_str()), (2, "a"));
    assert!(calls[1..].iter().all(|call| call.len() == 1 && call[0].0 == "a"), "{calls:?}");
    assert_eq!(claims.len(), 0);
}

fn event(claim_no: i32) -> StepEvent {
    let event = DomainEvent {
        id: Uuid::now_v7(),
        name: "a.b".to_owned(),
        version: "1.0".to_owned(),
        namespace: "shop".to_owned(),
        template: "pay".to_owned(),
        task_id: Uuid::nil(),
        step: "a".to_owned(),
        claim_no,
        correlation_id: None,
        traceparent: None,
        time: Utc::now(),
        payload: Value::Null,
        metadata: Value::Null,
    };
    StepEvent { event: Arc::new(event), delivery: None, problem: None }
}

#[tokio::test]
async fn of_two_claims_of_a_step_in_one_call_only_the_accepted_one_is_announced() {
    for claims in [[1, 2], [2, 1]] {
        let setup = setup();
        for claim_no in claims {
            let outcome = StepOutcome::success(claim_no);
            let report = Report::Result(StepResult {
                outcome,
                events: vec![event(claim_no)],
                duration_ms: 1,
            });
            setup.send_claim("a", claim_no, report).await;
        }
        let (fake, _) = setup.finish().await;
        assert_eq!(fake.sizes(), [2]);
        assert_eq!(*fake.0.announced.lock().unwrap(), [2], "claims {claims:?}");
    }
}

#[tokio::test]
async fn a_result_whose_acceptance_was_not_heard_is_announced_when_it_is() {
    for (answer, announced) in [("duplicate", vec![3]), ("stale", vec![]), ("rejected", vec![])] {
        let setup = setup();
        *setup.fake.0.answer.lock().unwrap() = Some(answer);
        setup.fake.0.replies.lock().unwrap().push_back(Reply::Lost);
        let outcome = StepOutcome::success(1);
        setup
            .send_claim(
                "a",
                3,
                Report::Result(StepResult { outcome, events: vec![event(3)], duration_ms: 1 }),
            )
            .await;
        let (fake, _) = setup.finish().await;
        assert_eq!(fake.sizes(), [1, 1], "told twice");
        assert_eq!(*fake.0.announced.lock().unwrap(), announced, "{answer}");
    }
}

#[tokio::test]
async fn events_that_the_database_refuses_do_not_fail_their_step() {
    let setup = setup();
    setup.fake.0.replies.lock().unwrap().push_back(Reply::RefusesEvents);
    let outcome = StepOutcome::success(1);
    setup
        .send_claim(
            "a",
            1,
            Report::Result(StepResult {
                outcome: outcome.clone(),
                events: vec![event(1)],
                duration_ms: 1,
            }),
        )
        .await;
    let (fake, _) = setup.finish().await;
    // With the others, alone, and without what was refused.
    assert_eq!(fake.sizes(), [1, 1, 1]);
    assert_eq!(fake.calls().last().unwrap()[0].1, outcome);
    assert_eq!(*fake.0.announced.lock().unwrap(), [1], "as one that was refused");
}

#[test]
fn a_call_holds_no_more_bytes_than_it_may_and_a_larger_result_goes_alone() {
    let claims = Arc::new(Claims::default());
    let result = |step: &str, bytes: usize| Finished {
        ticket: claims.hold(
            StepKey { task_id: Uuid::nil(), step: step.into() },
            None,
            1,
            Instant::now(),
            Duration::from_secs(30),
        ),
        result: StepResult::new(
            StepOutcome::success("x".repeat(bytes)),
            Vec::new(),
            Duration::ZERO,
        ),
    };
    let sizes = [("a", 400), ("b", 400), ("c", 5_000), ("d", 10), ("e", 10)];
    let calls = by_size(sizes.iter().map(|(step, bytes)| result(step, *bytes)).collect(), 1_200);
    let steps: Vec<String> =
        calls.iter().map(|call| call.iter().map(|r| &*r.ticket.key.step).collect()).collect();
    assert_eq!(steps, ["ab", "c", "de"]);
    assert_eq!(by_size(Vec::new(), 1).len(), 0);
    assert_eq!(by_size(vec![result("a", 5_000)], 1).len(), 1);
}
