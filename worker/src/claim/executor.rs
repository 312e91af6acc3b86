//! StepExecutorActor: the one fetcher of a process. Claims as many steps as there are free permits,
//! never more, from its namespaces in rotation, and sends them into the dispatch channel.

use super::{
    Claim, Ticket,
    dispatch::{self, Dispatched},
    run_alone,
};
use crate::{
    shared::Shared,
    submit::{Completed, Report, SHUT_DOWN},
};
use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use pgtasker_core::{connection::OwnConnection, db::Retry, failpoint, pooler::DbConnection};
use pgtasker_queues::Waiter;
use sqlx::Row;
use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

/// Keeps one claim's transaction short; more free permits are filled by the next claim.
const MAX_CLAIM: usize = 500;

/// An answer of this many bytes may have been cut: more is asked for at once.
const LARGE: usize = 1 << 20;

/// Refused until the first template of a namespace is applied, which creates its queue: the
/// engine's own code, and that of a queue's missing table.
const UNKNOWN_NAMESPACE: [&str; 2] = ["TK001", "42P01"];

/// One namespace and what wakes it.
struct Namespace {
    name: String,
    waiter: Waiter,
    retry: Retry,
    /// How often in a row it did not exist.
    unknown: u32,
}

/// See the module.
pub(crate) struct StepExecutorActor {
    shared: Arc<Shared>,
    namespaces: Vec<Namespace>,
    dispatch: mpsc::Sender<Dispatched>,
    completions: mpsc::Sender<Completed>,
    connection: OwnConnection,
    /// Namespaces with nothing to claim: each comes back, by its index, when woken or due for a
    /// poll.
    idle: FuturesUnordered<BoxFuture<'static, usize>>,
}

impl StepExecutorActor {
    pub(crate) fn new(
        shared: Arc<Shared>,
        namespaces: Vec<(String, Waiter)>,
        dispatch: mpsc::Sender<Dispatched>,
        completions: mpsc::Sender<Completed>,
        connection: OwnConnection,
    ) -> Self {
        let retry = || Retry::new(Duration::from_millis(100), Duration::from_secs(5));
        let namespaces = namespaces
            .into_iter()
            .map(|(name, waiter)| Namespace { name, waiter, retry: retry(), unknown: 0 })
            .collect();
        Self {
            shared,
            namespaces,
            dispatch,
            completions,
            connection,
            idle: FuturesUnordered::new(),
        }
    }

