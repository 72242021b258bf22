//! Counts of the other instances: asked by the leader once a second, and told as the differences from one answer to the next.
//!
//! An answer has all that a process has counted. The first one of a process is what later ones are compared with, so that a
//! restart is not a fall; after a question that was lost, the next answer has its counts too.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, timeout_at};
use waypost_admin::counts::packed::{ARM_BYTES_MAX, split, unpack};
use waypost_admin::events::EventKind;
use waypost_proxy::observe::metrics::arm::ArmReading;

use super::Shared;
use crate::fleet::{CountsWanted, Other, Round};
use crate::log;
use crate::remote::Client;

const PATH: &str = "/api/v1/fleet/counts";

/// Instances that are asked at the same time.
const AT_ONCE: usize = 128;

/// Questions in a row without an answer after which the next answer is compared with none before: its counts are of too long a
/// time to be those of a second.
const UNANSWERED_MAX: u32 = 5;

/// Questions in a row without an answer after which that is told.
const TOLD_AFTER: u32 = 3;

/// Bytes of an answer beside the counts.
const HEAD_BYTES: usize = 1024;

/// The arms of a question.
type Arms = Arc<Vec<(String, String)>>;

/// The other instances that live, as they have answered so far.
#[derive(Debug, Default)]
struct Known {
    instances: HashMap<Arc<str>, Instance>,
    /// The arms of the last question.
    arms: Arms,
}

#[derive(Debug, Default)]
struct Instance {
    answer: Option<Answer>,
    /// Questions in a row without an answer.
    unanswered: u32,
    /// True once that was told.
    is_told: bool,
}

/// An answer, as it came.
#[derive(Debug)]
struct Answer {
    came: Instant,
    /// The start of its process.
    started: u64,
    arms: Arms,
    bytes: Bytes,
    places: Vec<Range<usize>>,
}

/// Something to tell about an instance.
#[derive(Debug)]
enum News {
    LeftOut(Arc<str>, String),
    Back(Arc<str>),
}

/// Answers questions of the control, one at a time, until the task is ended.
pub(super) async fn keep(
    shared: Arc<Shared>,
    mut inbox: mpsc::Receiver<(CountsWanted, oneshot::Sender<Round>)>,
) {
    let mut known = Known::default();
    while let Some((wanted, reply)) = inbox.recv().await {
        let age_max = wanted.age_max;
        let answers = ask(&shared, &mut known, wanted).await;
        // Off the control runtime: many instances with many routes take a while.
        let merged = spawn_blocking(move || {
            let (round, news) = known.take(answers, age_max);
            (known, round, news)
        });
        let Ok((after, round, news)) = merged.await else {
            // What was known is lost with it, and counts begin anew.
            known = Known::default();
            continue;
        };
        known = after;
        news.into_iter().for_each(|news| tell(&shared, news));
        // The control may have ended.
        let _ = reply.send(round);
    }
}

/// The instances that live, each with its answer, or the reason that there is none.
type Answers = Vec<(Arc<str>, Result<Bytes, String>)>;

