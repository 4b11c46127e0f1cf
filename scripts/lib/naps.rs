//! Sleeps in every way that the program does, for the self-test of scripts/soak: prints how long each nap was by the clocks
//! of this process, which may go faster, one a line. Argument: seconds of a nap.

use std::{
    io::{self, Write},
    sync::{Condvar, Mutex, mpsc},
    thread,
    time::{Duration, Instant, SystemTime},
};

#[tokio::main]
#[expect(clippy::disallowed_methods, reason = "the clocks themselves are what is tried")]
async fn main() -> anyhow::Result<()> {
    let nap = Duration::from_secs_f64(std::env::args().nth(1).unwrap_or_default().parse()?);
    #[allow(clippy::type_complexity)]
    let blocking: [(&str, fn(Duration)); 4] = [
        ("sleep", thread::sleep),
        ("park", thread::park_timeout),
        ("condvar", |nap| {
            if let Ok(guard) = Mutex::new(()).lock() {
                drop(Condvar::new().wait_timeout(guard, nap));
            }
        }),
        ("channel", |nap| {
            let _ = mpsc::channel::<()>().1.recv_timeout(nap);
        }),
    ];
    for (name, rest) in blocking {
        let (begun, wall) = (Instant::now(), SystemTime::now());
        rest(nap);
        tell(name, begun.elapsed(), wall.elapsed()?)?;
    }
    let (begun, wall) = (Instant::now(), SystemTime::now());
    tokio::time::sleep(nap).await;
    tell("timer", begun.elapsed(), wall.elapsed()?)
}

fn tell(name: &str, monotonic: Duration, wall: Duration) -> anyhow::Result<()> {
    Ok(writeln!(io::stdout(), "{name} {} {}", monotonic.as_secs_f64(), wall.as_secs_f64())?)
}
