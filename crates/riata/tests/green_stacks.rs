//! Stacks go back to the kernel. Alone in its process, whose mappings it counts.
#![cfg(all(feature = "green", target_os = "linux", not(loom)))]
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use riata::green;

fn mappings() -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    maps.lines().count()
}

/// A thousand stacks in use at once; some greenlets end, some are killed, some are left.
fn round() {
    riata::run(async {
        let minute = Duration::from_secs(60);
        let greenlets: Vec<_> = (0..1000)
            .map(|number| {
                green::spawn(move || match number % 3 {
                    0 => green::sleep(Duration::ZERO),
                    _ => green::sleep(minute),
                })
            })
            .collect();
        riata::yield_now().await;
        riata::yield_now().await;
        for greenlet in greenlets.iter().skip(1).step_by(3) {
            greenlet.kill();
        }
    });
}

#[test]
fn no_round_leaves_mappings_behind() {
    std::thread::spawn(|| {
        round();
        let kept = mappings();
        for _ in 0..5 {
            round();
        }
        // A stack is two mappings; the allocator may have some more.
        assert!(mappings() < kept + 50, "{kept} before");
        green::keep_stacks(0);
        assert!(mappings() < kept - 200, "{kept} before");
    })
    .join()
    .unwrap();
}
