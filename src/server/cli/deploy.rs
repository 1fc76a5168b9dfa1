//! `mimeo capture` and `mimeo deploy`: what would happen, the questions, and then the request.

use mimeo_core::messages::DiskPin;
use serde_json::Value;

use super::{
    CaptureOptions, DeployOptions, Output,
    ask::{Person, several_disks},
    connection::{Connection, understand},
    failure::CliError,
    follow,
    screen::{print, print_aside, print_json},
    sessions::line,
    words::Words,
};
use crate::api::{
    masters::WarningView,
    sessions::{AnswerRequest, DiskPreview, SessionPreview, SessionRequest, SessionView},
};

/// What is asked for, and the answer to the question that comes of it.
struct Order {
    request: SessionRequest,
    /// The disk that a person chose among several. It may have no name that a request could give.
    chosen: Option<DiskPin>,
}

pub(super) async fn capture(
    connection: &Connection,
    options: CaptureOptions,
    out: Output,
) -> Result<(), CliError> {
    let CaptureOptions { computer, name, disk, tolerate_bad_sectors, wait } = options;
    let request = |shown| SessionRequest::Capture {
        computer: computer.clone(),
        master: name.clone(),
        disk: disk.clone(),
        shown,
        tolerate_bad_sectors,
    };
    let mut order = Order { request: request(None), chosen: None };
    let mut person = Person::at_terminal(out.words);
    // Where nobody can be asked, the session itself waits with the question: nothing is lost by a capture.
    if person.is_there() {
        let preview = look(connection, &order.request).await?;
        if preview.disks.len() > 1 {
            let chosen = Some(person.which_disk(&preview)?);
            order = Order { request: request(Some(preview.shown)), chosen };
        }
    }
    request_all(connection, &[order], wait, out).await
}

pub(super) async fn deploy(
    connection: &Connection,
    options: DeployOptions,
    out: Output,
) -> Result<(), CliError> {
    let DeployOptions { master, computers, disk: rule, yes, no_verify, wait } = options;
    let verify = !no_verify;
    let mut person = Person::at_terminal(out.words);
    let mut previews = Vec::new();
    // All are looked at before the first is asked for: a name typed wrongly must not leave half a classroom.
    for computer in computers {
        let (master, disk) = (master.clone(), rule.clone());
        let request = SessionRequest::Deploy { computer, master, disk, shown: None, verify };
        let preview = look(connection, &request).await?;
        let chosen = match &preview.disks[..] {
            [_] => None,
            [_, _, ..] if person.is_there() => Some(person.which_disk(&preview)?),
            _ => return Err(CliError::Refused(several_disks(out.words, &preview))),
        };
        previews.push((preview, chosen));
    }
    // All of them get the same version.
    if let Some((preview, _)) = previews.first() {
        to_know(out.words, preview).iter().for_each(|sentence| print_aside(sentence));
    }
    if !yes {
        person.confirm(&previews.iter().flat_map(erased).collect::<Vec<_>>())?;
    }
    let order = |(preview, chosen)| order(preview, chosen, rule.as_deref(), verify);
    let orders: Vec<Order> = previews.into_iter().map(order).collect();
    request_all(connection, &orders, wait, out).await
}

async fn look(connection: &Connection, request: &SessionRequest) -> Result<SessionPreview, CliError> {
    understand(&connection.post("/sessions/preview", request).await?)
}

/// What whoever deploys a version has to know before they say yes, a sentence each.
fn to_know(words: Words, preview: &SessionPreview) -> Vec<String> {
    let version = preview.version.map_or_else(String::new, |version| format!("@{version}"));
    let version = format!("{}{version}", preview.master);
    let warning = |warned: &WarningView| {
        let values = [("versions", &*version), ("warning", &*words.warning(&warned.warning))];
        words.say_with("masters-warning", &values)
    };
    let warnings = preview.warnings.iter().map(warning);
    warnings.chain(words.unread(&version, preview.unread_sectors, preview.unread_bytes)).collect()
}

/// The disks that a deploy erases: the chosen one, or the only one.
fn erased(
    (preview, chosen): &(SessionPreview, Option<DiskPin>),
) -> impl Iterator<Item = (String, &DiskPreview)> {
    let meant = preview.disks.iter().filter(|disk| chosen.as_ref().is_none_or(|chosen| *chosen == disk.pin));
    meant.map(|disk| (preview.computer_name.clone(), disk))
}

/// What is asked for is what was shown: this version, this disk and what stands on it.
fn order(preview: SessionPreview, chosen: Option<DiskPin>, rule: Option<&str>, verify: bool) -> Order {
    let version = preview.version.map_or_else(String::new, |version| format!("@{version}"));
    let disk = match (&chosen, preview.disks.first()) {
        (None, Some(only)) => only.pin.serial.clone().or_else(|| only.pin.wwn.clone()),
        // The question stays open until the answer.
        _ => None,
    };
    let request = SessionRequest::Deploy {
        computer: preview.computer.to_string(),
        master: format!("{}{version}", preview.master),
        disk: disk.or_else(|| rule.map(str::to_owned)),
        shown: Some(preview.shown),
        verify,
    };
    Order { request, chosen }
}

