//! A transfer whose client has answered: a thread of its own, which sends, waits for the answer, and sends again.
//!
//! In lock-step a transfer is nothing but small packets to and fro, so what counts is how cheaply an answer leads to the
//! next packet. Here a block is two system calls, `recv` and `send`, and a wake-up on the processor on which the
//! client's packets arrive. What else was tried, and the figures of all: docs/adr/0005.

use std::{
    io,
    net::{Shutdown, UdpSocket},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    unistd::Pid,
};
use socket2::SockRef;
use tokio_util::{sync::CancellationToken, task::task_tracker::TaskTrackerToken};

use super::{
    admission::PACE_ANSWERS,
    packet::{self, REPLY_BYTES_MAX},
    segments::SegmentSender,
    socket::{Asker, Outcome, Place, report},
    transfer::{Action, Transfer},
};

/// Stack of a transfer's thread: some times what sending a window and a line of the log need. Only what is used takes
/// memory.
const STACK_BYTES: usize = 256 << 10;

/// How much later than at its deadline a repetition may leave. Within that, the socket's time-out is left as it is, so
/// that setting it is not a third system call for each block.
const LATE_MAX: Duration = Duration::from_millis(50);

/// What ends a transfer from outside.
#[derive(Debug)]
pub(super) enum Ender {
    /// A task, which has not heard of its client yet.
    Task(CancellationToken),
    /// A thread, which waits for this socket.
    Thread(Arc<UdpSocket>),
}

impl Ender {
    pub(super) fn end(self) {
        match self {
            Self::Task(token) => token.cancel(),
            Self::Thread(socket) => {
                // Wakes whoever waits in it. It fails only where there is nobody any more.
                let _nobody_waits = SockRef::from(&*socket).shutdown(Shutdown::Both);
            }
        }
    }
}

/// A transfer, and what its thread needs.
pub(super) struct Delivery {
    pub(super) asker: Asker,
    pub(super) place: Place,
    pub(super) begun: Instant,
    pub(super) socket: UdpSocket,
    pub(super) transfer: Transfer,
    /// What the client's first answer led to.
    pub(super) action: Action,
    /// Tells the server that the thread has ended.
    pub(super) alive: TaskTrackerToken,
}

impl Delivery {
    /// Goes on in a thread.
    pub(super) fn start(self) -> io::Result<()> {
        self.socket.set_nonblocking(false)?;
        thread::Builder::new().name("tftp".into()).stack_size(STACK_BYTES).spawn(move || self.run())?;
        Ok(())
    }

    fn run(self) {
        let Self { asker, place, begun, socket, transfer, action, alive } = self;
        let socket = Arc::new(socket);
        if let Err(error) = move_to_packets(&socket) {
            tracing::debug!(tftp.peer = %asker.peer, %error, "moving a thread to its client's packets");
        }
        // From here on, whoever takes the place also shuts the socket; whoever took it before has left no place.
        let outcome = if place.hand_over(Ender::Thread(Arc::clone(&socket))) {
            let sender = SegmentSender::default();
            Turns { asker: &asker, place: &place, socket: &socket, transfer, sender, time_out: None }
                .run(action)
        } else {
            Ok(Outcome::GaveWay)
        };
        report(&asker, begun, outcome);
        drop((place, alive));
    }
}

/// The client's turn, our turn, and so on.
struct Turns<'a> {
    asker: &'a Asker,
    place: &'a Place,
    socket: &'a UdpSocket,
    transfer: Transfer,
    sender: SegmentSender,
    /// How long the socket waits in `recv`.
    time_out: Option<Duration>,
}

impl Turns<'_> {
    fn run(mut self, mut action: Action) -> io::Result<Outcome> {
        let mut paced = self.transfer.answers() + PACE_ANSWERS;
        let mut now = Instant::now();
        loop {
            match self.perform(action) {
                Ok(None) => {}
                Ok(Some(outcome)) => return Ok(outcome),
                Err(error) if is_gone(&error) => return Ok(Outcome::Gone),
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(Outcome::GaveWay),
                // A full queue or a route that is missing for a moment is a lost packet like any other.
                Err(error) => tracing::debug!(tftp.peer = %self.asker.peer, %error, "sending a TFTP packet"),
            }
            self.set_time_out(self.transfer.deadline().saturating_duration_since(now))?;
            let mut buffer = [0; REPLY_BYTES_MAX];
            let received = self.socket.recv(&mut buffer);
            now = Instant::now();
            action = match received {
                // Either the socket was shut, or the client sent a packet without content.
                Ok(0) if !self.place.is_booked() => return Ok(Outcome::GaveWay),
                Ok(length) => match packet::parse_reply(&buffer[..length]) {
                    Some(reply) => self.transfer.on_reply(reply, now),
                    None => Action::Wait,
                },
                Err(error) if is_gone(&error) => return Ok(Outcome::Gone),
                Err(error) if is_pause(&error) => Action::Wait,
                Err(error) => return Err(error),
            };
            // Also after a packet that leads to nothing: a client that sends only such is silent.
            if action == Action::Wait {
                action = self.transfer.on_time(now);
            }
            if self.transfer.answers() >= paced {
                paced += PACE_ANSWERS;
                self.place.hear(now);
            }
        }
    }

    fn perform(&mut self, action: Action) -> io::Result<Option<Outcome>> {
        match action {
            Action::Wait => {}
            Action::End(end) => return Ok(Some(Outcome::Ended(end))),
            Action::SendOptions => {
                let agreed = &self.transfer.terms().answered;
                self.socket.send(&packet::emit_options_ack(agreed, self.transfer.file_bytes()))?;
            }
            Action::SendBlocks { first, last } => {
                self.sender.send(self.socket, &self.transfer, first, last)?;
            }
        }
        Ok(None)
    }

    /// Has the socket wait until the deadline, or up to [`LATE_MAX`] longer.
    fn set_time_out(&mut self, left: Duration) -> io::Result<()> {
        if self.time_out.is_some_and(|set| (left..=left + LATE_MAX).contains(&set)) {
            return Ok(());
        }
        // Zero would be for ever.
        let time_out = left.max(Duration::from_millis(1));
        self.socket.set_read_timeout(Some(time_out))?;
        self.time_out = Some(time_out);
        Ok(())
    }
}

/// Moves this thread to the processor on which the client's packets arrive, where the scheduler then leaves it as long as
/// nothing speaks against it. Started elsewhere it stays elsewhere, and every packet is a wake-up from one processor to
/// another: that was half as much again of the processor time of a block.
fn move_to_packets(socket: &UdpSocket) -> io::Result<()> {
    let this_thread = Pid::from_raw(0);
    let allowed = sched_getaffinity(this_thread)?;
    let processor = SockRef::from(socket).cpu_affinity()?;
    if !allowed.is_set(processor)? {
        return Ok(());
    }
    let mut there = CpuSet::new();
    there.set(processor)?;
    sched_setaffinity(this_thread, &there)?;
    sched_setaffinity(this_thread, &allowed)?;
    Ok(())
}

/// The client's port is closed.
pub(super) fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::ConnectionRefused
}

/// The time is up, or a packet was dropped because its checksum was wrong.
fn is_pause(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}