/// Asks all other instances that live. Those that are not among them are forgotten.
async fn ask(shared: &Arc<Shared>, known: &mut Known, wanted: CountsWanted) -> Answers {
    let view = shared.view();
    let own = shared.id();
    let others = || view.instances.iter().filter(|(id, _)| **id != own);
    known.instances.retain(|id, _| view.instances.contains_key(&**id));
    let arms = wanted.question.arms.iter();
    let arms: Vec<(String, String)> = arms.map(|arm| (arm.route.clone(), arm.service.clone())).collect();
    if *known.arms != arms {
        known.arms = Arc::new(arms);
    }
    let bytes_max = HEAD_BYTES + known.arms.len() * ARM_BYTES_MAX;
    let question = Bytes::from(serde_json::to_vec(&wanted.question).unwrap_or_default());
    let token = shared.token();
    let deadline = Instant::now() + wanted.patience;
    let mut answers = Answers::new();
    let mut asked = JoinSet::new();
    for (id, record) in others() {
        let id: Arc<str> = Arc::from(&**id);
        let was_silent = known.instances.get(&id).is_some_and(|known| known.unanswered > 0);
        if wanted.skips_silent && was_silent {
            answers.push((id, Err("it does not answer".to_owned())));
            continue;
        }
        let Some(admin) = record.value.admin.clone() else {
            answers.push((id, Err("it has no admin API that others reach".to_owned())));
            continue;
        };
        if asked.len() >= AT_ONCE
            && let Some(Ok(answer)) = asked.join_next().await
        {
            answers.push(answer);
        }
        let (question, own, token) = (question.clone(), shared.id().to_string(), token.clone());
        let patience = wanted.patience;
        asked.spawn(async move {
            let answer = async {
                let client = Client::of_instance(&id, &admin, patience)?;
                let client = client.on_behalf_of(own, token).up_to(bytes_max);
                client.ask_for_bytes(PATH, question).await
            };
            let answer = match timeout_at(deadline, answer).await {
                Ok(Ok(Ok(bytes))) => Ok(bytes),
                Ok(Ok(Err(problem))) => Err(problem.detail),
                Ok(Err(error)) => Err(format!("{error:#}")),
                Err(_) => Err(format!("it does not answer within {} ms", patience.as_millis())),
            };
            (id, answer)
        });
    }
    while let Some(answer) = asked.join_next().await {
        answers.extend(answer.ok());
    }
    answers
}

fn tell(shared: &Shared, news: News) {
    match news {
        News::LeftOut(id, why) => {
            log::warn(format_args!(
                "instance {id} does not say what it has counted, so that rollouts are judged without its requests: {why}"
            ));
            shared.publish(EventKind::InstanceLeftOut {
                instance: id.to_string(),
                why,
            });
        }
        News::Back(id) => log::info(format_args!("instance {id} says again what it has counted")),
    }
}

impl Known {
    /// Takes in the answers of a round. Returns the differences, and what is to be told.
    fn take(&mut self, answers: Answers, age_max: Duration) -> (Round, Vec<News>) {
        let mut pairs = vec![<[ArmReading; 2]>::default(); self.arms.len() / 2];
        let (mut others, mut news) = (Vec::new(), Vec::new());
        let mut places = Places::default();
        let now = Instant::now();
        for (id, answer) in answers {
            let instance = self.instances.entry(Arc::clone(&id)).or_default();
            let answer = answer.and_then(|bytes| {
                Answer::read(bytes, &self.arms, now).ok_or_else(|| "its answer makes no sense".to_owned())
            });
            let requests = match answer {
                Ok(answer) => {
                    let before = instance.answer.take().filter(|before| {
                        before.started == answer.started
                            && instance.unanswered <= UNANSWERED_MAX
                            && now.saturating_duration_since(before.came) < age_max
                    });
                    let requests = answer.since(before.as_ref(), &mut places, &mut pairs);
                    instance.answer = Some(answer);
                    instance.unanswered = 0;
                    if std::mem::take(&mut instance.is_told) {
                        news.push(News::Back(Arc::clone(&id)));
                    }
                    Some(requests)
                }
                Err(why) => {
                    instance.unanswered = instance.unanswered.saturating_add(1);
                    if instance.unanswered >= TOLD_AFTER && !instance.is_told {
                        instance.is_told = true;
                        news.push(News::LeftOut(Arc::clone(&id), why));
                    }
                    None
                }
            };
            others.push(Other { id, requests });
        }
        (Round { pairs, others }, news)
    }
}

/// The places of the arms of an earlier question. Most instances have answered the same one.
#[derive(Debug, Default)]
struct Places {
    of: Option<Arms>,
    by_arm: HashMap<(String, String), usize>,
}

