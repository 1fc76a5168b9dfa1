//! `mimeo notices`: what keeps machines from booting. It stands above the list of computers too.

use super::{
    Output,
    connection::{Connection, understand},
    failure::CliError,
    screen::{plain, print, print_aside, print_json},
    words::Words,
};
use crate::{api::notices::NoticeView, boot::dhcp::sentences, clock::Timestamp};

/// How many stand above the computers, the latest: the others' reason is the same.
const SHOWN_ABOVE: usize = 10;

pub(super) async fn list(connection: &Connection, out: Output) -> Result<(), CliError> {
    let answer = connection.get("/notices").await?;
    if out.json {
        print_json(&answer);
        return Ok(());
    }
    let notices: Vec<NoticeView> = understand(&answer)?;
    let now = Timestamp::now();
    let lines: Vec<String> = notices.iter().map(|notice| line(out.words, notice, now)).collect();
    match lines[..] {
        [] => print(&out.words.say("none-notices")),
        _ => print(&lines.join("\n")),
    }
    Ok(())
}

/// Says the latest beside the answer, where a list that a program reads stays a list.
pub(super) async fn say_aside(connection: &Connection, words: Words) -> Result<(), CliError> {
    let now = Timestamp::now();
    let known = match ask(connection).await {
        // A server of before, over the network: it knows of none.
        Err(CliError::Api(body)) if body.error == "not_found" => return Ok(()),
        known => known?,
    };
    for notice in known.iter().take(SHOWN_ABOVE) {
        print_aside(&line(words, notice, now));
    }
    Ok(())
}

/// What the server knows to keep machines from booting.
pub(crate) async fn ask(connection: &Connection) -> Result<Vec<NoticeView>, CliError> {
    understand(&connection.get("/notices").await?)
}

fn line(words: Words, notice: &NoticeView, now: Timestamp) -> String {
    format!("! {} ({})", sentence(words, notice), words.ago(notice.seen, now))
}

/// What keeps a machine from booting, and what to do about it.
pub(crate) fn sentence(words: Words, notice: &NoticeView) -> String {
    plain(&sentences::notice(words.shared(), &notice.notice))
}
