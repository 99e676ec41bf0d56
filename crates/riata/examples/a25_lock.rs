//! `Lock`: who has waited longest has it next. The guard is the lock being held: a callback
//! that owns the guard releases the lock, from outside any task.

mod as_python;

use std::time::Duration;

use riata::{Lock, LockGuard};

fn unlock(guard: LockGuard<'_, ()>) {
    println!("callback releases the lock");
    drop(guard);
}

async fn coro1(lock: &Lock) {
    println!("coro1 waits for the lock");
    {
        let _guard = lock.acquire().await;
        println!("coro1 has the lock");
    }
    println!("coro1 released the lock");
}

async fn coro2(lock: &Lock) {
    println!("coro2 waits for the lock");
    let guard = lock.acquire().await;
    println!("coro2 has the lock");
    println!("coro2 releases the lock");
    drop(guard);
}

async fn main_task(lock: &'static Lock) {
    let guard = lock.acquire().await;
    println!("locked: {}", as_python::truth(lock.is_locked()));
    riata::call_later(Duration::from_secs(1), || unlock(guard));
    // The Python program leaves the order to a set; this is the one it had.
    riata::wait([riata::spawn(coro2(lock)), riata::spawn(coro1(lock))]).await;
}

fn main() {
    // Lives as long as the program, so that a guard may go anywhere.
    let lock = Box::leak(Box::new(Lock::new(())));
    riata::run(main_task(lock));
}
