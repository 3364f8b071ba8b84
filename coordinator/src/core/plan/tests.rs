//! Films of different lengths, job by job.

use std::collections::HashSet;
use std::time::Duration;

use shared::artifact::{Artifact, MediaType, Sha256};
use shared::byte_size::ByteSize;
use shared::film::{Quality, Size};
use shared::ids::{BootId, RunId};
use shared::job::Outcome;
use shared::protocol::WorkerRef;
use shared::script::Script;
use shared::story::Camera;

use super::super::decide::{Decision, Event, Policy, decide};
use super::super::job::{Completion, JobState};
use super::*;

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
const LENGTHS: [u32; 3] = [1, 3, 24];

/// A film at work: everything of it that the store would hold.
struct Production {
    film: Film,
    jobs: Vec<Job>,
    order: Order,
    ids: u128,
}

impl Production {
    /// A film of that many scenes, just accepted.
    fn of(scenes: u32) -> Self {
        Self::asked(FilmRequest {
            premise: Some("A lighthouse keeper befriends a storm".to_owned()),
            scenes: Some(scenes),
            size: Some("640x360".parse().unwrap()),
            fps: Some(25),
            ..FilmRequest::default()
        })
    }

    fn asked(request: FilmRequest) -> Self {
        let film = Film {
            id: FilmId::from_u128(1),
            seed: request.seed.unwrap_or(42),
            request,
            profiles: Profiles {
                story: "outline".parse().unwrap(),
                keyframe: "draughtsman".parse().unwrap(),
                scene: "animatic".parse().unwrap(),
                assembly: "ffmpeg".parse().unwrap(),
            },
            created_at: NOW,
            trace: None,
        };
        let mut production = Self {
            film,
            jobs: Vec::new(),
            order: Order::Streaming,
            ids: 0,
        };
        production.jobs = first_jobs(&production.film, &mut || JobId::from_u128(1));
        production.ids = 1;
        production
    }

    /// The same with its story written.
    fn written(mut self) -> Self {
        self.complete(JobKind::Story, None);
        let story = story(&self.jobs).unwrap().clone();
        let ids = &mut self.ids;
        let more = jobs_of_story(&self.film, &story, &mut || {
            *ids += 1;
            JobId::from_u128(*ids)
        });
        self.jobs.extend(more);
        self
    }

    fn job(&self, kind: JobKind, scene: Option<u32>) -> &Job {
        self.jobs
            .iter()
            .find(|job| job.kind == kind && job.scene == scene)
            .unwrap()
    }

    fn set(&mut self, kind: JobKind, scene: Option<u32>, state: JobState) {
        let mut all = self.jobs.iter_mut();
        let job = all.find(|job| job.kind == kind && job.scene == scene);
        job.unwrap().state = state;
    }

    fn complete(&mut self, kind: JobKind, scene: Option<u32>) {
        let product = product(kind, scene.unwrap_or(0), self.film.request.scene_count());
        let story = story(&self.jobs);
        assert_eq!(
            check(&self.film, story, self.job(kind, scene), &product),
            Ok(())
        );
        let completion = Completion {
            outcome: Outcome::from(product),
            worker: WorkerRef {
                worker: "worker-1".parse().unwrap(),
                boot: BootId::from_u128(1),
            },
            take: Take::FIRST,
            took: Duration::from_secs(1),
        };
        self.set(kind, scene, JobState::Completed(completion));
    }

    /// The jobs that have become free, by kind and scene; they are queued.
    fn queue_unblocked(&mut self) -> Vec<(JobKind, Option<u32>)> {
        let free = unblocked(&self.jobs, self.order);
        let mut found = Vec::new();
        for job in self.jobs.iter_mut().filter(|job| free.contains(&job.id)) {
            job.state = JobState::Queued;
            found.push((job.kind, job.scene));
        }
        assert_eq!(
            unblocked(&self.jobs, self.order),
            [],
            "a queued job is not blocked"
        );
        found
    }

    fn payload(&self, kind: JobKind, scene: Option<u32>) -> Option<Payload> {
        let payload = payload(&self.film, &self.jobs, self.job(kind, scene))?;
        assert_eq!(payload.kind(), kind);
        Some(payload)
    }

