//! The client's whole life once it reaches the server: say hello, then do what is ordered until told to leave.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use mimeo_core::{
    machine::MachineReport,
    messages::{Hello, Orders, PROTOCOL_VERSION, Welcome},
};

use crate::{
    boot::{cmdline::BootOrders, power::Leave},
    console::{
        journal::Journal,
        screen::{Screen, Status, Step, Work},
    },
    disk::probe::DiskProbe,
    imaging::{
        self, Ending, Order,
        board::Board,
        link::{Patience, ServerError, SessionServer},
    },
    server::{Conversation, Server},
};

/// How long a computer that cannot go on shows why, before it restarts and tries from the beginning. Long enough to
/// read a sentence and to fetch a colleague; short enough that a room heals by itself after a night without power.
pub const SHOW_REASON_FOR: Duration = Duration::from_secs(120);

/// How long a computer whose session was stopped says so, before it asks for orders and most likely restarts: whoever
/// stopped it sits elsewhere, so this is for a passer-by.
const SHOW_STOPPED_FOR: Duration = Duration::from_secs(20);

/// How often the log is brought to the server while nothing else happens, and the screen learns of progress.
const LOG_EVERY: Duration = Duration::from_secs(5);
const SCREEN_EVERY: Duration = Duration::from_millis(250);

/// How long the client asks for orders without an answer before it gives up.
const ORDERS_PATIENCE: Duration = Duration::from_secs(600);

/// Pause between two tries to reach a server that does not answer.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(2);

/// Talks with the server until it says how to leave; `Err` is the reason why that is not possible.
pub fn converse(
    server: &Server,
    boot: &BootOrders,
    report: MachineReport,
    probe: &dyn DiskProbe,
    screen: &Screen,
    journal: &Journal,
) -> Result<Leave, String> {
    screen.show(Status::Starting(Step::Hello));
    let hello = Hello { protocol: PROTOCOL_VERSION, token: boot.token.clone(), report };
    let welcome = persist(|| server.hello(&hello))?;
    screen.introduce(welcome.language, &welcome.computer_name);
    tracing::info!(computer = %welcome.computer, name = welcome.computer_name, "the server knows this computer");
    let conversation = server.converse(welcome.credential.clone());
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let _end = SetOnDrop(&over);
        scope.spawn(|| deliver_log(&conversation, journal, &over));
        obey(&conversation, welcome, probe, screen)
    })
}

/// Ends the threads that accompany a piece of work, however that ends.
struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Does what is ordered, order by order.
fn obey(
    conversation: &Conversation,
    welcome: Welcome,
    probe: &dyn DiskProbe,
    screen: &Screen,
) -> Result<Leave, String> {
    let mut orders = welcome.orders;
    loop {
        tracing::info!(?orders, "orders");
        orders = match orders {
            Orders::Reboot => return Ok(Leave::Reboot),
            Orders::PowerOff => return Ok(Leave::PowerOff),
            Orders::Wait => {
                screen.show(Status::Waiting);
                persist(|| conversation.orders())?
            }
            Orders::Question(question) => {
                screen.show(Status::Question(question.candidates));
                persist(|| conversation.orders())?
            }
            Orders::Capture(order) => {
                let work = Work {
                    capture: true,
                    master: order.master_name.clone(),
                    disk: order.source.clone(),
                    standing: Board::default().standing(),
                    phase_began: Instant::now(),
                };
                run(conversation, Order::Capture(&order), order.session, work, probe, screen)?
            }
            Orders::Deploy(order) => {
                let work = Work {
                    capture: false,
                    master: format!("{}@{}", order.master_name, order.version),
                    disk: order.target.clone(),
                    standing: Board::default().standing(),
                    phase_began: Instant::now(),
                };
                run(conversation, Order::Deploy(&order), order.session, work, probe, screen)?
            }
        };
    }
}

/// Runs one session and tells the server how it ended; gives back what to do next.
fn run(
    conversation: &Conversation,
    order: Order<'_>,
    session: mimeo_core::ids::SessionId,
    work: Work,
    probe: &dyn DiskProbe,
    screen: &Screen,
) -> Result<Orders, String> {
    screen.show(Status::Working(work));
    let board = Board::default();
    let server = conversation.session(session);
    let over = AtomicBool::new(false);
    let ending = thread::scope(|scope| {
        let _end = SetOnDrop(&over);
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                screen.progress(board.standing());
                thread::sleep(SCREEN_EVERY);
            }
        });
        imaging::run(order, &server as &dyn SessionServer, probe, &board, Patience::default())
    });
    match ending {
        Ending::Stopped => {
            screen.show(Status::Stopped);
            thread::sleep(SHOW_STOPPED_FOR);
            persist(|| conversation.orders())
        }
        Ending::Over(outcome) => {
            let next = persist(|| conversation.outcome(session, &outcome))?;
            if let Some(failure) = outcome.failure {
                screen.show(Status::Failed(failure));
                thread::sleep(SHOW_REASON_FOR);
            }
            Ok(next)
        }
    }
}

/// Brings the log to the server until the conversation is over, and what is left once more after that.
fn deliver_log(conversation: &Conversation, journal: &Journal, over: &AtomicBool) {
    loop {
        let last = over.load(Ordering::Relaxed);
        loop {
            let text = journal.take(mimeo_core::messages::LOG_BYTES_MAX);
            if text.is_empty() {
                break;
            }
            if let Err(error) = conversation.log(&text) {
                tracing::debug!(%error, "the log stays here for now");
                journal.put_back(&text);
                break;
            }
        }
        if last {
            return;
        }
        let until = Instant::now() + LOG_EVERY;
        while Instant::now() < until && !over.load(Ordering::Relaxed) {
            thread::sleep(SCREEN_EVERY);
        }
    }
}

/// Repeats a request while the server does not answer; a server that is restarted takes seconds.
fn persist<T>(request: impl Fn() -> Result<T, ServerError>) -> Result<T, String> {
    let started = Instant::now();
    loop {
        match request() {
            Err(ServerError::Unreachable(reason)) if started.elapsed() < ORDERS_PATIENCE => {
                tracing::warn!(reason, "the server does not answer, trying again");
                thread::sleep(TRY_AGAIN_AFTER);
            }
            answer => return answer.map_err(|error| error.to_string()),
        }
    }
}
