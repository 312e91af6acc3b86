//! The server: its address, TLS, the layers around the routes, and its end.

use crate::{
    access::Access,
    connections::Places,
    crypto::install_crypto,
    error::{Error, Result},
    large,
    layers::{Gate, admit, describe_metrics, observe},
    openapi,
    problem::Problem,
    routes,
    settings::{ApiSettings, TlsFiles},
    state::App,
};
use axum::{
    Router,
    extract::DefaultBodyLimit,
    http::{HeaderValue, StatusCode, header},
    middleware,
    response::{IntoResponse, Redirect, Response},
    routing::get,
};
use axum_server::{Handle, tls_rustls::RustlsConfig};
use hyper_util::rt::TokioTimer;
use metrics_exporter_prometheus::PrometheusHandle;
use pgtasker_core::breaker::Breaker;
use sqlx::PgPool;
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa_axum::router::OpenApiRouter;
use utoipa_swagger_ui::{Config, SwaggerUi};

/// How long a client may take to send the head of a request, and to shake hands.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a client of HTTP/2 is asked whether it is still there.
const PING: Duration = Duration::from_secs(20);
/// How long requests may take to end when the server stops.
const FAREWELL: Duration = Duration::from_secs(5);
/// The largest size of the page that describes the API, in bytes.
const LONGEST_PAGE: usize = 64 * 1024;
/// How soon changed certificates take effect.
const LOOK: Duration = Duration::from_secs(5);

/// A server with an address, which does not answer yet.
#[derive(Debug)]
pub struct Server {
    listener: std::net::TcpListener,
    address: SocketAddr,
    router: Router,
    tls: Option<(RustlsConfig, TlsFiles)>,
    places: Places,
    shutdown: CancellationToken,
}

impl Server {
    /// Takes the address and reads keys, JWKS, and certificates. `pool` says how to connect: the
    /// server has connections of its own. `metrics`: what /metrics answers, where something counts.
    ///
    /// # Errors
    /// A setting is out of its range; the address is taken, or others can reach it and no key is
    /// wanted; files that cannot be used.
    pub async fn bind(
        settings: &ApiSettings,
        pool: &PgPool,
        breaker: Breaker,
        metrics: Option<PrometheusHandle>,
        shutdown: CancellationToken,
    ) -> Result<Self> {
        settings.check()?;
        describe_metrics();
        let access = Access::open(settings).await?;
        if settings.tls.is_none() && !settings.listen.ip().is_loopback() {
            tracing::warn!(
                address = %settings.listen,
                "keys and all data are sent unencrypted, unless a proxy in front of this server \
                 ends TLS: give --http-tls-cert and --http-tls-key"
            );
        }
        let tls = match &settings.tls {
            Some(files) => Some((certificates(files).await?, files.clone())),
            None => None,
        };
        let listen = |source| Error::Listen { address: settings.listen, source };
        let listener = std::net::TcpListener::bind(settings.listen).map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let app = App::new(pool, breaker, settings, shutdown.clone());
        let router = router(settings, app, access, metrics)?;
        let places = Places::new(settings.max_connections, settings.write_timeout);
        Ok(Self { listener, address, router, tls, places, shutdown })
    }

    /// Where it listens; with port 0 the one that was free.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://…` or `https://…`.
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// Answers until the shutdown; requests on their way are answered then, for five seconds at
    /// most.
    ///
    /// # Errors
    /// The address is lost.
    pub async fn run(self) -> Result<()> {
        let address = self.address;
        let failed = |source| Error::Listen { address, source };
        tracing::info!(
            url = self.url(),
            "the HTTP API is served; {}/docs describes it",
            self.url()
        );
        let handle = Handle::new();
        let service = self.router.into_make_service();
        let stop = self.shutdown.clone();
        let stopping = handle.clone();
        let stopper = tokio::spawn(async move {
            stop.cancelled().await;
            stopping.graceful_shutdown(Some(FAREWELL));
        });
        let mut server = axum_server::from_tcp(self.listener)
            .map_err(failed)?
            .acceptor(self.places)
            .handle(handle)
            .first_request_timeout(HEAD_TIMEOUT)
            .accept_error_handler(
                |_, error| tracing::debug!(%error, "a connection was not accepted"),
            );
        server.http_builder().http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
        let http2 = &mut server.http_builder().http2();
        // Else a client that went away without a word keeps its connection.
        http2.timer(TokioTimer::new()).max_concurrent_streams(100).keep_alive_interval(PING);
        let served = match self.tls {
            None => server.serve(service).await,
            Some((config, files)) => {
                let reloading = tokio::spawn(reload(config.clone(), files));
                let acceptor = move |inner| {
                    axum_server::tls_rustls::RustlsAcceptor::new(config)
                        .handshake_timeout(HEAD_TIMEOUT)
                        .acceptor(inner)
                };
                let served = server.map(acceptor).serve(service).await;
                reloading.abort();
                served
            }
        };
        stopper.abort();
        served.map_err(failed)
    }
}