async fn request_all(
    connection: &Connection,
    orders: &[Order],
    wait: bool,
    out: Output,
) -> Result<(), CliError> {
    let mut answers = Vec::new();
    let mut sessions: Vec<SessionView> = Vec::new();
    for order in orders {
        match request_one(connection, order).await {
            Ok((answer, session)) => {
                sessions.push(session);
                answers.push(answer);
            }
            Err(error) => {
                // What was asked for before stands, and whoever asked must know.
                say(answers, &sessions, out);
                return Err(error);
            }
        }
    }
    if wait {
        let ids: Vec<_> = sessions.iter().map(|session| session.id).collect();
        return follow::wait(connection, &ids, out).await;
    }
    say(answers, &sessions, out);
    Ok(())
}

/// The session, and as it came. Where a disk was chosen, the session's question is answered at once; until then
/// nothing is read or written.
async fn request_one(connection: &Connection, order: &Order) -> Result<(Value, SessionView), CliError> {
    let mut answer = connection.post("/sessions", &order.request).await?;
    let mut session: SessionView = understand(&answer)?;
    if let Some(disk) = &order.chosen {
        let path = format!("/sessions/{}/answer", session.id);
        answer = connection.post(&path, &AnswerRequest { disk: disk.clone() }).await?;
        session = understand(&answer)?;
    }
    Ok((answer, session))
}

fn say(answers: Vec<Value>, sessions: &[SessionView], out: Output) {
    if out.json {
        return print_json(&Value::Array(answers));
    }
    for session in sessions {
        print(&line(out.words, session));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use mimeo_core::{
        messages::Language,
        text::{texts, warning},
    };

    use super::{erased, order, to_know};
    use crate::{
        api::sessions::{SessionPreview, SessionRequest},
        cli::words::Words,
    };

    fn preview(serials: &[Option<&str>]) -> SessionPreview {
        let disk = |serial: &Option<&str>| json!({ "kernel_name": "sda", "model": null, "serial": serial, "wwn": null, "size_bytes": 1000, "logical_sector": 512, "partitions": [] });
        let disks: Vec<_> = serials.iter().map(disk).collect();
        let preview = json!({ "kind": "deploy", "computer": 7, "computer_name": "pc-7", "master": "debian",
                              "version": 3, "shown": "00", "disks": disks });
        serde_json::from_value(preview).expect("a preview")
    }

    #[test]
    fn what_is_encrypted_or_was_not_read_is_said_before_the_question_in_both_languages() {
        let mut preview = preview(&[Some("A")]);
        assert_eq!(to_know(Words::new(Language::En), &preview), Vec::<String>::new());
        preview.warnings = serde_json::from_value(json!([
            { "warning": "luks", "partition": 2, "volume": "vg/home", "message": "" },
            { "warning": "bit_locker", "partition": 3, "message": "" },
        ]))
        .expect("warnings");
        (preview.unread_sectors, preview.unread_bytes) = (4, 2048);
        for (language, colon, place, unread) in [
            (Language::En, ":", "Partition 2, volume vg/home", "debian@3 lacks 4 sectors"),
            (Language::Fr, "\u{a0}:", "Partition 2, volume vg/home", "Il manque à debian@3 4 secteurs"),
        ] {
            let said = to_know(Words::new(language), &preview);
            assert_eq!(said.len(), 3, "{said:?}");
            assert!(said[0].starts_with(&format!("debian@3{colon} {place}{colon} ")), "{said:?}");
            let sentence = warning::sentence(texts(language), &preview.warnings[1].warning);
            assert!(said[1].ends_with(&sentence) && said[2].starts_with(unread), "{said:?}");
        }
    }

    #[test]
    fn the_only_disk_is_named_and_a_chosen_one_is_the_answer() {
        let of = |serials: &[Option<&str>], chosen: Option<usize>| {
            let preview = preview(serials);
            let chosen = chosen.map(|index| preview.disks[index].pin.clone());
            let shown = (preview, chosen);
            let erased: Vec<_> = erased(&shown).map(|(_, disk)| disk.pin.serial.clone()).collect();
            let order = order(shown.0, shown.1, None, false);
            let SessionRequest::Deploy { computer, master, disk, shown, verify: false } = order.request
            else {
                panic!("a deploy")
            };
            assert_eq!((&*computer, &*master, shown.is_some()), ("7", "debian@3", true));
            (disk, order.chosen.map(|pin| pin.serial), erased)
        };
        let named = |serial: &str| Some(serial.to_owned());
        assert_eq!(of(&[Some("A")], None), (named("A"), None, vec![named("A")]));
        assert_eq!(of(&[None], None), (None, None, vec![None]));
        assert_eq!(of(&[Some("A"), None], Some(1)), (None, Some(None), vec![None]));
        assert_eq!(of(&[Some("A"), None], Some(0)), (None, Some(named("A")), vec![named("A")]));
    }
}
