//! What happens, as it happens: a stream of server-sent events.

use std::{convert::Infallible, time::Duration};

use axum::{
    Router,
    extract::State,
    response::{
        IntoResponse,
        sse::{Event as SseEvent, KeepAlive, Sse},
    },
    routing::get,
};
use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio_stream::wrappers::{BroadcastStream, errors::BroadcastStreamRecvError};

use super::extract::Administrator;
use crate::{app::App, events::Event};

/// A silent stream says this often that it lives: proxies and browsers give up after half a minute or more.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(15);

/// A stream ends after this long and browsers open it again by themselves: a login that has ended does not go on
/// listening for longer.
const STREAM_LASTS: Duration = Duration::from_secs(30 * 60);

pub fn router() -> Router<App> {
    Router::new().route("/events", get(stream))
}

/// Each event has its name as type and its facts as JSON. A listener who was too slow and lost some gets `reload`.
async fn stream(State(app): State<App>, _: Administrator) -> impl IntoResponse {
    let stopping = app.stopping.clone().cancelled_owned();
    let events = BroadcastStream::new(app.services.events.listen())
        .map(|event| Ok::<_, Infallible>(sse(event)))
        .take_until(stopping)
        .take_until(tokio::time::sleep(STREAM_LASTS));
    Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT_EVERY).text("heartbeat"))
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