fn router(
    settings: &ApiSettings,
    app: App,
    access: Access,
    metrics: Option<PrometheusHandle>,
) -> Result<Router> {
    use utoipa::OpenApi;
    let (routes, document) = OpenApiRouter::with_openapi(openapi::Document::openapi())
        .merge(routes::all())
        .split_for_parts();
    let mut rules = openapi::rules(&document).map_err(Error::Routes)?;
    rules.open_paths = ["/", "/openapi.json", "/docs", "/docs/", "/docs/{*rest}"].into();
    rules.needs.insert(
        (axum::http::Method::GET, "/metrics".to_owned()),
        Some(crate::access::Permission::SystemRead),
    );
    rules.for_all =
        [(axum::http::Method::GET, "/metrics"), (axum::http::Method::POST, "/v1/prune")].into();
    let document = openapi::finish(document, settings.is_closed()).to_string();
    let gate = Gate {
        access: Arc::new(access),
        rules: Arc::new(rules),
        failures: Arc::default(),
        places: Arc::new(Semaphore::new(settings.max_requests)),
        timeout: settings.request_timeout,
    };
    let page: Router<App> =
        SwaggerUi::new("/docs").config(Config::from("/openapi.json").validator_url("none")).into();
    Ok(Router::new()
        .merge(routes)
        .route("/metrics", get(move || rendered(metrics.clone())))
        // Who types the address finds the description.
        .route("/", get(|| async { Redirect::temporary("/docs/") }))
        .route("/openapi.json", get(move || described(document.clone())))
        .merge(page.layer(middleware::map_response(titled)))
        .fallback(|| async { Problem::of_status(StatusCode::NOT_FOUND) })
        .layer(DefaultBodyLimit::max(settings.max_body_bytes as usize))
        .layer(middleware::from_fn_with_state(large::places(), large::bound))
        .layer(middleware::from_fn_with_state(gate, admit))
        .layer(CatchPanicLayer::custom(|_: Box<dyn std::any::Any + Send>| {
            Problem::internal("a handler panicked").into_response()
        }))
        .layer(middleware::from_fn(observe))
        .with_state(app))
}

/// The page is of a library: its title would be the library's.
async fn titled(response: Response) -> Response {
    let is_page = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
    if !is_page {
        return response;
    }
    let (mut head, body) = response.into_parts();
    let Ok(page) = axum::body::to_bytes(body, LONGEST_PAGE).await else {
        return Problem::internal("the page could not be read").into_response();
    };
    let page = String::from_utf8_lossy(&page)
        .replace("<title>Swagger UI</title>", "<title>Tasker API</title>");
    head.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(head, page.into())
}

async fn rendered(metrics: Option<PrometheusHandle>) -> Response {
    match metrics {
        Some(metrics) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], metrics.render())
            .into_response(),
        None => Problem::of_status(StatusCode::NOT_FOUND)
            .detail("this process has no metrics")
            .into_response(),
    }
}

async fn described(document: String) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], document)
        .into_response()
}

async fn certificates(files: &TlsFiles) -> Result<RustlsConfig> {
    install_crypto();
    RustlsConfig::from_pem_file(&files.cert, &files.key)
        .await
        .map_err(|error| Error::Tls(explain(files, &error)))
}

fn explain(files: &TlsFiles, error: &std::io::Error) -> String {
    format!(
        "{} and {} are not a certificate chain and its key in PEM: {error}",
        files.cert.display(),
        files.key.display()
    )
}

/// Takes new certificates for new connections; broken ones change nothing.
async fn reload(config: RustlsConfig, files: TlsFiles) {
    let read = || async {
        (tokio::fs::read(&files.cert).await.ok(), tokio::fs::read(&files.key).await.ok())
    };
    let mut last = read().await;
    loop {
        tokio::time::sleep(LOOK).await;
        let now = read().await;
        if now == last {
            continue;
        }
        match config.reload_from_pem_file(&files.cert, &files.key).await {
            Ok(()) => tracing::info!(cert = %files.cert.display(), "the certificate was read \
                again"),
            Err(error) => {
                tracing::error!(
                    error = explain(&files, &error),
                    "the previous certificate stays in use"
                )
            }
        }
        last = now;
    }
}