    /// Something happens to one of its jobs.
    fn tell(&mut self, kind: JobKind, scene: Option<u32>, event: &Event) {
        match decide(self.job(kind, scene), event, NOW, &Policy::default()) {
            Decision::Change { job, .. } => self.set(kind, scene, job.state),
            other @ (Decision::Ignore(_) | Decision::Answer(_)) => panic!("{other:?}"),
        }
    }
}

fn scene(number: u32) -> Scene {
    Scene {
        number,
        title: format!("Scene {number}"),
        action: "Rain falls.".to_owned(),
        beat: String::new(),
        image_prompt: "rain".to_owned(),
        motion_prompt: "it falls".to_owned(),
        negative_prompt: String::new(),
        camera: Camera::PushIn,
        seconds: 0.5 * f64::from(number),
        characters: Vec::new(),
    }
}

fn story_of(scenes: u32) -> Story {
    Story {
        title: "The Keeper".to_owned(),
        logline: "A keeper befriends a storm.".to_owned(),
        look: "ink on wet paper".to_owned(),
        characters: Vec::new(),
        scenes: (1..=scenes).map(scene).collect(),
    }
}

/// A file that can be told from others.
fn file(kind: JobKind, number: u32) -> Artifact {
    let mut bytes = [0; 32];
    bytes[0] = kind as u8;
    bytes[1] = u8::try_from(number).unwrap();
    Artifact {
        sha256: Sha256::new(bytes),
        size: ByteSize::bytes(1_000),
        media_type: match kind {
            JobKind::Keyframe => MediaType::Png,
            JobKind::Story | JobKind::Scene | JobKind::Assembly => MediaType::Mp4,
        },
    }
}

fn product(kind: JobKind, number: u32, scenes: u32) -> Product {
    match kind {
        JobKind::Story => Product::Story {
            story: story_of(scenes),
        },
        JobKind::Keyframe => Product::Keyframe {
            image: file(kind, number),
        },
        JobKind::Scene => Product::Scene {
            clip: file(kind, number),
            frames: frames(&scene(number), 25),
        },
        JobKind::Assembly => Product::Assembly {
            film: file(kind, 0),
            seconds: 60.0,
        },
    }
}

#[test]
fn a_film_wants_what_is_not_done_yet_planned_or_not() {
    let accepted = Production::of(3);
    assert_eq!(wants(&accepted.film, &accepted.jobs), JobKind::ALL);
    let written = accepted.written();
    let left = [JobKind::Keyframe, JobKind::Scene, JobKind::Assembly];
    assert_eq!(wants(&written.film, &written.jobs), left);
    let story = Production::asked(FilmRequest {
        until: Until::Story,
        ..FilmRequest::default()
    });
    assert_eq!(wants(&story.film, &story.jobs), [JobKind::Story]);
}

#[test]
fn a_film_fans_out_from_its_story_and_in_to_its_assembly_and_nothing_starts_early() {
    for length in LENGTHS {
        let mut film = Production::of(length);
        assert_eq!(film.queue_unblocked(), [(JobKind::Story, None)]);

        let mut film = film.written();
        assert_eq!(film.jobs.len(), 2 * length as usize + 2);
        let keyframes: Vec<_> = (1..=length)
            .map(|number| (JobKind::Keyframe, Some(number)))
            .collect();
        assert_eq!(film.queue_unblocked(), keyframes);

        // Each keyframe frees its own clip; even numbers first, as no order is promised.
        let order = || {
            let even = (1..=length).filter(|number| number % 2 == 0);
            even.chain((1..=length).filter(|number| number % 2 == 1))
        };
        for number in order() {
            film.complete(JobKind::Keyframe, Some(number));
            assert_eq!(film.queue_unblocked(), [(JobKind::Scene, Some(number))]);
        }
        for (done, number) in (1..).zip(order()) {
            film.complete(JobKind::Scene, Some(number));
            let free = film.queue_unblocked();
            match done == length {
                true => assert_eq!(free, [(JobKind::Assembly, None)]),
                false => assert_eq!(free, [], "{done} of {length} clips are there"),
            }
            assert_eq!(status(&film.jobs), FilmStatus::Running);
        }
        film.complete(JobKind::Assembly, None);
        assert_eq!(film.queue_unblocked(), []);
        assert_eq!(status(&film.jobs), FilmStatus::Completed);
    }
}

