//! [`H2Service`]: the service of a connection with HTTP/2, which counts requests and watches how far each response was
//! sent.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use hyper::header::{COOKIE, HeaderValue, RETRY_AFTER};
use hyper::service::Service;
use hyper::{HeaderMap, Request, Response, StatusCode};

use super::shared::{H2Shared, SendProgress};
use super::upload::Upload;
use crate::http::conn::head_guard::HEADERS_MAX;

/// The longest piece of a body that is passed on at once. `h2` buffers a piece however small the window of its client
/// is, so a long response in one piece would be in memory for as long as the client wants.
const PIECE: usize = 16 * 1024;

/// A service whose requests are counted.
#[derive(Debug)]
pub(in crate::http::conn) struct H2Service<S> {
    service: S,
    shared: H2Shared,
}

impl<S> H2Service<S> {
    pub(super) fn new(service: S, shared: H2Shared) -> H2Service<S> {
        H2Service { service, shared }
    }
}

impl<S, B, C> Service<Request<B>> for H2Service<S>
where
    S: Service<Request<Upload<B>>, Response = Response<C>>,
    S::Future: Unpin,
    B: Body + Send + Unpin + 'static,
    C: Default,
{
    type Response = Response<Pieces<C>>;
    type Error = S::Error;
    type Future = H2Response<S::Future>;

    fn call(&self, request: Request<B>) -> Self::Future {
        let progress = self.shared.begin(head_bytes(&request), !request.body().is_end_stream());
        let request = request.map(|body| Upload::new(body, self.shared.clone()));
        let response = if progress.is_none() {
            Err(StatusCode::SERVICE_UNAVAILABLE)
        } else if has_too_many_lines(request.headers()) {
            Err(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)
        } else {
            Ok(self.service.call(request))
        };
        H2Response { response, progress: progress.unwrap_or_default() }
    }
}

/// Returns the bytes of the names and values of a head.
fn head_bytes<B>(request: &Request<B>) -> usize {
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    request.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum::<usize>() + target
}

/// Returns whether a head has too many lines. hyper bounds its bytes, and the number of its lines for HTTP/1 only.
fn has_too_many_lines(headers: &HeaderMap) -> bool {
    // A client may send each cookie in a line of its own (RFC 9113 8.2.3). Over HTTP/1 they are one line.
    headers.len() > HEADERS_MAX && headers.len() - headers.get_all(COOKIE).iter().count() >= HEADERS_MAX
}

/// A response that is being produced, or the status of a request that the service does not get.
#[derive(Debug)]
pub(in crate::http::conn) struct H2Response<F> {
    response: Result<F, StatusCode>,
    progress: SendProgress,
}

impl<F, C, E> Future for H2Response<F>
where
    F: Future<Output = Result<Response<C>, E>> + Unpin,
    C: Default,
{
    type Output = Result<Response<Pieces<C>>, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let response = match &mut self.response {
            Ok(response) => ready!(Pin::new(response).poll(cx))?,
            // Without a body, so that the stream ends whatever the client accepts.
            Err(status) => {
                let mut response = Response::new(C::default());
                *response.status_mut() = *status;
                if *status == StatusCode::SERVICE_UNAVAILABLE {
                    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
                }
                response
            }
        };
        self.progress.passed_on(0);
        let progress = self.progress.clone();
        Poll::Ready(Ok(response.map(|body| Pieces { body, rest: Bytes::new(), progress })))
    }
}

/// A body that is passed on in pieces of [`PIECE`] bytes.
#[derive(Debug)]
pub(in crate::http::conn) struct Pieces<B> {
    body: B,
    /// What is left of the last frame of the body.
    rest: Bytes,
    progress: SendProgress,
}

impl<B: Body<Data = Bytes> + Unpin> Body for Pieces<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        if self.rest.is_empty() {
            let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) else {
                self.progress.is_starved();
                return Poll::Pending;
            };
            match frame {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                end => return Poll::Ready(end),
            }
        }
        let length = self.rest.len().min(PIECE);
        let piece = self.rest.split_to(length);
        self.progress.passed_on(length);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = self.body.size_hint();
        let rest = self.rest.len() as u64;
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper + rest);
        }
        hint.set_lower(hint.lower() + rest);
        hint
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::future::ready;

    use http_body_util::{BodyExt, Full};
    use hyper::service::service_fn;

    use super::*;

    #[tokio::test]
    async fn a_long_body_is_passed_on_in_pieces() {
        let shared = H2Shared::default();
        let body = Bytes::from(vec![7; 2 * PIECE + 5]);
        let answer = body.clone();
        let service = service_fn(move |_: Request<Upload<Full<Bytes>>>| {
            ready(Ok::<_, Infallible>(Response::new(Full::new(answer.clone()))))
        });
        let service = H2Service::new(service, shared.clone());
        let response = service.call(Request::new(Full::<Bytes>::default())).await.expect("infallible");
        let progress = shared.take_latest();
        assert_eq!(progress.waits_for_client(), Some(0));
        let mut pieces = response.into_body();
        assert_eq!(pieces.size_hint().exact(), Some(body.len() as u64));
        let mut lengths = Vec::new();
        while let Some(frame) = pieces.frame().await {
            lengths.push(frame.expect("infallible").into_data().expect("data").len());
            assert_eq!(pieces.is_end_stream(), lengths.len() == 3);
        }
        assert_eq!(lengths, [PIECE, PIECE, 5]);
        assert_eq!(progress.waits_for_client(), Some(body.len() as u64));
    }

    #[tokio::test]
    async fn a_request_with_too_many_header_lines_is_refused() {
        let service = service_fn(|_: Request<Upload<Full<Bytes>>>| {
            ready(Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"ok")))))
        });
        let service = H2Service::new(service, H2Shared::default());
        for (lines, cookies, want) in [
            (HEADERS_MAX, 0, 200),
            (HEADERS_MAX + 1, 0, 431),
            (HEADERS_MAX - 1, 500, 200),
            (HEADERS_MAX, 1, 431),
        ] {
            let mut request = Request::new(Full::<Bytes>::default());
            for number in 0..cookies {
                request.headers_mut().append(COOKIE, HeaderValue::from(number));
            }
            for number in 0..lines {
                let name = hyper::header::HeaderName::try_from(format!("x-{number}")).expect("a name");
                request.headers_mut().insert(name, HeaderValue::from_static("1"));
            }
            assert_eq!(service.call(request).await.expect("infallible").status().as_u16(), want);
        }
    }
}