    /// Runs until `shutdown`; a claim in flight is awaited, what it brings is released.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) {
        // Every namespace is either here, in turn, or idle.
        let mut ready: VecDeque<usize> = (0..self.namespaces.len()).collect();
        loop {
            while let Some(Some(woken)) = self.idle.next().now_or_never() {
                ready.push_back(woken);
            }
            let Some(index) = ready.pop_front() else {
                tokio::select! {
                    biased;
                    () = shutdown.cancelled() => return,
                    Some(woken) = self.idle.next() => ready.push_back(woken),
                }
                continue;
            };
            if shutdown.run_until_cancelled(self.shared.claims.room()).await.is_none() {
                return;
            }
            // The step that runs alone is this actor's own: none begins between the two waits.
            let alone = async { drop(self.shared.alone.acquire().await) };
            if shutdown.run_until_cancelled(alone).await.is_none() {
                return;
            }
            let Some(permits) = free_permits(&self.shared.permits, MAX_CLAIM, &shutdown).await
            else {
                return;
            };
            let asked = permits.num_permits();
            match self.claim(index, permits, &shutdown).await {
                Ok((claimed, bytes))
                    if bytes < LARGE
                        && self.namespaces[index].waiter.may_wait_after(claimed, asked) =>
                {
                    self.idle_until_woken(index)
                }
                // There may be more: again, after the others had their turn.
                Ok(_) => ready.push_back(index),
                Err(error) if is_unknown_namespace(&error) => self.wait_for_template(index),
                // Asked to stop while it waited for a connection.
                Err(_) if shutdown.is_cancelled() => return,
                Err(error) => self.idle_after(index, &error),
            }
        }
    }

    /// How many steps, and of how many bytes.
    async fn claim(
        &mut self,
        index: usize,
        mut permits: OwnedSemaphorePermit,
        shutdown: &CancellationToken,
    ) -> pgtasker_core::Result<(usize, usize)> {
        let namespace = &mut self.namespaces[index];
        let since = Instant::now();
        // Never cancelled on the way: steps claimed by a call that nobody waits for would wait for
        // their lease.
        let (name, max) =
            (namespace.name.as_str(), i32::try_from(permits.num_permits()).unwrap_or(i32::MAX));
        let (worker_id, lease) = (self.shared.worker_id, self.shared.settings.lease);
        let handlers = self.shared.handlers.claimable();
        let claim = async |connection: &mut DbConnection<'_>| {
            sqlx::query(Claim::STATEMENT)
                .bind(name)
                .bind(worker_id)
                .bind(max)
                .bind(lease)
                .bind(&*handlers)
                .fetch_all(connection)
                .await
        };
        failpoint::reach("worker.before_claim");
        let rows = self.connection.call(claim).await?;
        if !rows.is_empty() {
            failpoint::reach("worker.after_claim");
        }
        namespace.retry.over();
        namespace.unknown = 0;
        let meters = &self.shared.meters;
        meters.claim_seconds.record(since.elapsed());
        meters.claims.increment(1);
        meters.claimed_steps.increment(rows.len() as u64);
        let expired = rows.iter().filter(|row| matches!(row.try_get(Claim::EXPIRED), Ok(true)));
        meters.expired.increment(expired.count() as u64);
        let claims = rows.iter().map(Claim::from_row).collect::<sqlx::Result<Vec<_>>>()?;
        let brought = (claims.len(), claims.iter().map(|claim| claim.bytes).sum());
        let (suspects, claims) = claims.into_iter().partition::<Vec<_>, _>(|claim| claim.run_alone);
        let mut left = dispatch::start(
            &self.shared,
            Some(&self.dispatch),
            claims,
            &mut permits,
            since,
            shutdown,
        )
        .await;
        if !suspects.is_empty() {
            drop(permits);
            left.extend(
                run_alone::all(
                    &self.shared,
                    &mut self.connection,
                    &self.dispatch,
                    suspects,
                    since,
                    shutdown,
                )
                .await,
            );
        }
        give_back(&self.completions, left).await;
        Ok(brought)
    }

    fn idle_until_woken(&self, index: usize) {
        let waiter = self.namespaces[index].waiter.clone();
        let at_most = self.shared.settings.poll_interval;
        self.idle.push(Box::pin(async move {
            waiter.wait(at_most).await;
            index
        }));
    }

    fn wait_for_template(&mut self, index: usize) {
        let namespace = &mut self.namespaces[index];
        if namespace.unknown == 0 {
            tracing::warn!(namespace = %namespace.name, "this namespace does not exist yet: \
                waiting for its first template");
        }
        // Its first template wakes those who listen.
        let at_most = self.shared.settings.poll_interval * 2_u32.pow(namespace.unknown.min(4));
        namespace.unknown = namespace.unknown.saturating_add(1);
        let waiter = namespace.waiter.clone();
        self.idle.push(Box::pin(async move {
            waiter.wait(at_most).await;
            index
        }));
    }

    fn idle_after(&mut self, index: usize, error: &pgtasker_core::Error) {
        let namespace = &mut self.namespaces[index];
        let (delay, tell) = namespace.retry.failed(error);
        if tell {
            tracing::warn!(namespace = %namespace.name, %error, ?delay, "cannot claim steps; will \
                try again");
        }
        self.idle.push(Box::pin(async move {
            tokio::time::sleep(delay).await;
            index
        }));
    }
}

/// Gives the steps back that are not begun.
async fn give_back(completions: &mpsc::Sender<Completed>, left: Vec<Ticket>) {
    for ticket in left {
        let report = Report::give_back(Duration::ZERO, SHUT_DOWN);
        if let Err(lost) = completions.send(Completed { ticket, report }).await {
            let ticket = &lost.0.ticket;
            tracing::error!(
                task_id = %ticket.key.task_id,
                correlation_id = ticket.correlation(),
                step = %ticket.key.step,
                "the completion channel is closed: a claimed step waits for its lease to run out"
            );
        }
    }
}

fn is_unknown_namespace(error: &pgtasker_core::Error) -> bool {
    error.sqlstate().is_some_and(|code| UNKNOWN_NAMESPACE.contains(&code.as_str()))
}

/// Waits for one free permit and takes all there are then, `max` at most; None at shutdown.
pub(crate) async fn free_permits(
    permits: &Arc<Semaphore>,
    max: usize,
    shutdown: &CancellationToken,
) -> Option<OwnedSemaphorePermit> {
    let mut held = tokio::select! {
        biased;
        () = shutdown.cancelled() => return None,
        permit = Arc::clone(permits).acquire_owned() => permit.ok()?,
    };
    // Handlers that are ready to end do so first: else a claim of one would follow every large one.
    tokio::task::yield_now().await;
    let more = permits.available_permits().min(max.saturating_sub(1));
    if let Ok(others) = Arc::clone(permits).try_acquire_many_owned(more.try_into().ok()?) {
        held.merge(others);
    }
    Some(held)
}
