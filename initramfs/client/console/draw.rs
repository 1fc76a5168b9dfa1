//! Puts the screen's content on a terminal of any size: a title, what is happening, a bar, what to know.

use std::time::{Duration, Instant};

use mimeo_core::{
    messages::Language,
    text::{Texts, failure, size, texts},
};
use ratatui::{
    Frame,
    layout::{Constraint, Layout, Margin, Rect},
    style::{Color, Modifier, Style},
    text::{Line, Text},
    widgets::{Block, BorderType, Gauge, Paragraph, Wrap},
};

use super::{
    screen::{Shown, Status, Step, Work},
    trouble::{self, Trouble},
};
use crate::network::Progress;

/// A silence as short as this is a busy server; a longer one is told.
const SILENCE_TOLD_AFTER: Duration = Duration::from_secs(5);

/// What little is said in one language before the server named one.
const LANGUAGE_DEFAULT: Language = Language::Fr;

/// Draws everything anew.
pub fn draw(frame: &mut Frame, shown: &Shown, now: Instant) {
    let texts = texts(shown.language.unwrap_or(LANGUAGE_DEFAULT));
    let title = match &shown.computer_name {
        Some(name) => format!(" Mimeo · {name} "),
        None => " Mimeo ".to_owned(),
    };
    let block = Block::bordered()
        .border_type(BorderType::Plain)
        .title(Line::styled(title, Style::new().add_modifier(Modifier::BOLD)))
        .title_bottom(Line::raw(format!(" {} ", shown.server)).right_aligned());
    let inside = block.inner(frame.area()).inner(Margin { horizontal: 2, vertical: 1 });
    frame.render_widget(block, frame.area());
    let [inside, notice] = Layout::vertical([Constraint::Fill(1), Constraint::Length(2)]).areas(inside);
    match &shown.status {
        Status::Working(work) => draw_work(frame, texts, work, inside, now),
        Status::Question(question) => {
            let text = question.text(texts, &page(&shown.server), inside.width.into());
            frame.render_widget(paragraph(text), inside);
        }
        status => frame.render_widget(paragraph(text(texts, shown, status)), inside),
    }
    if let Some(silence) = silence(texts, shown, now) {
        frame.render_widget(paragraph(Text::from(alarm(silence))), notice);
    }
}

fn draw_work(frame: &mut Frame, texts: &Texts, work: &Work, inside: Rect, now: Instant) {
    let [head, bar, figures] =
        Layout::vertical([Constraint::Length(5), Constraint::Length(1), Constraint::Fill(1)]).areas(inside);
    frame.render_widget(paragraph(work_head(texts, work)), head);
    let percent = format!("{:.0} %", work.ratio() * 100.0);
    let gauge = Gauge::default().ratio(work.ratio()).label(percent).gauge_style(Style::new().fg(Color::Cyan));
    frame.render_widget(gauge, bar);
    frame.render_widget(paragraph(work_figures(texts, work, now)), figures);
}

/// That the server does not answer, and for how long, where that is so and nothing worse is on the screen.
fn silence(texts: &Texts, shown: &Shown, now: Instant) -> Option<String> {
    if matches!(shown.status, Status::Stuck { .. } | Status::Leaving { .. }) {
        return None;
    }
    let silence = now.saturating_duration_since(shown.contact.lost_since()?);
    let told = || texts.say_with("console-silence", &[("time", &size::duration(silence))]);
    (silence >= SILENCE_TOLD_AFTER).then(told)
}