#[test]
fn every_job_has_its_own_id_and_the_profile_of_its_kind() {
    let film = Production::of(24).written();
    let ids: HashSet<_> = film.jobs.iter().map(|job| job.id).collect();
    assert_eq!(ids.len(), film.jobs.len());
    for job in &film.jobs {
        assert_eq!(job.profile, *film.film.profiles.of(job.kind));
        assert_eq!(job.film, film.film.id);
    }
}

#[test]
fn a_film_that_ends_with_its_story_is_one_job() {
    let mut film = Production::asked(FilmRequest {
        until: Until::Story,
        ..Production::of(3).film.request
    });
    assert_eq!(status(&film.jobs), FilmStatus::Running);
    film.queue_unblocked();
    let film = film.written();
    assert_eq!(film.jobs.len(), 1);
    assert_eq!(status(&film.jobs), FilmStatus::Completed);
}

#[test]
fn a_job_is_given_nothing_until_all_it_needs_is_there() {
    let mut film = Production::of(3);
    assert!(film.payload(JobKind::Story, None).is_some());
    let unwritten = new_job(&film.film, JobKind::Keyframe, Some(1), &mut || {
        JobId::from_u128(9)
    });
    assert_eq!(payload(&film.film, &film.jobs, &unwritten), None);

    film = film.written();
    for number in 1..=3 {
        assert!(film.payload(JobKind::Keyframe, Some(number)).is_some());
        assert_eq!(film.payload(JobKind::Scene, Some(number)), None);
    }
    for number in [2, 1, 3] {
        film.complete(JobKind::Keyframe, Some(number));
        assert!(film.payload(JobKind::Scene, Some(number)).is_some());
        assert_eq!(film.payload(JobKind::Assembly, None), None);
    }
    for number in [2, 1] {
        film.complete(JobKind::Scene, Some(number));
        assert_eq!(film.payload(JobKind::Assembly, None), None);
    }
    film.complete(JobKind::Scene, Some(3));
    assert!(film.payload(JobKind::Assembly, None).is_some());
    // A scene that the story does not have is none.
    let stray = new_job(&film.film, JobKind::Keyframe, Some(4), &mut || {
        JobId::from_u128(9)
    });
    assert_eq!(payload(&film.film, &film.jobs, &stray), None);
}

#[test]
fn what_a_job_is_given_follows_from_the_request_and_from_what_others_made() {
    let mut film = Production::of(3).written();
    for number in [3, 1, 2] {
        film.complete(JobKind::Keyframe, Some(number));
        film.complete(JobKind::Scene, Some(number));
    }
    let size: Size = "640x360".parse().unwrap();
    let seed_of = |kind, scene| seed(&film.film, film.job(kind, scene), Take::FIRST);

    let Some(Payload::Story(story)) = film.payload(JobKind::Story, None) else {
        panic!("no story")
    };
    assert_eq!(story.premise, film.film.request.premise);
    assert_eq!((story.scenes, story.seconds, story.seed), (3, 4.0, 42));

    let expected = KeyframePayload {
        title: "The Keeper".to_owned(),
        look: "ink on wet paper".to_owned(),
        scene: scene(2),
        scenes: 3,
        size,
        quality: Quality::Final,
        seed: seed_of(JobKind::Keyframe, Some(2)),
    };
    let keyframe = film.payload(JobKind::Keyframe, Some(2));
    assert_eq!(keyframe, Some(Payload::Keyframe(expected)));

    // 1.5 s at 25 frames per second are 37.5 frames.
    let expected = ScenePayload {
        scene: scene(3),
        keyframe: file(JobKind::Keyframe, 3),
        size,
        fps: 25,
        frames: 38,
        quality: Quality::Final,
        seed: seed_of(JobKind::Scene, Some(3)),
    };
    let clip = film.payload(JobKind::Scene, Some(3));
    assert_eq!(clip, Some(Payload::Scene(expected)));

    let Some(Payload::Assembly(assembly)) = film.payload(JobKind::Assembly, None) else {
        panic!("no assembly")
    };
    let told: Vec<_> = assembly
        .clips
        .iter()
        .map(|clip| (clip.number, clip.frames, clip.clip.clone()))
        .collect();
    let expected = (1..=3).map(|number| {
        (
            number,
            frames(&scene(number), 25),
            file(JobKind::Scene, number),
        )
    });
    assert_eq!(told, expected.collect::<Vec<_>>());
}

