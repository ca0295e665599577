use super::*;
use crate::supervision::child::ExitReason;
use crate::supervision::restart::RestartPolicy;
use std::cell::{Cell, RefCell};
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

const POLICY: RestartPolicy = RestartPolicy {
    restarts: 3,
    period: Duration::from_secs(10),
    first_delay: Duration::from_millis(100),
    longest_delay: Duration::from_millis(300),
    jitter: 0.5,
};

fn tree(kind: Kind, policy: RestartPolicy) -> (Tree, UnboundedReceiver<DeathNotice>) {
    panics::install_hook();
    let (obituary, notices) = unbounded_channel();
    let plan = Arc::new(Plan::default().with(kind, policy));
    (Tree { plan, chronicle: Arc::default(), obituary }, notices)
}

/// Times between the beginnings of lives, each of which ends at once, until the budget is spent.
async fn waits(policy: RestartPolicy) -> Vec<Duration> {
    let (tree, _notices) = tree(Kind::Flusher, policy);
    let begun = RefCell::new(Vec::new());
    let live = || {
        begun.borrow_mut().push(Instant::now());
        async { Err(Ended::failed("no")) }
    };
    let last = keep(tree.guard(ActorId::Flusher), live).await;
    assert_eq!(last, Err(Ended::failed("no")));
    begun.borrow().windows(2).map(|pair| pair[1] - pair[0]).collect()
}

#[tokio::test(start_paused = true)]
async fn the_waits_double_to_their_bound_and_jitter_stays_within_its_own() {
    // Tokio's timer rounds up to its next millisecond.
    let slack = Duration::from_millis(2);
    let mut seen = Vec::new();
    for _ in 0..200 {
        let waits = waits(POLICY).await;
        assert_eq!(waits.len(), 3, "three restarts, then the budget is spent");
        for (wait, whole) in waits.iter().zip([100, 200, 300].map(Duration::from_millis)) {
            assert!(*wait >= whole / 2 && *wait <= whole + slack, "{wait:?} of {whole:?}");
            seen.push(wait.as_secs_f64() / whole.as_secs_f64());
        }
    }
    let (least, most) = seen.iter().fold((1.0_f64, 0.0_f64), |(least, most), wait| (least.min(*wait), most.max(*wait)));
    assert!(least < 0.55 && most > 0.95, "600 waits lie all over the range, not at one place: {least} to {most}");
    let exact = waits(RestartPolicy { jitter: 0.0, ..POLICY }).await;
    assert!(exact.iter().zip([100, 200, 300]).all(|(wait, whole)| {
        let whole = Duration::from_millis(whole);
        *wait >= whole && *wait <= whole + slack
    }));
}

#[tokio::test(start_paused = true)]
async fn the_window_slides_and_a_child_that_dies_seldom_lives_for_ever() {
    let (tree, mut notices) = tree(Kind::Flusher, POLICY);
    let lives = Cell::new(0);
    // Three in ten seconds are forgiven: one every four seconds is never too many, for as long as it goes on.
    let live = || {
        lives.set(lives.get() + 1);
        let is_last = lives.get() == 100;
        async move {
            tokio::time::sleep(Duration::from_secs(4)).await;
            if is_last { Ok(()) } else { Err(Ended::failed("again")) }
        }
    };
    assert_eq!(keep(tree.guard(ActorId::Flusher), live).await, Ok(()));
    assert_eq!((lives.get(), tree.chronicle.deaths(&ActorId::Flusher).total), (100, 99));
    assert!(notices.try_recv().is_err(), "nobody was told");

    // One every two seconds is: the fourth death falls into the window of the first.
    lives.set(0);
    let live = || {
        lives.set(lives.get() + 1);
        async {
            tokio::time::sleep(Duration::from_secs(2)).await;
            Err(Ended::failed("again"))
        }
    };
    assert!(keep(tree.guard(ActorId::Flusher), live).await.is_err());
    assert_eq!(lives.get(), 4);
    assert_eq!(notices.try_recv().unwrap().child, "Flusher");
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_a_death_and_a_spent_budget_is_told_to_the_root_once() {
    let (tree, mut notices) = tree(Kind::KafkaConsumer, RestartPolicy { restarts: 1, ..POLICY });
    let lives = Cell::new(0);
    let live = || {
        lives.set(lives.get() + 1);
        assert!(lives.get() != 1, "while it is made");
        async { panic!("while it lives") }
    };
    let last = keep(tree.guard(ActorId::Consumer), live).await.unwrap_err();
    assert_eq!(last.reason, ExitReason::Panicked);
    assert!(last.words.contains("while it lives"), "{last:?}");
    let notice = notices.try_recv().unwrap();
    assert_eq!(
        (notice.child.as_str(), notice.reason, &notice.words),
        ("KafkaConsumer", ExitReason::Panicked, &last.words)
    );
    assert!(notices.try_recv().is_err());
    let deaths = tree.chronicle.deaths(&ActorId::Consumer);
    let restarts: Vec<bool> = deaths.last.iter().map(|death| death.restarts_after.is_some()).collect();
    assert_eq!((deaths.total, restarts.as_slice()), (2, &[true, false][..]));
    assert!(deaths.last[0].words.contains("while it is made"));
}

#[tokio::test(start_paused = true)]
async fn a_budget_under_another_parent_than_the_root_escalates_to_that_one() {
    let (tree, mut notices) = tree(Kind::DeadLetterWriter, RestartPolicy { restarts: 1, ..POLICY });
    let last = keep(tree.guard(ActorId::DeadLetters), || async { Err(Ended::failed("no")) }).await;
    assert_eq!(last, Err(Ended::failed("no")), "its parent, whoever called, decides");
    assert!(notices.try_recv().is_err(), "the root is not told: its parent dies of it first");
}

#[tokio::test(start_paused = true)]
async fn what_is_not_its_fault_costs_a_child_nothing() {
    let (tree, mut notices) = tree(Kind::PartitionRouter, POLICY);
    let mut guardian = tree.guard(ActorId::Router(3));
    let rewound = Ended { reason: ExitReason::Rewound, words: "refused".to_owned() };
    for _ in 0..100 {
        assert_eq!(guardian.died_for_nothing(&rewound), Verdict::RestartAfter(POLICY.first_delay));
    }
    for _ in 0..3 {
        assert!(matches!(guardian.died(&Ended::failed("no")), Verdict::RestartAfter(_)));
    }
    assert!(notices.try_recv().is_err());
    assert_eq!(guardian.died(&Ended::failed("no")), Verdict::Escalate);
    assert_eq!(notices.try_recv().unwrap().child, "PartitionRouter 3");
    let deaths = tree.chronicle.deaths(&ActorId::Router(3));
    assert_eq!((deaths.total, deaths.last.back().unwrap().partition), (104, Some(3)));
}
