//! The requests of one connection that are under way: from their head to the end of their answer.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Error,
    body::{Body, Bytes, HttpBody},
};
use hyper::body::{Frame, SizeHint};
use tokio::{sync::watch, time::timeout};

/// Counts requests under way. Cloning gives another handle to the same.
#[derive(Debug, Clone, Default)]
pub(super) struct UnderWay(Arc<watch::Sender<usize>>);

/// A request under way, until this is dropped.
#[derive(Debug)]
pub(super) struct Begun(UnderWay);

impl UnderWay {
    pub(super) fn begin(&self) -> Begun {
        self.0.send_modify(|count| *count += 1);
        Begun(self.clone())
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        self.0.0.send_modify(|count| *count -= 1);
    }
}

impl Begun {
    /// The same body, with whose end the request is over.
    pub(super) fn until_end_of(self, body: Body) -> impl HttpBody<Data = Bytes, Error = Error> {
        Answer { body, _begun: self }
    }
}

/// Ends once no request was under way for so long.
pub(super) fn rested(under_way: &UnderWay, rest: Duration) -> impl Future<Output = ()> + use<> {
    let mut counts = under_way.0.subscribe();
    async move {
        loop {
            let rests = *counts.borrow_and_update() == 0;
            // A request that begins and ends in between is a change too.
            let changed = counts.changed();
            let changed = if rests { timeout(rest, changed).await } else { Ok(changed.await) };
            if !matches!(changed, Ok(Ok(()))) {
                return;
            }
        }
    }
}

struct Answer {
    body: Body,
    _begun: Begun,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::body::{Body, to_bytes};
    use tokio::time::{Instant, sleep};

    use super::{UnderWay, rested};

    const REST: Duration = Duration::from_millis(500);
    const STEP: Duration = Duration::from_millis(50);

    #[tokio::test]
    async fn a_connection_has_rested_when_nothing_was_under_way_for_long_enough() {
        let (under_way, start) = (UnderWay::default(), Instant::now());
        let rested = rested(&under_way, REST);
        let requests = async {
            sleep(STEP).await;
            let (long, short) = (under_way.begin(), under_way.begin());
            drop(short);
            sleep(REST * 2).await;
            drop(long);
            sleep(STEP).await;
            // It begins and ends before anybody looks.
            drop(under_way.begin());
        };
        tokio::join!(rested, requests);
        assert!(start.elapsed() >= STEP * 2 + REST * 3, "{:?}", start.elapsed());
    }

    #[tokio::test]
    async fn a_request_is_over_with_its_answers_body() {
        let under_way = UnderWay::default();
        let body = under_way.begin().until_end_of(Body::from("answer"));
        assert_eq!(*under_way.0.borrow(), 1);
        assert_eq!(to_bytes(Body::new(body), 100).await.expect("a body"), "answer");
        assert_eq!(*under_way.0.borrow(), 0);
    }
}
