//! What a process tells its watchers over HTTP: /metrics for Prometheus, /health for supervisors
//! and load balancers.

use hyper::{
    Method, Request, Response, StatusCode, body::Incoming, header::CONTENT_TYPE,
    server::conn::http1, service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
pub use metrics_exporter_prometheus::PrometheusHandle;
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder};
use pgtasker_core::health::Health;
use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};

/// Bounds of histograms of durations, in seconds.
const SECONDS: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0,
    300.0,
];
/// Bounds of histograms of counts.
const SIZES: &[f64] = &[1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0];
/// How often what histograms have gathered is summed up, whether anybody asks or not.
pub const UPKEEP: Duration = Duration::from_secs(5);
/// Connections at once: some watchers, and no more.
const CONNECTIONS: usize = 32;
/// How long one may last.
const PATIENCE: Duration = Duration::from_secs(60);

/// Records all metrics of this process from here on; the handle renders them. Call it first, once
/// in a process, and within a runtime. `own`: the bounds of histograms that have others than their
/// kind (`…_seconds`, `…_size`), by name.
///
/// # Errors
/// There is a recorder already.
pub fn count(own: &[(&str, &[f64])]) -> Result<PrometheusHandle, BuildError> {
    let handle = install(own)?;
    let upkeep = handle.clone();
    tokio::spawn(async move {
        loop {
            sleep(UPKEEP).await;
            upkeep.run_upkeep();
        }
    });
    Ok(handle)
}

/// The same without the upkeep: the caller runs that each [`UPKEEP`], for as long as the process
/// lives. Needs no runtime.
///
/// # Errors
/// There is a recorder already.
pub fn install(own: &[(&str, &[f64])]) -> Result<PrometheusHandle, BuildError> {
    let builder = own.iter().try_fold(PrometheusBuilder::new(), |builder, (name, bounds)| {
        builder.set_buckets_for_metric(Matcher::Full((*name).to_owned()), bounds)
    })?;
    let handle = builder
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS)?
        .set_buckets_for_metric(Matcher::Suffix("_size".to_owned()), SIZES)?
        .install_recorder()?;
    crate::describe_metrics();
    Ok(handle)
}

/// Serves what is counted, and the health of what runs.
///
/// # Errors
/// The address is taken or not of this machine.
pub fn serve(address: SocketAddr, handle: PrometheusHandle, health: Health) -> std::io::Result<()> {
    let listen = || {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        TcpListener::from_std(listener)
    };
    let listener = listen().map_err(|error: std::io::Error| {
        std::io::Error::new(error.kind(), format!("cannot serve metrics on {address}: {error}"))
    })?;
    tokio::spawn(accept(listener, handle, health));
    tracing::info!("metrics on http://{address}/metrics, health on http://{address}/health");
    Ok(())
}

async fn accept(listener: TcpListener, handle: PrometheusHandle, health: Health) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => {
                let connection = answer(stream, handle.clone(), health.clone());
                tokio::spawn(async move {
                    timeout(PATIENCE, connection).await.ok();
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection for metrics");
                // Too many open files, most likely: it would fail again at once, and the loop would
                // spin.
                sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

async fn answer(stream: TcpStream, handle: PrometheusHandle, health: Health) {
    let service = service_fn(|request: Request<Incoming>| {
        let response = respond(&request, &handle, &health);
        async { Ok::<_, Infallible>(response) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = served.await {
        tracing::debug!(%error, "a connection for metrics ended early");
    }
}

fn respond<B>(
    request: &Request<B>,
    handle: &PrometheusHandle,
    health: &Health,
) -> Response<String> {
    let (status, kind, body) = match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/health") => {
            let now = health.status();
            let status = if now.healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            (status, "application/json", serde_json::to_string(&now).unwrap_or_default())
        }
        (&Method::GET | &Method::HEAD, "/metrics") => {
            (StatusCode::OK, "text/plain; version=0.0.4", handle.render())
        }
        (&Method::GET | &Method::HEAD, _) => {
            (StatusCode::NOT_FOUND, "text/plain", "try /metrics or /health\n".to_owned())
        }
        _ => (StatusCode::METHOD_NOT_ALLOWED, "text/plain", "only GET\n".to_owned()),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
    response
}