impl Places {
    /// The place of the arm that is at `at` among `arms`, in an earlier question.
    fn place(&mut self, earlier: &Arms, arms: &Arms, at: usize) -> Option<usize> {
        if Arc::ptr_eq(earlier, arms) {
            return Some(at);
        }
        if self.of.as_ref().is_none_or(|of| !Arc::ptr_eq(of, earlier)) {
            self.of = Some(Arc::clone(earlier));
            let arms = earlier.iter().cloned();
            self.by_arm = arms.zip(0..).collect();
        }
        self.by_arm.get(&arms[at]).copied()
    }
}

impl Answer {
    fn read(bytes: Bytes, arms: &Arms, came: Instant) -> Option<Self> {
        let (started, places) = split(&bytes, arms.len())?;
        Some(Self {
            came,
            started,
            arms: Arc::clone(arms),
            bytes,
            places,
        })
    }

    fn arm(&self, at: usize) -> &[u8] {
        self.places
            .get(at)
            .and_then(|place| self.bytes.get(place.clone()))
            .unwrap_or_default()
    }

    /// Adds what was counted since an earlier answer of the same process to `pairs`. Returns the requests of each, or `None` where
    /// there is nothing to compare with.
    fn since(
        &self,
        earlier: Option<&Self>,
        places: &mut Places,
        pairs: &mut [[ArmReading; 2]],
    ) -> Vec<Option<u64>> {
        let mut difference = |at: usize| {
            let earlier = earlier?;
            let before = earlier.arm(places.place(&earlier.arms, &self.arms, at)?);
            let now = self.arm(at);
            if before == now {
                // Most arms have no request in most seconds. Without groups, as they are nothing to add.
                return Some(ArmReading::default());
            }
            unpack(now)?.since(&unpack(before)?)
        };
        let mut requests = Vec::with_capacity(pairs.len());
        for (at, pair) in pairs.iter_mut().enumerate() {
            let (canary, baseline) = (difference(2 * at), difference(2 * at + 1));
            requests.push(canary.zip(baseline).map(|(canary, baseline)| {
                let [canaries, baselines] = pair;
                canaries.add(&canary);
                baselines.add(&baseline);
                canary.requests().saturating_add(baseline.requests())
            }));
        }
        requests
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use waypost_admin::counts::packed::pack;
    use waypost_policy::status::RequestStatus;

    use super::*;

    const AGE_MAX: Duration = Duration::from_secs(10);

    fn arms(names: &[&str]) -> Arms {
        let services = names
            .iter()
            .flat_map(|route| ["new", "old"].map(|service| ((*route).to_owned(), service.to_owned())));
        Arc::new(services.collect())
    }

    /// The answer of a process with these counts of both arms of each route.
    fn answer(started: i64, counts: &[[u64; 2]]) -> Result<Bytes, String> {
        let arms = counts.iter().flatten().map(|count| ArmReading {
            statuses: vec![(RequestStatus::http(200), *count)],
            ..ArmReading::default()
        });
        let started = Timestamp::from_second(started).unwrap();
        Ok(pack(started, &arms.collect::<Vec<_>>()).into())
    }

    fn none() -> Result<Bytes, String> {
        Err("it is away".to_owned())
    }

    /// The requests of each pair that an instance has counted.
    type Requests = Option<Vec<Option<u64>>>;

    /// Takes a round of the instances `a`, `b` and so on. Returns the sums of each pair, and what each instance has counted.
    fn round(known: &mut Known, answers: &[Result<Bytes, String>]) -> (Vec<[u64; 2]>, Vec<Requests>) {
        let answers = ('a'..).zip(answers);
        let answers = answers.map(|(id, answer)| (Arc::from(id.to_string()), answer.clone()));
        let (round, _) = known.take(answers.collect(), AGE_MAX);
        let sums = round
            .pairs
            .iter()
            .map(|pair| pair.each_ref().map(ArmReading::requests));
        let others = round.others.into_iter().map(|other| other.requests);
        (sums.collect(), others.collect())
    }

    #[test]
    fn rounds_have_what_was_counted_in_between() {
        let mut known = Known {
            arms: arms(&["users"]),
            ..Known::default()
        };
        assert_eq!(
            round(&mut known, &[answer(1, &[[50, 500]]), answer(1, &[[7, 70]])]),
            (vec![[0, 0]], vec![Some(vec![None]), Some(vec![None])]),
            "first answers"
        );
        assert_eq!(
            round(&mut known, &[answer(1, &[[51, 510]]), answer(1, &[[7, 70]])]),
            (vec![[1, 10]], vec![Some(vec![Some(11)]), Some(vec![Some(0)])])
        );
        assert_eq!(
            round(&mut known, &[answer(1, &[[53, 510]]), none()]),
            (vec![[2, 0]], vec![Some(vec![Some(2)]), None])
        );
        assert_eq!(
            round(&mut known, &[answer(1, &[[53, 510]]), answer(1, &[[8, 90]])]),
            (vec![[1, 20]], vec![Some(vec![Some(0)]), Some(vec![Some(21)])]),
            "a question that was lost loses no count"
        );
    }

    #[test]
    fn a_restart_is_not_a_fall() {
        let mut known = Known {
            arms: arms(&["users"]),
            ..Known::default()
        };
        round(&mut known, &[answer(1, &[[50, 500]])]);
        let first = (vec![[0, 0]], vec![Some(vec![None])]);
        assert_eq!(round(&mut known, &[answer(2, &[[3, 30]])]), first);
        assert_eq!(
            round(&mut known, &[answer(2, &[[4, 40]])]),
            (vec![[1, 10]], vec![Some(vec![Some(11)])])
        );
        // More than before, and yet of another process.
        assert_eq!(round(&mut known, &[answer(3, &[[90, 900]])]), first);
        // Counters that were begun anew in the same process.
        assert_eq!(round(&mut known, &[answer(3, &[[90, 5]])]), first);
    }

    #[test]
    fn arms_are_compared_by_name_and_long_silence_with_nothing() {
        let mut known = Known {
            arms: arms(&["users", "orders"]),
            ..Known::default()
        };
        round(&mut known, &[answer(1, &[[1, 10], [5, 50]])]);
        known.arms = arms(&["orders", "carts"]);
        assert_eq!(
            round(&mut known, &[answer(1, &[[6, 50], [0, 0]])]),
            (vec![[1, 0], [0, 0]], vec![Some(vec![Some(1), None])])
        );
        for _ in 0..=UNANSWERED_MAX {
            round(&mut known, &[none()]);
        }
        assert_eq!(
            round(&mut known, &[answer(1, &[[7, 50], [0, 0]])]),
            (vec![[0, 0], [0, 0]], vec![Some(vec![None, None])])
        );
        let id: Arc<str> = "a".into();
        let (round, _) = known.take(
            vec![(Arc::clone(&id), answer(1, &[[9, 50], [0, 0]]))],
            Duration::ZERO,
        );
        assert_eq!(round.others[0].requests, Some(vec![None, None]), "too old");
    }

    #[test]
    fn silence_is_told_once_and_so_is_its_end() {
        let mut known = Known {
            arms: arms(&["users"]),
            ..Known::default()
        };
        let mut told = Vec::new();
        let good = answer(1, &[[1, 1]]);
        let nonsense = Ok(Bytes::from_static(b"<html>"));
        for answer in [
            &good,
            &none(),
            &none(),
            &good,
            &none(),
            &nonsense,
            &none(),
            &none(),
            &good,
            &good,
        ] {
            let (_, news) = known.take(vec![("a".into(), answer.clone())], AGE_MAX);
            told.push(match &news[..] {
                [] => ' ',
                [News::LeftOut(..)] => '-',
                [News::Back(_)] => '+',
                _ => panic!("{news:?}"),
            });
        }
        assert_eq!(told.into_iter().collect::<String>(), "      - + ");
    }
}
