//! What a page plays with: a plan, side by side with other clients if it is asked to, and where it came
//! from.

use portolan_core::Time;
use portolan_sim::plan::{Fleet, Step, SubjectKind, Subjects};
use portolan_sim::{Mix, Plan, Property, Scenario, Violation};
use serde::{Deserialize, Serialize};

use crate::session::Session;
use crate::trace::Index;
use crate::view::{Side, millis};
use crate::{action, words};

/// Where a plan comes from.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Origin {
    /// A plan with a name.
    Scenario(String),
    /// A drawn plan: the seed in decimal digits, and the mix.
    Drawn { seed: String, mix: String },
    /// The text of a plan.
    Plan(String),
}

/// What a page asks for first.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Request {
    scenario: Option<String>,
    seed: Option<String>,
    mix: Option<String>,
    plan: Option<String>,
    share: Option<String>,
}

/// A moment that is handed on.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Shared {
    of: Origin,
    /// What was done beyond the plan.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    steps: Vec<Step>,
    #[serde(default)]
    lasts_ms: u64,
    #[serde(default)]
    at_nanos: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    beside: Option<Fleet>,
}

/// All that is played with.
pub struct Play {
    origin: Origin,
    /// The steps of the plan as it came.
    given: usize,
    main: Session,
    /// Other clients that the plan has of its own, where ours now stand.
    own: Option<Others>,
    beside: Option<Beside>,
    index: [Index; 2],
    wanted: Option<Time>,
}

struct Beside {
    others: Others,
    session: Session,
}

/// Other clients, and how their plan differs from the main one.
#[derive(Clone)]
struct Others {
    fleet: Fleet,
    subjects: Subjects,
    held_to: Vec<Property>,
}

/// What the clients beside have lost.
#[derive(Debug, Serialize)]
pub struct Losses {
    fleet: &'static str,
    words: String,
    /// Whether that is a loss.
    losing: bool,
    lost: Vec<Loss>,
    differs: usize,
}

#[derive(Debug, Serialize)]
struct Loss {
    at_ms: f64,
    words: String,
}

