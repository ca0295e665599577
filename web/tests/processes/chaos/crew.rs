//! The programs of a chaos run, and what is done to them and to their servers.

use super::Diary;
use super::deck::Fault;
use super::events::Garbage;
use crate::chance::Chance;
use crate::program::Program;
use crate::stack::Stack;
use std::time::Duration;

/// Which turns the poison in the events deadly.
const ARMED: [(&str, &str); 1] = [("SIGNALS_FAILPOINTS", "1")];
/// A server or a program is away for at most so long.
const AWAY: Duration = Duration::from_secs(5);
/// An engine stands still for at most so long; its group gives it up after ten seconds.
const FROZEN: Duration = Duration::from_secs(14);
const READY_WITHIN: Duration = Duration::from_secs(120);
/// What a program says when it has started.
const STARTED: &str = "signals has started";

/// A program and how often its log says that it had started before.
struct Member {
    name: &'static str,
    program: Program,
    starts_before: usize,
}

/// The programs.
pub struct Crew<'a> {
    stack: &'a Stack,
    pub diary: Diary,
    ingest: Member,
    core: Member,
    engines: Vec<Member>,
    /// How often ingest was killed; each time it may have left up to a second of acknowledgements unreported.
    pub ingest_kills: u64,
}

fn member(stack: &Stack, name: &'static str) -> Member {
    let role = name.split('-').next().unwrap();
    let starts_before = stack.has_said(name, STARTED);
    let program = stack.run_with(name, &[role], &ARMED);
    Member { name, program, starts_before }
}

impl Member {
    fn has_started(&self) -> bool {
        self.program.has_said(STARTED) > self.starts_before
    }

    fn kill9(&mut self) {
        self.program.signal("KILL");
        self.program.wait();
    }
}

fn index(chance: &mut Chance, length: usize) -> usize {
    usize::try_from(chance.below(u64::try_from(length).unwrap())).unwrap()
}

impl<'a> Crew<'a> {
    /// Everyone is at work.
    pub async fn start(stack: &'a Stack, diary: Diary) -> Self {
        let engines = vec![member(stack, "engine-1")];
        let (ingest, core) = (member(stack, "ingest"), member(stack, "core"));
        let mut crew = Self { stack, diary, ingest, core, engines, ingest_kills: 0 };
        stack.ready(&mut crew.core.program).await;
        crew
    }

    /// One fault, to its end: what was taken away is back, though not yet at work.
    pub async fn suffer(&mut self, fault: Fault, garbage: &Garbage, chance: &mut Chance) {
        match fault {
            Fault::EngineKilled => self.kill_engine(chance).await,
            Fault::EnginesKilled => self.kill_engines(chance).await,
            Fault::EngineFrozen => self.freeze_engine(chance).await,
            Fault::Rebalance => self.rebalance(chance).await,
            Fault::IngestKilled => self.kill_ingest(chance).await,
            Fault::CoreKilled => self.kill_core(),
            Fault::PostgresAway => self.away(chance, true, false).await,
            Fault::BrokerAway => self.away(chance, false, true).await,
            Fault::BothAway => self.away(chance, true, true).await,
            Fault::EngineKilledWithoutPostgres => self.kill_engine_without_postgres(chance).await,
            Fault::Garbage => {
                let number = chance.below(u64::MAX);
                garbage.throw(number);
                self.diary.say("records that nobody can read");
            }
            Fault::Lift => self.lift(chance).await,
        }
    }

    fn any_engine(&self, chance: &mut Chance) -> usize {
        index(chance, self.engines.len())
    }

    async fn kill_engine(&mut self, chance: &mut Chance) {
        let engine = self.engines.remove(self.any_engine(chance));
        self.diary.say(&format!("kill -9 of {}", engine.name));
        engine.program.kill9();
        chance.moment(AWAY).await;
        self.engines.push(member(self.stack, engine.name));
        self.diary.say(&format!("{} is started again", engine.name));
    }

    async fn kill_engines(&mut self, chance: &mut Chance) {
        let names: Vec<&'static str> = self.engines.iter().map(|engine| engine.name).collect();
        self.diary.say(&format!("kill -9 of {}", names.join(" and ")));
        self.engines.drain(..).for_each(|engine| engine.program.kill9());
        chance.moment(AWAY).await;
        self.engines = names.into_iter().map(|name| member(self.stack, name)).collect();
        self.diary.say("all engines are started again");
    }

    async fn freeze_engine(&mut self, chance: &mut Chance) {
        let (index, pause) = (self.any_engine(chance), chance.span(FROZEN));
        let engine = &self.engines[index];
        self.diary.say(&format!("{} stands still for {pause:?}", engine.name));
        engine.program.signal("STOP");
        tokio::time::sleep(pause).await;
        engine.program.signal("CONT");
        self.diary.say(&format!("{} goes on", engine.name));
    }

