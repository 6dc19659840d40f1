//! Whether a client has begun to speak HTTP/2.

use std::future::pending;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::sleep;

/// How many bytes a client begins with, before its first frame.
const PREFACE: usize = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".len();

/// How much was read of a client, as far as it matters.
#[derive(Clone, Default)]
pub(super) struct Begun(Arc<AtomicUsize>);

impl Begun {
    /// A stream whose bytes count.
    pub fn watch<I>(&self, io: I) -> Watched<I> {
        Watched { io, begun: self.clone() }
    }

    /// Comes when that much time is over, and it has not begun by then.
    pub async fn late(&self, within: Duration) {
        sleep(within).await;
        if self.has() {
            pending().await
        }
    }

    /// Whether it has said what every client begins with, or as much of something else.
    fn has(&self) -> bool {
        self.0.load(Relaxed) >= PREFACE
    }
}

/// A stream of bytes, of which those that are read count.
pub(super) struct Watched<I> {
    io: I,
    begun: Begun,
}

impl<I: AsyncRead + Unpin> AsyncRead for Watched<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = ready!(Pin::new(&mut self.io).poll_read(cx, buf));
        if !self.begun.has() {
            self.begun.0.fetch_add(buf.filled().len() - before, Relaxed);
        }
        Poll::Ready(read)
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Watched<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}