impl Play {
    /// Opens what a page asks for.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub fn open(request: &str) -> Result<Self, String> {
        if request.len() > MOST_BYTES {
            return Err(format!("it has {} bytes; at most {MOST_BYTES} are read", request.len()));
        }
        let request: Request =
            serde_json::from_str(request).map_err(|error| format!("it cannot be read: {error}"))?;
        match request {
            Request { share: Some(share), .. } => Self::shared(&share),
            Request { plan: Some(plan), .. } => Self::new(Origin::Plan(plan)),
            Request { scenario: Some(name), .. } => Self::new(Origin::Scenario(name)),
            Request { seed: Some(seed), mix, .. } => {
                let mix = mix.unwrap_or_else(|| "full".to_owned());
                Self::new(Origin::Drawn { seed, mix })
            }
            _ => Err("it names neither a scenario, nor a seed, nor a plan".to_owned()),
        }
    }

    fn new(origin: Origin) -> Result<Self, String> {
        let mut plan = origin.plan()?;
        let given = plan.steps.len();
        let naive =
            (0..plan.world.processes).find_map(|process| match plan.world.subjects.of(process) {
                SubjectKind::Engine => None,
                SubjectKind::Naive(fleet) => Some(fleet),
            });
        // In a plan of other clients ours stand in their place, and they run beside.
        let own = naive.map(|fleet| Others {
            fleet,
            subjects: std::mem::take(&mut plan.world.subjects),
            held_to: std::mem::take(&mut plan.held_to),
        });
        let (main, index) = (Session::new(plan, false), Default::default());
        let mut play = Self { origin, given, main, own, beside: None, index, wanted: None };
        play.stand_beside(play.own.clone());
        Ok(play)
    }

    fn shared(text: &str) -> Result<Self, String> {
        let shared: Shared = serde_json::from_str(text)
            .map_err(|error| format!("the address holds no moment of a plan: {error}"))?;
        let mut play = Self::new(shared.of)?;
        let mut plan = play.main.plan().clone();
        plan.steps.extend(shared.steps);
        plan.lasts_ms = shared.lasts_ms;
        plan.check().map_err(|error| error.to_string())?;
        if Time::from_nanos(shared.at_nanos) > Time::from_millis(MOST_MS) {
            return Err(format!("the moment lies later than {MOST_MS} ms"));
        }
        play.main = Session::new(plan, false);
        play.beside(shared.beside.map(words::fleet_id))?;
        play.wanted = Some(Time::from_nanos(shared.at_nanos));
        Ok(play)
    }

    /// Has clients of a fleet run the same plan beside, from its beginning to the present moment; or
    /// none. Those that the plan has of its own run where it has them, all others in every process.
    ///
    /// # Errors
    /// There is no such fleet.
    pub fn beside(&mut self, fleet: Option<&str>) -> Result<(), String> {
        let Some(name) = fleet else {
            self.stand_beside(None);
            return Ok(());
        };
        let fleet = Fleet::ALL.iter().copied().find(|&fleet| words::fleet_id(fleet) == name);
        let fleet = fleet.ok_or_else(|| format!("there is no fleet {name:?}"))?;
        let own = self.own.clone().filter(|own| own.fleet == fleet);
        let processes = usize::from(self.main.plan().world.processes) + SPARE;
        self.stand_beside(Some(own.unwrap_or_else(|| Others::everywhere(fleet, processes))));
        Ok(())
    }

    /// Has them go the main side's way, from its beginning.
    fn stand_beside(&mut self, others: Option<Others>) {
        self.beside = others.map(|others| {
            let mut session = others.begin(self.main.plan());
            session.advance(self.main.at(), u32::MAX);
            Beside { others, session }
        });
    }

    /// A side; the main one, where there is no other.
    pub fn side(&self, side: Side) -> &Session {
        match (side, &self.beside) {
            (Side::Beside, Some(beside)) => &beside.session,
            (Side::Main | Side::Beside, _) => &self.main,
        }
    }

    /// A side, and which of its lines were found.
    pub fn indexed(&mut self, side: Side) -> (&Session, &mut Index) {
        let [main, other] = &mut self.index;
        match (side, &self.beside) {
            (Side::Beside, Some(beside)) => (&beside.session, other),
            (Side::Main | Side::Beside, _) => (&self.main, main),
        }
    }

    /// What the clients beside have lost; `None` where there are none.
    pub fn losses(&self) -> Option<Losses> {
        let beside = self.beside.as_ref()?;
        let fleet = words::fleet_id(beside.others.fleet);
        let violations = beside.session.runner().checks().violations();
        let found = beside.session.violations().take(MOST_LOSSES);
        let loss = |(at, it): (_, &Violation)| Loss { at_ms: millis(at), words: it.to_string() };
        let lost: Vec<_> = found.map(loss).collect();
        let (theirs, ours) = (beside.session.beliefs().differs(), self.main.beliefs().differs());
        let leases = [&beside.session, &self.main].map(|it| it.world().store().leases().count());
        let read = [&beside.session, &self.main].map(|it| it.beliefs().read);
        let losing = match violations.first() {
            Some(violation) => Some(format!("The {fleet} client lost: {}.", violation.text)),
            None if theirs > ours => Some(format!(
                "Right now {theirs} of the things that the {fleet} client's processes believe are not \
                 so; of Portolan's {ours}."
            )),
            None if leases[0] > 2 * leases[1].max(1) => Some(format!(
                "The {fleet} client piles up leases: it keeps {} where Portolan keeps {}.",
                leases[0], leases[1]
            )),
            None if read[0] > 2 * read[1].max(3) => Some(format!(
                "The {fleet} client makes the store work: it has read {} records where Portolan has \
                 read {}.",
                read[0], read[1]
            )),
            None => None,
        };
        let is_losing = losing.is_some();
        let words =
            losing.unwrap_or_else(|| format!("The {fleet} client has lost nothing so far."));
        Some(Losses { fleet, words, losing: is_losing, lost, differs: theirs })
    }

    /// Goes on to a moment, both sides; has at most so much happen on each. Whether it is reached.
    pub fn advance(&mut self, to: Time, most: u32) -> bool {
        let arrived = self.main.advance(to, most);
        let Some(beside) = &mut self.beside else { return arrived };
        // In step, until one of them has come to its end.
        let to = if self.main.next().is_none() { to } else { self.main.at() };
        beside.session.advance(to, most) && arrived
    }

    /// Has the next thing happen on either side. False at the end of both.
    pub fn step(&mut self) -> bool {
        let (ours, theirs) = (self.main.next(), self.other().and_then(Session::next));
        match (ours, theirs) {
            (None, None) => false,
            (Some(ours), Some(theirs)) if theirs < ours => self.step_beside(),
            (None, Some(_)) => self.step_beside(),
            (Some(_), _) => {
                let stepped = self.main.step();
                let at = self.main.at();
                if let Some(beside) = &mut self.beside {
                    beside.session.advance(at, u32::MAX);
                }
                stepped
            }
        }
    }

    fn step_beside(&mut self) -> bool {
        let Some(beside) = &mut self.beside else { return false };
        let stepped = beside.session.step();
        let at = beside.session.at();
        self.main.advance(at, u32::MAX);
        stepped
    }

    fn other(&self) -> Option<&Session> {
        self.beside.as_ref().map(|beside| &beside.session)
    }

    /// When the next thing happens on either side.
    pub fn next(&self) -> Option<Time> {
        [self.main.next(), self.other().and_then(Session::next)].into_iter().flatten().min()
    }

    /// How many processes there are now.
    pub fn processes(&self) -> usize {
        self.main.world().processes().len()
    }

    /// The moment that is shown.
    pub fn at(&self) -> Time {
        self.other().map_or(self.main.at(), |other| other.at().max(self.main.at()))
    }

    /// The moment that was shared, where this was handed on: it begins at its beginning all the
    /// same, since a stranger's address may ask for a moment that takes minutes to come to.
    pub fn wanted(&self) -> Option<Time> {
        self.wanted
    }

    /// Up to where it is known what happens, if nobody does anything.
    pub fn reaches(&self) -> Time {
        self.other().map_or(self.main.reaches(), |other| other.reaches().max(self.main.reaches()))
    }

    /// Goes to a moment that is known, back too.
    pub fn seek(&mut self, to: Time) {
        let to = to.min(self.reaches());
        let sides = [Some(&mut self.main), self.beside.as_mut().map(|beside| &mut beside.session)];
        for side in sides.into_iter().flatten() {
            side.seek(to);
            side.advance(to, u32::MAX);
        }
    }

    /// Does something, on both sides at once. Answers when it happened.
    ///
    /// # Errors
    /// A sentence; nothing has changed.
    pub fn act(&mut self, text: &str) -> Result<u64, String> {
        let steps = action::read(text, self.main.plan())?;
        if self.main.plan().steps.len() + steps.len() > MOST_STEPS {
            return Err(format!("the plan has no room for more than {MOST_STEPS} steps"));
        }
        let at_ms = self.main.act(self.at(), steps)?;
        let others = self.beside.take().map(|beside| beside.others);
        self.stand_beside(others);
        Ok(at_ms)
    }

    /// Has nothing heal before a moment.
    ///
    /// # Errors
    /// As [`act`](Self::act).
    pub fn last(&mut self, lasts_ms: u64) -> Result<(), String> {
        self.main.last(lasts_ms)?;
        let others = self.beside.take().map(|beside| beside.others);
        self.stand_beside(others);
        Ok(())
    }

    /// The plan as a file that replays to the same trace.
    pub fn export(&self) -> String {
        self.main.plan().to_text()
    }

    /// This moment, to hand on.
    pub fn share(&self) -> String {
        let plan = self.main.plan();
        let shared = Shared {
            of: self.origin.clone(),
            steps: plan.steps[self.given.min(plan.steps.len())..].to_vec(),
            lasts_ms: plan.lasts_ms,
            at_nanos: self.at().as_nanos(),
            beside: self.beside.as_ref().map(|beside| beside.others.fleet),
        };
        serde_json::to_string(&shared).expect("plans are JSON")
    }
}