    async fn rebalance(&mut self, chance: &mut Chance) {
        let is_orderly = chance.coin();
        if self.engines.len() == 1 {
            let name = if self.engines[0].name == "engine-1" { "engine-2" } else { "engine-1" };
            self.engines.push(member(self.stack, name));
            self.diary.say(&format!("{name} joins"));
            return;
        }
        let engine = self.engines.remove(self.any_engine(chance));
        self.diary.say(&format!("{} leaves, {}", engine.name, if is_orderly { "in order" } else { "by kill -9" }));
        if is_orderly && engine.has_started() {
            engine.program.end().await;
        } else {
            engine.program.kill9();
        }
    }

    async fn kill_ingest(&mut self, chance: &mut Chance) {
        self.diary.say("kill -9 of ingest");
        self.ingest_kills += 1;
        self.ingest.kill9();
        chance.moment(AWAY).await;
        self.ingest = member(self.stack, "ingest");
        self.diary.say("ingest is started again");
    }

    fn kill_core(&mut self) {
        self.diary.say("kill -9 of core, started again at once");
        self.core.kill9();
        self.core = member(self.stack, "core");
    }

    async fn away(&mut self, chance: &mut Chance, postgres: bool, broker: bool) {
        let (kafka, database) = self.stack.servers();
        let gone: Vec<_> = [(database, "PostgreSQL", postgres), (kafka, "the broker", broker)]
            .into_iter()
            .filter(|gone| gone.2)
            .collect();
        for (server, name, _) in &gone {
            if chance.coin() {
                self.diary.say(&format!("kill -9 of {name}"));
                server.kill();
            } else {
                self.diary.say(&format!("{name} is stopped"));
                server.stop();
            }
        }
        chance.moment(AWAY).await;
        for (server, name, _) in &gone {
            server.start();
            self.diary.say(&format!("{name} is back"));
        }
    }

    async fn kill_engine_without_postgres(&mut self, chance: &mut Chance) {
        let (_, postgres) = self.stack.servers();
        postgres.kill();
        self.diary.say("kill -9 of PostgreSQL");
        self.kill_engine(chance).await;
        postgres.start();
        self.diary.say("PostgreSQL is back");
    }

    async fn lift(&mut self, chance: &mut Chance) {
        let query = "SELECT project_id AS one, fingerprint AS two, records AS n FROM quarantine WHERE lifted_at IS NULL ORDER BY 1, 2";
        let rows = self.stack.try_table(query).await.unwrap_or_default();
        if rows.is_empty() {
            self.diary.say("nothing is quarantined, so nothing is lifted");
            return;
        }
        let ((project, fingerprint), _) = &rows[index(chance, rows.len())];
        let arguments = ["quarantine", "lift", project, fingerprint];
        // The engine may be away and answer later: the command is in the log then.
        let output = self.stack.output(&arguments, &self.stack.environment()).await;
        let said = String::from_utf8_lossy(if output.status.success() { &output.stdout } else { &output.stderr });
        self.diary.say(&format!("lifting a quarantine of {project}: {}", said.trim()));
    }

    /// Nobody ends by himself, whatever is away. A program that is still starting may find no database; it is started
    /// again, as whatever runs it in earnest would do.
    pub fn check(&mut self) {
        let (stack, diary) = (self.stack, self.diary);
        for member in [&mut self.ingest, &mut self.core].into_iter().chain(&mut self.engines) {
            if !member.program.is_running() {
                assert!(!member.has_started(), "{} ended by itself", member.name);
                diary.say(&format!("{} could not start", member.name));
                *member = self::member(stack, member.name);
            }
        }
    }

    /// Everyone has started, and both APIs say so.
    pub async fn bring_everyone_back(&mut self) {
        let begun = std::time::Instant::now();
        loop {
            self.check();
            let engines = self.engines.iter().all(Member::has_started);
            if engines && self.stack.api().readiness().await.is_ok() {
                return;
            }
            assert!(begun.elapsed() < READY_WITHIN, "not everyone is back");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Ingest ends in order: what it has taken in is in the log, and what it has counted is reported.
    pub async fn end_ingest(&mut self) {
        self.ingest.program.signal("TERM");
        let status = self.ingest.program.ended(crate::program::ENDS_WITHIN).await;
        assert!(status.success(), "ingest ended with {status}");
    }

    /// All others end in order.
    pub async fn end(mut self) {
        self.check_without_ingest();
        for member in self.engines.into_iter().chain([self.core]) {
            member.program.end().await;
        }
    }

    fn check_without_ingest(&mut self) {
        for member in [&mut self.core].into_iter().chain(&mut self.engines) {
            assert!(member.program.is_running(), "{} ended by itself", member.name);
        }
    }
}
