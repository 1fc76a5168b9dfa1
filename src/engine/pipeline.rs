//! A bounded, ordered pipeline on plain threads: jobs are made one after the other, worked on by several
//! threads, and their results taken in the order in which the jobs were made.
//!
//! ```text
//! jobs (one thread: reads the disk) ─▶ work (several: hash, compress, ask the server) ─▶ sink (the caller: writes)
//! ```
//!
//! So a disk is read and written in one direction, however the answers of the server overtake each other, and no
//! more than a window of jobs is ever in memory.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
};

/// How wide the pipeline is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Width {
    pub(crate) workers: usize,
    /// Most jobs that are made and not yet taken by the sink. One batch of content lives in each.
    pub(crate) window: usize,
}

/// Fewer threads than this leave the line idle while each of them waits for the server.
const WORKERS_MIN: usize = 4;
/// More do not help: eight cores seal 3 GB/s, and each holds a batch of up to 8 MiB twice.
const WORKERS_MAX: usize = 8;
/// Jobs that wait for a worker or for the sink, beyond those worked on: the sink takes them in order, and where the first
/// is late there is work for everybody else meanwhile.
const WINDOW_SPARE: usize = 6;

impl Width {
    pub(crate) fn of_this_computer() -> Self {
        let cores = thread::available_parallelism().map_or(WORKERS_MIN, usize::from);
        let workers = cores.clamp(WORKERS_MIN, WORKERS_MAX);
        Self { workers, window: workers + WINDOW_SPARE }
    }
}

type Reply<R, E> = SyncSender<Result<R, E>>;

/// Runs all jobs. The first error, in the order of the jobs, ends it: no further job is begun, and those that are
/// being worked on are waited for and dropped.
pub(crate) fn run<J: Send, R: Send, E: Send>(
    width: Width,
    jobs: impl Iterator<Item = Result<J, E>> + Send,
    work: impl Fn(J) -> Result<R, E> + Sync,
    mut sink: impl FnMut(R) -> Result<(), E>,
) -> Result<(), E> {
    let abandoned = AtomicBool::new(false);
    let (job_sender, job_receiver) = sync_channel::<(J, Reply<R, E>)>(1);
    let (result_sender, result_receiver) = sync_channel::<Receiver<Result<R, E>>>(width.window);
    let job_receiver = Mutex::new(job_receiver);
    thread::scope(|scope| {
        for _ in 0..width.workers {
            scope.spawn(|| {
                // The lock is held while waiting: the others would only wait for the same job.
                let next = || job_receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
                while let Ok((job, reply)) = next() {
                    if !abandoned.load(Ordering::Relaxed) {
                        // The sink may have ended; then nobody wants the result.
                        reply.send(work(job)).unwrap_or_default();
                    }
                }
            });
        }
        scope.spawn(|| make_jobs(jobs, job_sender, result_sender, &abandoned));
        let outcome = result_receiver.into_iter().try_for_each(|result| match result.recv() {
            Ok(result) => sink(result?),
            // The worker panicked: the scope passes its panic on as soon as this ends.
            Err(_) => Ok(()),
        });
        abandoned.store(true, Ordering::Relaxed);
        outcome
    })
}

/// Makes jobs until there are none, one fails, or nobody wants more.
fn make_jobs<J, R, E>(
    jobs: impl Iterator<Item = Result<J, E>>,
    job_sender: SyncSender<(J, Reply<R, E>)>,
    result_sender: SyncSender<Receiver<Result<R, E>>>,
    abandoned: &AtomicBool,
) {
    for job in jobs {
        let (reply, result) = sync_channel(1);
        let wanted = result_sender.send(result).is_ok();
        match job {
            Ok(job) if wanted && !abandoned.load(Ordering::Relaxed) => {
                if job_sender.send((job, reply)).is_err() {
                    return;
                }
            }
            Ok(_) => return,
            Err(error) => return reply.send(Err(error)).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use proptest::prelude::{any, prop, proptest};

    use super::{Width, run};

    const WIDTH: Width = Width { workers: 3, window: 5 };

    #[test]
    fn no_more_jobs_are_made_than_the_window_holds() {
        let (made, taken) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let jobs = (0..200).map(|job| {
            let ahead = made.fetch_add(1, Ordering::SeqCst) + 1 - taken.load(Ordering::SeqCst);
            // One is with the sink and one is waiting to enter the window.
            assert!(ahead <= WIDTH.window + 2, "{ahead} jobs at once");
            Ok::<usize, ()>(job)
        });
        let sink = |_| {
            taken.fetch_add(1, Ordering::SeqCst);
            Ok(())
        };
        assert_eq!(run(WIDTH, jobs, Ok, sink), Ok(()));
        assert_eq!(taken.into_inner(), 200);
    }

    proptest! {
        #[test]
        fn results_come_in_order_up_to_the_first_error(jobs in prop::collection::vec((any::<u8>(), 0..40u8), 0..60)) {
            // A job whose second number is 0 fails when made, 1 when worked on, 2 when taken.
            let expected: Vec<u8> =
                jobs.iter().take_while(|(_, fate)| *fate > 2).map(|(job, _)| *job).collect();
            let first_failure = jobs.iter().find(|(_, fate)| *fate <= 2).copied();
            let mut taken = vec![];
            let outcome = run(
                WIDTH,
                jobs.iter().map(|&job| if job.1 == 0 { Err(job) } else { Ok(job) }),
                |job| if job.1 == 1 { Err(job) } else { Ok(job) },
                |job| {
                    if job.1 == 2 {
                        return Err(job);
                    }
                    taken.push(job.0);
                    Ok(())
                },
            );
            assert_eq!(taken, expected);
            assert_eq!(outcome.err(), first_failure);
        }
    }
}
