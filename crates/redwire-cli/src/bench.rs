//! `redwire bench`: puts a load on a server, and measures what its callers and this machine see of it.

mod figures;
mod pace;
mod plot;
mod report;
mod workload;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use fastrand::Rng;
use redwire::Error;

use crate::args::{self, Global};
use crate::caller::{self, Caller, Spawned};
use crate::connect;
use crate::interrupt::interrupted;
use crate::output::{Failure, Output, Verdict};
use crate::progress::Progress;
use figures::Figures;
use pace::Pace;
use report::Report;
use workload::Workload;

/// How long it goes on where nothing else is said.
const TIME: Duration = Duration::from_secs(10);

/// Between two looks at how far it has come.
const TICK: Duration = Duration::from_millis(100);

/// After a call that failed, a task waits so long: a server that is gone is not to be stormed.
const PAUSE: Duration = Duration::from_millis(10);

pub(crate) async fn run(global: &Global, bench: &args::Bench, output: &Output) -> Result<Verdict, Failure> {
    let config = connect::config(global, connect::only_url(global)?)?;
    // A blocking client has a connection for each task that calls.
    let callers = usize::from(bench.tasks.div_ceil(bench.connections)) + 1;
    let config = config.to_builder().max_connections(callers).build().map_err(Error::from)?;
    let place = connect::place(&config);
    let mut clients = Vec::new();
    for _ in 0..bench.connections {
        clients.push(Caller::lazy(config.clone(), global.blocking).await?);
    }
    let Some(first) = clients.first() else { return Err(Failure::new("bench", "there is no client")) };
    let workload = Arc::new(Workload::new(bench));
    if let Err(error) = workload.prepare(first).await {
        // Some keys may be there already.
        let _ = workload.clean(first).await;
        let advice = "`redwire doctor` tells what is wrong";
        return Err(Failure::new(&format!("filling the keys at {place}"), format_args!("{error}; {advice}")));
    }
    let measured = measure(&clients, &workload, bench, output).await;
    if let Err(error) = workload.clean(first).await {
        output.note(format_args!("keys that begin with {:?} could not be deleted: {error}", bench.prefix));
    }
    let Measured { figures, seconds, cpu, never_begun } = measured?;
    let report = Report {
        place,
        blocking: global.blocking,
        bench,
        workload: &workload,
        figures: &figures,
        seconds,
        cpu,
        never_begun,
    };
    report.write(output)
}

/// What came of the calls.
struct Measured {
    figures: Figures,
    seconds: f64,
    /// The processor time of this program.
    cpu: Duration,
    /// Calls whose time had come, and that were not made.
    never_begun: u64,
}

/// Has the tasks call until it is over.
async fn measure(
    clients: &[Caller],
    workload: &Arc<Workload>,
    bench: &args::Bench,
    output: &Output,
) -> Result<Measured, Failure> {
    // Heard from the first call on: what that has written is to be removed.
    let mut interrupted = std::pin::pin!(interrupted());
    tokio::select! {
        biased;
        () = interrupted.as_mut() => {}
        () = std::future::ready(()) => {}
    }
    // A first call each, so that connecting is not measured.
    for client in clients {
        workload.warm(client).await?;
    }
    let limit = bench.seconds.or_else(|| bench.requests.is_none().then_some(TIME));
    let before = figures::cpu();
    let pace = Pace::begin(bench.requests, limit, bench.rate);
    let done = Arc::new(AtomicU64::new(0));
    let task = |task: usize| {
        let client = &clients[task % clients.len()];
        let seed = Rng::with_seed(task as u64);
        client.spawn(call(client.clone(), Arc::clone(workload), Arc::clone(&pace), seed, Arc::clone(&done)))
    };
    let tasks: Vec<_> = (0..usize::from(bench.tasks)).map(task).collect();
    let progress = match (bench.requests, limit) {
        (Some(requests), _) => Progress::of_count(requests),
        (None, limit) => Progress::of_time(limit.unwrap_or(TIME)),
    };
    let figures = watch(tasks, &pace, interrupted, |elapsed| {
        let done = done.load(Ordering::Relaxed);
        let rate = done as f64 / elapsed.as_secs_f64();
        match bench.requests {
            Some(_) => progress.at(done, format!("{rate:.0} calls/s")),
            None => progress.at_time(elapsed, format!("{rate:.0} calls/s")),
        }
    });
    let (figures, interrupted) = figures.await?;
    let (seconds, cpu) = (pace.began().elapsed().as_secs_f64(), figures::cpu().saturating_sub(before));
    drop(progress);
    if interrupted {
        output.note("interrupted: these are the results until then");
    }
    Ok(Measured { figures, seconds, cpu, never_begun: pace.never_begun() })
}

/// Waits for all tasks, and says whether it was cut short.
async fn watch(
    tasks: Vec<Spawned<Figures>>,
    pace: &Pace,
    mut interrupted: Pin<&mut impl Future<Output = ()>>,
    show: impl Fn(Duration),
) -> Result<(Figures, bool), Failure> {
    let mut ticks = tokio::time::interval(TICK);
    let mut cut = false;
    let all = async {
        let mut all = Figures::new();
        for task in tasks {
            all.add(caller::joined(task).await?);
        }
        Ok(all)
    };
    let mut all = std::pin::pin!(all);
    loop {
        tokio::select! {
            figures = all.as_mut() => return figures.map(|figures| (figures, cut)),
            _ = ticks.tick() => show(pace.began().elapsed()),
            () = interrupted.as_mut(), if !cut => {
                cut = true;
                pace.stop();
            }
        }
    }
}

/// What one task does.
async fn call(
    client: Caller,
    workload: Arc<Workload>,
    pace: Arc<Pace>,
    mut rng: Rng,
    done: Arc<AtomicU64>,
) -> Figures {
    let mut figures = Figures::new();
    while let Some(begins) = pace.next().await {
        let result = workload.call(&client, &mut rng).await;
        let failed = result.is_err();
        figures.note(Instant::now().saturating_duration_since(begins), result);
        done.fetch_add(1, Ordering::Relaxed);
        if failed {
            tokio::time::sleep(PAUSE).await;
        }
    }
    figures
}
