//! The client's whole life once it reaches the server: say hello, then do what is ordered until told to leave.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use mimeo_core::{
    ids::SessionId,
    machine::{DiskReport, MachineReport},
    messages::{DiskPin, Hello, Orders, PROTOCOL_VERSION, Welcome},
};
use mimeo_engine::{
    Ending, Order,
    board::Board,
    disk::probe::DiskProbe,
    link::{Patience, ServerError, SessionServer},
};

use crate::{
    boot::{cmdline::BootOrders, power::Leave},
    console::{
        journal::Journal,
        question::Question,
        screen::{Screen, Status, Step, Work},
        trouble::Trouble,
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

/// Pauses between two tries to reach a server that does not answer: the first is short, each further one twice as
/// long, up to the last. A room that waits for one server must not keep it busy with knocking.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(8);

/// Talks with the server until it says how to leave.
pub fn converse(
    server: &Server,
    boot: &BootOrders,
    report: MachineReport,
    probe: &dyn DiskProbe,
    screen: &Screen,
    journal: &Journal,
) -> Result<Leave, Trouble> {
    screen.show(Status::Starting(Step::Hello));
    let disks = report.disks.clone();
    let hello = Hello { protocol: PROTOCOL_VERSION, token: boot.token.clone(), report };
    let welcome = persist(boot.server, || server.hello(&hello))?;
    screen.introduce(welcome.language, &welcome.computer_name);
    tracing::info!(computer = %welcome.computer, name = welcome.computer_name, "the server knows this computer");
    let conversation = server.converse(welcome.credential.clone());
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let _end = SetOnDrop(&over);
        scope.spawn(|| deliver_log(&conversation, journal, &over));
        let told = Told { conversation: &conversation, server: boot.server, probe, disks: &disks, screen };
        // Told to the log while that still is brought to the server.
        told.obey(welcome).inspect_err(|trouble| tracing::error!(?trouble, "cannot go on"))
    })
}

/// Ends the threads that accompany a piece of work, however that ends.
struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Who does what is ordered.
struct Told<'a> {
    conversation: &'a Conversation,
    server: SocketAddr,
    probe: &'a dyn DiskProbe,
    /// As they were reported.
    disks: &'a [DiskReport],
    screen: &'a Screen,
}

impl Told<'_> {
    /// Does what is ordered, order by order.
    fn obey(&self, welcome: Welcome) -> Result<Leave, Trouble> {
        let mut orders = welcome.orders;
        loop {
            tracing::info!(?orders, "orders");
            orders = match orders {
                Orders::Reboot => return Ok(Leave::Reboot),
                Orders::PowerOff => return Ok(Leave::PowerOff),
                Orders::Refused(failure) => {
                    self.screen.show(Status::Failed(failure));
                    thread::sleep(SHOW_REASON_FOR);
                    self.next_orders()?
                }
                Orders::Wait => {
                    self.screen.show(Status::Waiting);
                    self.next_orders()?
                }
                Orders::Question(question) => {
                    self.screen.show(Status::Question(Question::new(question, self.disks)));
                    self.next_orders()?
                }
                Orders::Capture(order) => {
                    let work = work(true, order.master_name.clone(), order.source.clone());
                    self.run(Order::Capture(&order), order.session, work)?
                }
                Orders::Deploy(order) => {
                    let master = format!("{}@{}", order.master_name, order.version);
                    let work = work(false, master, order.target.clone());
                    self.run(Order::Deploy(&order), order.session, work)?
                }
            };
        }
    }

    fn next_orders(&self) -> Result<Orders, Trouble> {
        persist(self.server, || self.conversation.orders())
    }

    /// Runs one session and tells the server how it ended; gives back what to do next.
    fn run(&self, order: Order<'_>, session: SessionId, work: Work) -> Result<Orders, Trouble> {
        self.screen.show(Status::Working(work));
        let board = Board::default();
        let server = self.conversation.session(session);
        let over = AtomicBool::new(false);
        let ending = thread::scope(|scope| {
            let _end = SetOnDrop(&over);
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    self.screen.progress(board.standing());
                    thread::sleep(SCREEN_EVERY);
                }
            });
            mimeo_engine::run(order, &server as &dyn SessionServer, self.probe, &board, Patience::default())
        });
        match ending {
            Ending::Stopped => {
                self.screen.show(Status::Stopped);
                thread::sleep(SHOW_STOPPED_FOR);
                self.next_orders()
            }
            Ending::Over(outcome) => {
                if let Some(failure) = &outcome.failure {
                    tracing::error!(?failure, "the session failed");
                    self.screen.show(Status::Failed(failure.clone()));
                }
                let next = persist(self.server, || self.conversation.outcome(session, &outcome))?;
                if outcome.failure.is_some() {
                    thread::sleep(SHOW_REASON_FOR);
                }
                Ok(next)
            }
        }
    }
}

fn work(capture: bool, master: String, disk: DiskPin) -> Work {
    Work { capture, master, disk, standing: Board::default().standing(), phase_began: Instant::now() }
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
pub fn persist<T>(server: SocketAddr, request: impl Fn() -> Result<T, ServerError>) -> Result<T, Trouble> {
    let started = Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        match request() {
            Err(ServerError::Unreachable(reason) | ServerError::Busy(reason))
                if started.elapsed() < ORDERS_PATIENCE =>
            {
                tracing::warn!(reason, "the server does not answer, trying again");
                thread::sleep(pause);
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            answer => return answer.map_err(|error| Trouble::server(server, error)),
        }
    }
}