#[test]
fn a_scene_has_at_least_one_frame() {
    let short = Scene {
        seconds: 0.01,
        ..scene(1)
    };
    assert_eq!(frames(&short, 1), 1);
    assert_eq!(frames(&scene(8), 24), 96);
}

#[test]
fn seeds_differ_by_film_scene_kind_and_take_and_fit_into_json() {
    for film_seed in [0, 1, 42, SEED_MAX] {
        let with_seed = |seed| {
            let request = FilmRequest {
                seed: Some(seed),
                ..Production::of(24).film.request
            };
            Production::asked(request).written()
        };
        let film = with_seed(film_seed);
        assert_eq!(film.film.seed, film_seed);
        let takes: Vec<_> = (1..=20).map(Take::new).collect();
        let mut seeds = HashSet::new();
        for job in &film.jobs {
            for take in &takes {
                let seed = seed(&film.film, job, *take);
                assert!(seed <= SEED_MAX);
                assert!(
                    seeds.insert(seed),
                    "{} {:?} take {take}",
                    job.kind,
                    job.scene
                );
            }
        }
        let again = with_seed(film_seed);
        let other = with_seed(film_seed ^ 1);
        for (index, job) in film.jobs.iter().enumerate() {
            let of = |film: &Production| seed(&film.film, &film.jobs[index], Take::new(2));
            assert_eq!(of(&film), of(&again));
            assert_ne!(of(&film), of(&other), "{}", job.kind);
        }
    }
}

#[test]
fn the_first_take_of_a_story_has_the_seed_of_its_film() {
    let film = Production::of(3);
    assert_eq!(seed(&film.film, &film.jobs[0], Take::FIRST), 42);
}

#[test]
fn where_a_film_stands_follows_from_its_jobs() {
    use JobStatus::{Blocked, Cancelled, Completed, Failed, Queued, Retryable, Running};
    let state = |status| match status {
        Blocked => JobState::Blocked,
        Queued => JobState::Queued,
        Running => JobState::Running {
            run: RunId::from_u128(1),
        },
        Retryable => JobState::Retryable { retry_at: NOW },
        Completed => Production::of(1).written().jobs[0].state.clone(),
        Failed => JobState::Failed,
        Cancelled => JobState::Cancelled,
    };
    for (jobs, expected) in [
        (vec![Blocked], FilmStatus::Running),
        (vec![Queued], FilmStatus::Running),
        (vec![Running], FilmStatus::Running),
        (vec![Retryable], FilmStatus::Running),
        (vec![Completed], FilmStatus::Completed),
        (vec![Failed], FilmStatus::Failed),
        (vec![Cancelled], FilmStatus::Cancelled),
        // Between the completion of one job and the queueing of the next.
        (vec![Completed, Blocked], FilmStatus::Running),
        (vec![Completed, Completed], FilmStatus::Completed),
        // What can still get on does so before the film is given up.
        (vec![Failed, Running, Blocked], FilmStatus::Running),
        (vec![Failed, Queued], FilmStatus::Running),
        (vec![Failed, Retryable], FilmStatus::Running),
        (vec![Completed, Failed, Blocked], FilmStatus::Failed),
        // A cancelled film stays cancelled, whatever still speaks.
        (vec![Completed, Cancelled], FilmStatus::Cancelled),
        (vec![Failed, Cancelled], FilmStatus::Cancelled),
        (vec![Cancelled, Running], FilmStatus::Cancelled),
    ] {
        let told: Vec<_> = jobs
            .iter()
            .map(|status| Job {
                state: state(*status),
                ..Production::of(1).jobs[0].clone()
            })
            .collect();
        assert_eq!(status(&told), expected, "{jobs:?}");
    }
}