fn paragraph(text: Text<'_>) -> Paragraph<'_> {
    Paragraph::new(text).wrap(Wrap { trim: false })
}

/// Where a browser finds Mimeo's page: where the client finds the server.
fn page(server: &str) -> String {
    const HTTPS_PORT: &str = ":443";
    format!("https://{}", server.strip_suffix(HTTPS_PORT).unwrap_or(server))
}

/// What is one piece of text, whatever the size of the screen.
fn text<'a>(texts: &Texts, shown: &Shown, status: &Status) -> Text<'a> {
    match status {
        Status::Starting(step) => Text::raw(starting(texts, step)),
        Status::Waiting => Text::from(vec![
            strong(texts.say("console-waiting")),
            Line::raw(texts.say_with("console-waiting-hint", &[("page", &page(&shown.server))])),
        ]),
        Status::Question(_) | Status::Working(_) => Text::default(),
        Status::Failed(failed) => Text::from(vec![
            alarm(texts.say_with("console-failed", &[("phase", &failure::phase(texts, failed.phase))])),
            Line::default(),
            Line::raw(failure::sentence(texts, &failed.cause)),
        ]),
        Status::Stopped => Text::from(vec![
            alarm(texts.say("console-stopped")),
            Line::default(),
            Line::raw(texts.say("console-stopped-hint")),
        ]),
        Status::Stuck { trouble, restart_in } => stuck(shown.language, trouble, *restart_in),
        Status::Leaving { power_off: true } => Text::raw(texts.say("console-power-off")),
        Status::Leaving { power_off: false } => Text::raw(texts.say("console-reboot")),
    }
}

/// Nobody may know which language is meant yet, and here it matters: then both are shown.
fn stuck<'a>(language: Option<Language>, trouble: &Trouble, restart_in: Duration) -> Text<'a> {
    let languages = match language {
        Some(language) => vec![language],
        None => vec![Language::Fr, Language::En],
    };
    let mut lines = Vec::new();
    for language in languages {
        let texts = texts(language);
        lines.push(alarm(texts.say("console-stuck")));
        lines.push(Line::raw(trouble::sentence(texts, trouble)));
        lines
            .push(Line::raw(texts.say_with("console-restarts-in", &[("time", &size::duration(restart_in))])));
        lines.push(Line::default());
    }
    Text::from(lines)
}

fn starting(texts: &Texts, step: &Step) -> String {
    match step {
        Step::Drivers => texts.say("console-drivers"),
        Step::Network(Progress::NoCard) => texts.say("console-no-card"),
        Step::Network(Progress::NoLink(cards)) => texts.say_with("console-no-link", &[("cards", cards)]),
        Step::Network(Progress::Asking(cards)) => texts.say_with("console-network", &[("card", cards)]),
        Step::Network(Progress::Reaching { card, address }) => {
            texts.say_with("console-reaching", &[("card", card), ("address", &address.to_string())])
        }
        Step::Payload => texts.say("console-payload"),
        Step::Inventory => texts.say("console-inventory"),
        Step::Hello => texts.say("console-hello"),
    }
}

fn work_head<'a>(texts: &Texts, work: &Work) -> Text<'a> {
    let key = if work.capture { "console-capture" } else { "console-deploy" };
    let disk_key = if work.capture { "console-source" } else { "console-target" };
    Text::from(vec![
        strong(texts.say_with(key, &[("master", &work.master)])),
        Line::raw(texts.say_with(disk_key, &[("disk", &failure::disk(texts, &work.disk))])),
        Line::default(),
        Line::raw(failure::phase(texts, work.standing.phase)),
    ])
}

fn work_figures<'a>(texts: &Texts, work: &Work, now: Instant) -> Text<'a> {
    let bytes = |count| size::bytes(texts.language(), count);
    let progress = work.standing.progress;
    let mut lines = vec![Line::raw(texts.say_with(
        "console-done",
        &[("done", &bytes(progress.done_bytes)), ("total", &bytes(progress.total_bytes))],
    ))];
    if let Some((rate, left)) = work.rate(now) {
        let rate = size::rate(texts.language(), rate);
        lines.push(Line::raw(
            texts.say_with("console-rate", &[("rate", &rate), ("left", &size::duration(left))]),
        ));
    }
    if progress.kept_bytes > 0 {
        lines.push(Line::raw(texts.say_with("console-kept", &[("kept", &bytes(progress.kept_bytes))])));
    }
    let network = [("received", bytes(progress.received_bytes)), ("sent", bytes(progress.sent_bytes))];
    lines.push(Line::raw(
        texts.say_with("console-traffic", &[("received", &network[0].1), ("sent", &network[1].1)]),
    ));
    Text::from(lines)
}

fn strong<'a>(text: String) -> Line<'a> {
    Line::styled(text, Style::new().add_modifier(Modifier::BOLD))
}

pub(super) fn alarm<'a>(text: String) -> Line<'a> {
    Line::styled(text, Style::new().fg(Color::LightRed).add_modifier(Modifier::BOLD))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use mimeo_core::{
        failure::{Failure, FailureCause},
        messages::{DiskPin, DiskUse, Heartbeat, Language, Phase, Progress},
        units::SectorSize,
    };
    use ratatui::{Terminal, backend::TestBackend};

    use super::{draw, page};
    use crate::{
        console::{
            question::tests::{deploy, question},
            screen::{Shown, Status, Work},
            trouble::Trouble,
        },
        server::contact::Contact,
    };

    fn disk() -> DiskPin {
        DiskPin {
            model: Some("Samsung SSD 980".into()),
            serial: Some("S649".into()),
            wwn: None,
            size_bytes: 500_107_862_016,
            logical_sector: SectorSize::B512,
        }
    }

    /// The text on a console of the size that every PC has.
    fn seen(language: Language, status: Status) -> String {
        let mut terminal = Terminal::new(TestBackend::new(80, 25)).expect("a test terminal");
        let shown =
            Shown { computer_name: Some("pc-17".into()), language: Some(language), ..nameless(status) };
        terminal.draw(|frame| draw(frame, &shown, Instant::now())).expect("drawn");
        terminal.backend().to_string()
    }

    /// Before the server said anything.
    fn nameless(status: Status) -> Shown {
        let server = "10.0.0.1:443".into();
        Shown { language: None, computer_name: None, server, contact: Contact::default(), status }
    }

    #[test]
    fn a_deploy_shows_what_how_far_and_which_disk() {
        let progress = Progress {
            done_bytes: 250_000_000,
            total_bytes: 1_000_000_000,
            kept_bytes: 77_000_000,
            ..Progress::default()
        };
        let work = Work {
            capture: false,
            master: "debian-12@3".into(),
            disk: disk(),
            standing: Heartbeat { phase: Phase::Write, progress },
            phase_began: Instant::now() - Duration::from_secs(10),
        };
        let seen = seen(Language::En, Status::Working(work));
        for part in [
            "pc-17",
            "debian-12@3",
            "Samsung SSD 980",
            "S649",
            "500\u{a0}GB",
            "Write",
            "25 %",
            "250\u{a0}MB",
            "left: 77\u{a0}MB",
            "MB/s",
            "30 s",
        ] {
            assert!(seen.contains(part), "{part} is missing:\n{seen}");
        }
    }

    #[test]
    fn a_failure_is_told_in_the_language_of_the_place() {
        let failure = Failure {
            phase: Phase::Prepare,
            cause: FailureCause::DiskTooSmall { needed_bytes: 2_000_000_000, actual_bytes: 1_000_000_000 },
        };
        let seen = seen(Language::Fr, Status::Failed(failure));
        assert!(seen.contains("trop petit") && seen.contains("2\u{a0}Go"), "{seen}");
    }

    #[test]
    fn a_question_says_what_for_where_to_answer_and_what_stands_on_each_disk() {
        let capture = DiskUse::Capture { master_name: "debian-12".into() };
        let english = seen(Language::En, Status::Question(question(capture, 2)));
        for part in [
            "Which one becomes the master debian-12?",
            "Answer in Mimeo's page: https://10.0.0.1/sessions/42",
            "or on the server:       mimeo answer 42 NUMBER",
            "  1  WDC WD40EFRX",
            "00000000000000000001",
            "500\u{a0}GB",
            "     1 FAT32 105\u{a0}MB EFI system partition · 2 ? 16.8\u{a0}MB · 3 NTFS 499\u{a0}GB ...",
            "00000000000000000002",
            "     no partitions seen",
        ] {
            assert!(english.contains(part), "{part} is missing:\n{english}");
        }
        let french = seen(Language::Fr, Status::Question(question(deploy(), 2)));
        for part in [
            "Sur lequel écrire le",
            "laboratoire-de-langues-2026@17",
            "sera effacé",
            "Répondez dans la page de Mimeo\u{a0}: https://10.0.0.1/sessions/42",
            "mimeo answer 42 NUMÉRO",
            "00000000000000000001",
            "aucune partition vue",
        ] {
            assert!(french.contains(part), "{part} is missing:\n{french}");
        }
    }

    #[test]
    fn a_question_about_many_disks_fits_the_screen_and_says_that_there_are_more() {
        for (language, more) in [(Language::En, "The first 4 of 7"), (Language::Fr, "Les 4 premiers sur 7")] {
            let seen = seen(language, Status::Question(question(deploy(), 7)));
            for part in ["00000000000000000001", "00000000000000000004", more] {
                assert!(seen.contains(part), "{part} is missing:\n{seen}");
            }
        }
    }

    #[test]
    fn a_page_on_another_port_is_named_with_it() {
        assert_eq!(page("10.0.0.1:443"), "https://10.0.0.1");
        assert_eq!(page("10.0.0.1:8443"), "https://10.0.0.1:8443");
    }

    #[test]
    fn nothing_shows_as_a_bare_key() {
        for status in [
            Status::Waiting,
            Status::Stopped,
            Status::Leaving { power_off: true },
            Status::Leaving { power_off: false },
        ] {
            let seen = seen(Language::Fr, status);
            assert!(!seen.contains("console-"), "{seen}");
        }
    }

    #[test]
    fn every_trouble_fits_the_screen_in_both_languages_at_once_and_says_when_it_restarts() {
        let long = || "eth0: no DHCP server gave an address within 15s; eth1: no link; ".repeat(3);
        for trouble in [
            Trouble::NotOurBoot { detail: long() },
            Trouble::NoCard,
            Trouble::NoLink { cards: "eth0, eth1".into() },
            Trouble::NoAddress { attempts: long() },
            Trouble::ServerSilent { server: "10.0.0.1:443".into(), detail: long() },
            Trouble::Payload { detail: long() },
            Trouble::Refused(FailureCause::ServerLost { detail: long() }),
            Trouble::NotLetIn { detail: long() },
            Trouble::Defect { detail: long() },
        ] {
            let mut terminal = Terminal::new(TestBackend::new(80, 25)).expect("a test terminal");
            let shown = nameless(Status::Stuck { trouble, restart_in: Duration::from_secs(90) });
            terminal.draw(|frame| draw(frame, &shown, Instant::now())).expect("drawn");
            let seen = terminal.backend().to_string();
            for part in ["Il redémarre dans 1 min 30 s", "It restarts in 1 min 30 s"] {
                assert!(seen.contains(part), "{part} is missing:\n{seen}");
            }
            assert!(!seen.contains("trouble-") && !seen.contains("{ $"), "{seen}");
        }
    }

    #[test]
    fn a_server_that_keeps_silent_is_told_whatever_else_is_shown() {
        let start = Instant::now();
        let shown = nameless(Status::Waiting);
        shown.contact.note(false, start);
        let seen_after = |seconds| {
            let mut terminal = Terminal::new(TestBackend::new(80, 25)).expect("a test terminal");
            terminal.draw(|frame| draw(frame, &shown, start + Duration::from_secs(seconds))).expect("drawn");
            terminal.backend().to_string()
        };
        assert!(!seen_after(2).contains("ne répond pas"));
        assert!(seen_after(72).contains("ne répond pas depuis 1 min 12 s"), "{}", seen_after(72));
    }

    #[test]
    fn a_terminal_of_any_size_will_do() {
        for (width, height) in [(1, 1), (10, 3), (40, 10), (200, 60)] {
            for status in [Status::Waiting, Status::Question(question(deploy(), 3))] {
                let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a test terminal");
                let shown = nameless(status);
                terminal.draw(|frame| draw(frame, &shown, Instant::now())).expect("drawn");
            }
        }
    }
}
