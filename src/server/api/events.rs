//! What happens, as it happens: a stream of server-sent events.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Extension, Router,
    extract::State,
    http::StatusCode,
    response::{
        IntoResponse,
        sse::{Event as SseEvent, KeepAlive, Sse},
    },
    routing::get,
};
use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio_stream::wrappers::{BroadcastStream, errors::BroadcastStreamRecvError};

use super::{error::ApiError, extract::Administrator};
use crate::{app::App, events::Event};

/// A silent stream says this often that it lives: proxies and browsers give up after half a minute or more.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(15);

/// A stream ends after this long and browsers open it again by themselves: a login that has ended does not go on
/// listening for longer.
const STREAM_LASTS: Duration = Duration::from_secs(30 * 60);

/// Streams at once: each open page of an administrator has one, and a script that forgets to close its own must not
/// take the sockets that clients need.
const STREAMS_MAX: usize = 128;

/// The streams that may still be opened.
#[derive(Clone)]
struct Places(Arc<Semaphore>);

pub fn router() -> Router<App> {
    let places = Places(Arc::new(Semaphore::new(STREAMS_MAX)));
    Router::new().route("/events", get(stream)).layer(Extension(places))
}

/// Each event has its name as type and its facts as JSON. A listener who was too slow and lost some gets `reload`.
async fn stream(
    State(app): State<App>,
    _: Administrator,
    Extension(places): Extension<Places>,
) -> Result<impl IntoResponse, ApiError> {
    let place = places.0.try_acquire_owned().map_err(|_| {
        let message = format!("{STREAMS_MAX} streams of events are open already: close one first");
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "too_many_streams", message)
    })?;
    let stopping = app.stopping.clone().cancelled_owned();
    let events = BroadcastStream::new(app.services.events.listen())
        .map(move |event| {
            // The place is given back with the stream.
            let _place = &place;
            Ok::<_, Infallible>(sse(event))
        })
        .take_until(stopping)
        .take_until(tokio::time::sleep(STREAM_LASTS));
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT_EVERY).text("heartbeat")))
}

fn sse(event: Result<Event, BroadcastStreamRecvError>) -> SseEvent {
    let (name, data) = match event.as_ref().map(serde_json::to_value) {
        Ok(Ok(data)) => (name_of(&data), data),
        // What cannot be told as an event can still be seen in the lists.
        Ok(Err(_)) => ("reload".to_owned(), json!({})),
        Err(BroadcastStreamRecvError::Lagged(lost)) => ("reload".to_owned(), json!({ "lost": lost })),
    };
    // JSON has no line breaks, so it is one data line.
    SseEvent::default().event(name).data(data.to_string())
}

/// The tag under which the event was written.
fn name_of(data: &Value) -> String {
    data.get("event").and_then(Value::as_str).unwrap_or("reload").to_owned()
}