#[test]
fn a_failed_keyframe_holds_its_own_scene_until_it_is_given_new_tries() {
    let mut film = Production::of(3).written();
    film.queue_unblocked();
    film.set(JobKind::Keyframe, Some(2), JobState::Failed);
    for number in [1, 3] {
        film.complete(JobKind::Keyframe, Some(number));
        assert_eq!(film.queue_unblocked(), [(JobKind::Scene, Some(number))]);
        assert_eq!(status(&film.jobs), FilmStatus::Running);
        film.complete(JobKind::Scene, Some(number));
    }
    assert_eq!(film.queue_unblocked(), []);
    assert_eq!(status(&film.jobs), FilmStatus::Failed);

    film.tell(JobKind::Keyframe, Some(2), &Event::RetryRequested);
    assert_eq!(status(&film.jobs), FilmStatus::Running);
    assert_eq!(film.queue_unblocked(), [], "it is queued itself");
    film.complete(JobKind::Keyframe, Some(2));
    assert_eq!(film.queue_unblocked(), [(JobKind::Scene, Some(2))]);
    film.complete(JobKind::Scene, Some(2));
    assert_eq!(film.queue_unblocked(), [(JobKind::Assembly, None)]);
}

#[test]
fn where_both_need_the_card_the_first_clip_comes_after_the_last_keyframe() {
    let mut film = Production::of(3).written();
    film.order = Order::KeyframesFirst;
    film.queue_unblocked();
    for number in [2, 3] {
        film.complete(JobKind::Keyframe, Some(number));
        assert_eq!(film.queue_unblocked(), []);
    }
    let told = |film: &Production, number| waits_for(&film.jobs, film.job(JobKind::Scene, number));
    assert!(told(&film, Some(2)).contains("the other keyframes"));
    assert_eq!(told(&film, Some(1)), "waits for its keyframe");
    film.complete(JobKind::Keyframe, Some(1));
    let clips = [1, 2, 3].map(|number| (JobKind::Scene, Some(number)));
    assert_eq!(film.queue_unblocked(), clips);
}

#[test]
fn a_keyframe_that_has_failed_for_good_holds_up_no_other_clip() {
    let mut film = Production::of(3).written();
    film.order = Order::KeyframesFirst;
    film.queue_unblocked();
    for number in [1, 3] {
        film.complete(JobKind::Keyframe, Some(number));
        assert_eq!(film.queue_unblocked(), []);
    }
    film.set(JobKind::Keyframe, Some(2), JobState::Failed);
    let clips = [1, 3].map(|number| (JobKind::Scene, Some(number)));
    assert_eq!(film.queue_unblocked(), clips);
}

#[test]
fn what_a_film_asks_for_in_quality_is_what_its_keyframes_and_clips_are_given() {
    let mut film = Production::asked(FilmRequest {
        premise: Some("A storm".to_owned()),
        scenes: Some(3),
        quality: Quality::Draft,
        ..FilmRequest::default()
    })
    .written();
    film.complete(JobKind::Keyframe, Some(1));
    let Some(Payload::Keyframe(keyframe)) = film.payload(JobKind::Keyframe, Some(1)) else {
        panic!("no keyframe")
    };
    let Some(Payload::Scene(clip)) = film.payload(JobKind::Scene, Some(1)) else {
        panic!("no clip")
    };
    assert_eq!(
        (keyframe.quality, clip.quality),
        (Quality::Draft, Quality::Draft)
    );
}

#[test]
fn nothing_of_a_cancelled_film_becomes_free() {
    let mut film = Production::of(3).written();
    film.queue_unblocked();
    film.complete(JobKind::Keyframe, Some(1));
    let places: Vec<_> = film.jobs.iter().map(|job| (job.kind, job.scene)).collect();
    for (kind, scene) in places {
        if film.job(kind, scene).completion().is_none() {
            film.tell(kind, scene, &Event::CancelRequested);
        }
    }
    assert_eq!(film.queue_unblocked(), []);
    assert_eq!(status(&film.jobs), FilmStatus::Cancelled);
}

#[test]
fn a_product_of_another_kind_is_no_result() {
    let film = Production::of(3).written();
    for wanted in JobKind::ALL {
        let scene = match wanted {
            JobKind::Story | JobKind::Assembly => None,
            JobKind::Keyframe | JobKind::Scene => Some(1),
        };
        for sent in JobKind::ALL {
            let verdict = check(
                &film.film,
                None,
                film.job(wanted, scene),
                &product(sent, 1, 3),
            );
            match verdict {
                Ok(()) => assert_eq!(wanted, sent),
                Err(failure) => {
                    assert_ne!(wanted, sent);
                    assert_eq!(failure.kind, FailureKind::Permanent);
                    let message = format!("the worker sent a {sent} product for a {wanted} job");
                    assert_eq!(failure.message, message);
                }
            }
        }
    }
}

