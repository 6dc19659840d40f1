//! Prints what a process costs that keeps registrations and does nothing else: resident memory and
//! heap in bytes, and the processor time of a span in microseconds. `idle URL REGISTRATIONS SECS`.

use std::io::{Error, Write};
use std::time::Duration;

use allocation_counter::measure;
use portolan::{Registration, Registry};
use portolan_benches::{GROUP, instance};
use rustix::time::{ClockId, clock_gettime};
use tokio::time::sleep;

fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().ok_or_else(|| Error::other("idle URL REGISTRATIONS SECS"));
    let url = next()?;
    let count = next()?.parse().map_err(Error::other)?;
    let span = Duration::from_secs(next()?.parse().map_err(Error::other)?);
    // One thread, so that the allocator's count is that of all there is.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut held = None;
    let heap = measure(|| held = Some(runtime.block_on(settle(&url, count)))).bytes_current;
    let before = processor_time();
    runtime.block_on(async { sleep(span).await });
    let spent = processor_time().saturating_sub(before);
    let (registry, registrations) = held.expect("it has settled");
    assert_eq!(registry.status().registered, registrations.len(), "all stand");
    writeln!(std::io::stdout(), "{} {heap} {}", resident()?, spent.as_micros())?;
    runtime.block_on(registry.abandon());
    Ok(())
}

async fn settle(url: &str, count: u64) -> (Registry, Vec<Registration>) {
    let registry = Registry::builder().endpoints([url]).build().expect("an address");
    let group = registry.group(GROUP).expect("a name");
    let registrations: Vec<_> = (0..count)
        .map(|number| group.register(instance(number)).expect("it can be registered"))
        .collect();
    for registration in &registrations {
        registration.ready().await.expect("it stands");
    }
    sleep(Duration::from_secs(2)).await;
    (registry, registrations)
}

/// Of this process, since it was started.
fn processor_time() -> Duration {
    let at = clock_gettime(ClockId::ProcessCPUTime);
    let nanos = u32::try_from(at.tv_nsec).expect("below a billion");
    Duration::new(at.tv_sec.unsigned_abs(), nanos)
}

/// What of it is in memory now, its program text too.
fn resident() -> std::io::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    let kib: u64 = kib.ok_or_else(|| Error::other("no VmRSS"))?.parse().map_err(Error::other)?;
    Ok(kib * 1024)
}
