//! What keeps machines from booting now.

use axum::{Json, Router, extract::State, routing::get};
use mimeo_core::{messages::Language, text::texts};
use serde::{Deserialize, Serialize};

use super::extract::Administrator;
use crate::{
    app::App,
    boot::{dhcp::sentences, notices::Notice},
    clock::Timestamp,
};

pub fn router() -> Router<App> {
    Router::new().route("/notices", get(list))
}

/// Something that keeps machines from booting, and that a person can change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoticeView {
    #[serde(flatten)]
    pub notice: Notice,
    /// When it was last seen to be so.
    pub seen: Timestamp,
    /// A sentence for people, with what to do about it.
    pub message: String,
}

/// The latest first. Empty where every machine that was heard of boots.
async fn list(State(app): State<App>, _: Administrator) -> Json<Vec<NoticeView>> {
    let notices = app.notices.list(Timestamp::now()).into_iter();
    let view = |(notice, seen)| {
        let message = sentences::notice(texts(Language::En), &notice);
        NoticeView { notice, seen, message }
    };
    Json(notices.map(view).collect())
}

#[cfg(test)]
mod tests {
    use mimeo_core::ids::MacAddr;
    use serde_json::json;

    use super::NoticeView;
    use crate::{
        boot::{
            dhcp::{observe::Obstacle, settings::Mode},
            notices::Notice,
        },
        clock::Timestamp,
    };

    #[test]
    fn a_notice_is_told_by_its_facts_and_read_back() {
        let server = [10, 0, 0, 2].into();
        let out_of_reach = |obstacle| Notice::SecureBootOutOfReach {
            mac: MacAddr([2, 0, 0, 0, 0, 1]),
            obstacle,
            mode: Mode::Proxy,
        };
        let of_machine = |obstacle: serde_json::Value| {
            json!({ "notice": "secure_boot_out_of_reach", "mac": "02:00:00:00:00:01", "obstacle": obstacle,
                    "mode": "proxy", "seen": 5, "message": "x" })
        };
        for (notice, expect) in [
            (out_of_reach(Obstacle::NobodyHeard), of_machine(json!({ "kind": "nobody_heard" }))),
            (
                out_of_reach(Obstacle::NamesNobody { server }),
                of_machine(json!({ "kind": "names_nobody", "server": "10.0.0.2" })),
            ),
            (
                out_of_reach(Obstacle::NamesAnother { server, next_server: [10, 0, 0, 3].into() }),
                of_machine(
                    json!({ "kind": "names_another", "server": "10.0.0.2", "next_server": "10.0.0.3" }),
                ),
            ),
            (
                Notice::PoolExhausted { addresses: 4 },
                json!({ "notice": "pool_exhausted", "addresses": 4, "seen": 5, "message": "x" }),
            ),
        ] {
            let view = NoticeView { notice, seen: Timestamp(5), message: "x".into() };
            assert_eq!(serde_json::to_value(&view).expect("it has a form"), expect);
            assert_eq!(serde_json::from_value::<NoticeView>(expect).expect("it is one"), view);
        }
    }
}