impl Origin {
    fn plan(&self) -> Result<Plan, String> {
        match self {
            Self::Scenario(name) => match Scenario::find(name) {
                Some(scenario) => Ok(scenario.plan()),
                None => Err(format!("there is no scenario {name:?}")),
            },
            Self::Drawn { seed, mix: name } => {
                let mix = Mix::named(name).ok_or_else(|| format!("there is no mix {name:?}"))?;
                let number = seed.parse().map_err(|_| {
                    format!("{seed:?} is no seed: it takes a number from 0 to {}", u64::MAX)
                })?;
                Ok(Plan::draw(number, &mix))
            }
            Self::Plan(text) => Plan::parse(text).map_err(|error| error.to_string()),
        }
    }
}

impl Others {
    /// In every process, and in those that may be added.
    fn everywhere(fleet: Fleet, processes: usize) -> Self {
        let subjects = Subjects(vec![SubjectKind::Naive(fleet); processes]);
        Self { fleet, subjects, held_to: vec![Property::LV1, Property::LV2, Property::LV3] }
    }

    /// The same plan with its own clients, at its beginning.
    fn begin(&self, plan: &Plan) -> Session {
        let mut plan = plan.clone();
        plan.world.subjects = self.subjects.clone();
        plan.held_to = self.held_to.clone();
        Session::new(plan, true)
    }
}

/// What is read at most: a plan's file, an address.
const MOST_BYTES: usize = 16 << 20;
/// An address leads no further than an hour into a plan.
const MOST_MS: u64 = 3_600_000;
const MOST_STEPS: usize = 10_000;
const MOST_LOSSES: usize = 20;
/// Processes that may be added are other clients too.
const SPARE: usize = 64;