#[test]
fn a_story_must_have_the_scenes_that_were_asked_for() {
    let film = Production::of(3);
    let verdict = |story: Story| {
        let failure =
            check(&film.film, None, &film.jobs[0], &Product::Story { story }).unwrap_err();
        assert_eq!(failure.kind, FailureKind::RejectedContent);
        failure.message
    };
    assert_eq!(
        verdict(story_of(2)),
        "the story has 2 scenes; 3 were asked for"
    );
    assert_eq!(
        verdict(story_of(0)),
        "the story has 0 scenes; 3 were asked for"
    );
    let with = |edit: fn(&mut Story)| {
        let mut story = story_of(3);
        edit(&mut story);
        verdict(story)
    };
    let doubled = with(|story| story.scenes[2].number = 2);
    assert_eq!(doubled, "scene 3 of the story is numbered 2");
    let swapped = with(|story| story.scenes.swap(0, 1));
    assert_eq!(swapped, "scene 1 of the story is numbered 2");
    let endless = with(|story| story.scenes[1].seconds = 61.0);
    assert_eq!(endless, "scene 2 of the story lasts 61 s");
    let timeless = with(|story| story.scenes[0].seconds = f64::NAN);
    assert_eq!(timeless, "scene 1 of the story lasts NaN s");
}

#[test]
fn profiles_are_the_usual_ones_but_for_those_that_were_chosen() {
    let usual = Production::of(3).film.profiles;
    let request = FilmRequest {
        profiles: shared::film::Profiles {
            scene: Some("wan".parse().unwrap()),
            ..Default::default()
        },
        ..FilmRequest::default()
    };
    let chosen = usual.for_film(&request);
    assert_eq!(chosen.scene.as_str(), "wan");
    assert_eq!(
        Profiles {
            scene: usual.scene.clone(),
            ..chosen
        },
        usual
    );
}

#[test]
fn a_finished_script_takes_no_turn_at_a_language_model() {
    let usual = Profiles {
        story: "mistral".parse().unwrap(),
        ..Production::of(3).film.profiles
    };
    let premise = FilmRequest {
        premise: Some("A storm".to_owned()),
        ..FilmRequest::default()
    };
    assert_eq!(usual.for_film(&premise).story.as_str(), "mistral");
    let script = FilmRequest {
        script: Some(Script {
            title: "The last ferry".to_owned(),
            logline: None,
            look: None,
            characters: Vec::new(),
            scenes: Vec::new(),
        }),
        profiles: shared::film::Profiles {
            story: Some("mistral".parse().unwrap()),
            ..Default::default()
        },
        ..FilmRequest::default()
    };
    assert_eq!(usual.for_film(&script).story.as_str(), "outline");
}

#[test]
fn a_clip_may_be_one_frame_off_and_every_file_is_of_its_kind() {
    let film = Production::of(3).written();
    let judge = |kind, scene, product| {
        let job = film.job(kind, scene);
        check(&film.film, story(&film.jobs), job, &product)
    };
    let clip = |frames| Product::Scene {
        clip: file(JobKind::Scene, 2),
        frames,
    };
    let wanted = frames(&scene(2), 25);
    for made in [wanted - 1, wanted, wanted + 1] {
        assert_eq!(judge(JobKind::Scene, Some(2), clip(made)), Ok(()));
    }
    for made in [0, wanted - 2, wanted + 2] {
        let failure = judge(JobKind::Scene, Some(2), clip(made)).unwrap_err();
        assert_eq!(failure.kind, FailureKind::RejectedContent);
    }
    let wrong = [
        (
            JobKind::Keyframe,
            Some(1),
            Product::Keyframe {
                image: file(JobKind::Scene, 1),
            },
        ),
        (
            JobKind::Scene,
            Some(2),
            Product::Scene {
                clip: file(JobKind::Keyframe, 2),
                frames: wanted,
            },
        ),
        (
            JobKind::Assembly,
            None,
            Product::Assembly {
                film: file(JobKind::Keyframe, 1),
                seconds: 1.0,
            },
        ),
    ];
    for (kind, scene, product) in wrong {
        assert!(judge(kind, scene, product).is_err(), "{kind}");
    }
}
