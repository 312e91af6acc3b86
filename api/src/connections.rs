//! Connections of clients. A client is known only after its connection is open, so all connections
//! are bounded, in number and in how long they may leave an answer unread.

use axum_server::accept::Accept;
use std::{
    future::{Future, Ready, ready},
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Sleep, sleep},
};

/// Takes connections while there are places.
#[derive(Debug, Clone)]
pub struct Places {
    free: Arc<Semaphore>,
    /// Whether the last one found none: said once, as who opens too many would fill the log too.
    full: Arc<AtomicBool>,
    write_timeout: Duration,
}

impl Places {
    /// So many; each may leave what is written to it unread for `write_timeout`.
    pub fn new(number: usize, write_timeout: Duration) -> Self {
        Self { free: Arc::new(Semaphore::new(number)), full: Arc::default(), write_timeout }
    }
}

impl<S> Accept<TcpStream, S> for Places {
    type Stream = Bounded;
    type Service = S;
    type Future = Ready<io::Result<(Bounded, S)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let Ok(place) = Arc::clone(&self.free).try_acquire_owned() else {
            if !self.full.swap(true, Ordering::Relaxed) {
                tracing::warn!(
                    "the HTTP API has reached its limit of connections: more are closed unanswered"
                );
            }
            return ready(Err(io::Error::other("there are too many connections")));
        };
        self.full.store(false, Ordering::Relaxed);
        let bounded =
            Bounded { stream, write_timeout: self.write_timeout, stalled: None, _place: place };
        ready(Ok((bounded, service)))
    }
}

/// A connection that ends when its client does not read.
#[derive(Debug)]
pub struct Bounded {
    stream: TcpStream,
    write_timeout: Duration,
    /// Runs while the client takes nothing.
    stalled: Option<Pin<Box<Sleep>>>,
    /// Given back at the end.
    _place: OwnedSemaphorePermit,
}

impl Bounded {
    fn unless_stalled(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(self.write_timeout)));
        stalled.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Bounded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Bounded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.unless_stalled(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.unless_stalled(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
