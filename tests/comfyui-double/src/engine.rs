//! The executor: one prompt at a time, node by node.

use std::future::pending;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use crate::behaviour::{Content, Fate};
use crate::graph;
use crate::state::{Life, Prompt, Rendered, Running, lock};

/// A dead executor is brought back by nothing but a change of behaviour, which is looked at so often.
const LOOK: Duration = Duration::from_millis(20);

/// How the nodes of a prompt ended.
enum Ended {
    Well,
    Interrupted(String),
    Failed(Value),
    /// As above, with the status of the job before.
    Lied(Value),
}

/// Milliseconds since 1970, as messages carry them.
fn timestamp() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

/// Runs what comes, for ever.
pub(crate) async fn run(life: Arc<Life>) {
    loop {
        let dead = lock(&life.shared.behaviour).executor_dead;
        let next = if dead { None } else { take(&life) };
        match next {
            Some(prompt) => {
                *lock(&life.shared.running) = Some(prompt.id.clone());
                execute(&life, prompt).await;
                *lock(&life.shared.running) = None;
            }
            None => {
                let _ = timeout_at(Instant::now() + LOOK, life.wake.notified()).await;
            }
        }
    }
}

/// The next prompt: the smallest number first.
fn take(life: &Life) -> Option<Prompt> {
    let mut now = lock(&life.now);
    let number = |prompt: &Prompt| prompt.number.as_f64().unwrap_or(0.0);
    let places = 0..now.pending.len();
    let first =
        places.min_by(|a, b| number(&now.pending[*a]).total_cmp(&number(&now.pending[*b])))?;
    let prompt = now.pending.remove(first);
    now.running = Some(Running {
        prompt: prompt.clone(),
        node: None,
    });
    Some(prompt)
}

async fn execute(life: &Arc<Life>, prompt: Prompt) {
    life.tell_status();
    let fate = lock(&life.shared.behaviour).fates.pop_front();
    let fate = fate.unwrap_or(Fate::Well);
    if fate == Fate::KillsExecutor {
        pending::<()>().await;
    }
    let mut messages =
        vec![json!(["execution_start", {"prompt_id": prompt.id, "timestamp": timestamp()}])];
    life.tell(
        &prompt,
        "execution_start",
        json!({"timestamp": timestamp()}),
    );
    let nodes = graph::order(&prompt.graph, &prompt.outputs);
    let cached: Vec<String> = {
        let now = lock(&life.now);
        let known = |id: &&String| now.cache.contains_key(&graph::signature(&prompt.graph, id));
        nodes.iter().filter(known).cloned().collect()
    };
    let told = json!({"nodes": cached, "prompt_id": prompt.id, "timestamp": timestamp()});
    messages.push(json!(["execution_cached", told]));
    life.tell(&prompt, "execution_cached", told);
    let mut outputs = Map::new();
    let ended = perform(life, &prompt, &nodes, &cached, &fate, &mut outputs).await;
    if let Fate::Outputs(instead) = &fate {
        outputs = instead.as_object().cloned().unwrap_or_default();
    }
    let (kind, data, success) = match ended {
        Ended::Well => ("execution_success", json!({"timestamp": timestamp()}), true),
        Ended::Interrupted(node) => {
            let class = graph::class(&prompt.graph[&node]);
            let data = json!({"node_id": node, "node_type": class, "executed": [], "timestamp": timestamp()});
            ("execution_interrupted", data, false)
        }
        Ended::Failed(data) => ("execution_error", data, false),
        Ended::Lied(data) => ("execution_error", data, lock(&life.now).last_success),
    };
    life.tell(&prompt, kind, data.clone());
    let lag = lock(&life.shared.behaviour).history_lag;
    if !lag.is_zero() {
        sleep(lag).await;
    }
    let mut told = data;
    told["prompt_id"] = json!(prompt.id);
    messages.push(json!([kind, told]));
    {
        let mut now = lock(&life.now);
        let status = if success { "success" } else { "error" };
        let entry = json!({
            "prompt": prompt.tuple(),
            "outputs": outputs,
            "status": {"status_str": status, "completed": success, "messages": messages},
            "meta": {},
        });
        now.history.insert(prompt.id.clone(), entry);
        // Of two with one id the last one is kept.
        now.ended.retain(|id| *id != prompt.id);
        now.ended.push(prompt.id.clone());
        now.running = None;
        now.last_success = success;
        now.interrupted.remove(&prompt.id);
    }
    life.tell_status();
    life.tell(&prompt, "executing", json!({"node": null}));
}

async fn perform(
    life: &Arc<Life>,
    prompt: &Prompt,
    nodes: &[String],
    cached: &[String],
    fate: &Fate,
    outputs: &mut Map<String, Value>,
) -> Ended {
    let mut states = Map::new();
    let mut files = Vec::new();
    let last = nodes.iter().rfind(|id| !cached.contains(id)).cloned();
    for id in nodes {
        let node = &prompt.graph[id];
        let (class, signature) = (graph::class(node), graph::signature(&prompt.graph, id));
        if !cached.contains(id)
            && let Some(running) = &mut lock(&life.now).running
        {
            running.node = Some(id.clone());
        }
        let mut tell_state = |value: u32, max: u32, state: &str| {
            let (value, max) = (f64::from(value), f64::from(max));
            let told = json!({"value": value, "max": max, "state": state, "node_id": id, "prompt_id": prompt.id, "display_node_id": id, "parent_node_id": null, "real_node_id": id});
            states.insert(id.clone(), told);
            life.tell(prompt, "progress_state", json!({"nodes": states}));
        };
        if cached.contains(id) {
            let old = lock(&life.now).cache.get(&signature).cloned();
            if let Some(old) = old.filter(|old| !old.is_null()) {
                life.tell(
                    prompt,
                    "executed",
                    json!({"node": id, "display_node": id, "output": old}),
                );
                tell_state(1, 1, "finished");
                outputs.insert(id.clone(), old);
            }
            continue;
        }
        tell_state(0, 1, "running");
        life.tell(prompt, "executing", json!({"node": id, "display_node": id}));
        let (steps, silence) = {
            let behaviour = lock(&life.shared.behaviour);
            (behaviour.steps, behaviour.node)
        };
        let is_the_one = graph::samples(class)
            || (Some(id) == last.as_ref() && !has_sampler(prompt, nodes, cached));
        if let (true, Fate::Fails { exception, message }) = (is_the_one, fate) {
            return Ended::Failed(failure(id, class, exception, message));
        }
        if let (true, Fate::Lies) = (is_the_one, fate) {
            return Ended::Lied(failure(
                id,
                class,
                "graph.DependencyCycleError",
                "Dependency cycle detected",
            ));
        }
        if graph::samples(class) {
            for done in 1..=steps {
                let step = lock(&life.shared.behaviour).step;
                if wait(life, &prompt.id, step).await {
                    return Ended::Interrupted(id.clone());
                }
                tell_state(done, steps, "running");
                life.show(prompt, id, true);
                let data = json!({"value": done, "max": steps, "node": id});
                life.tell(prompt, "progress", data);
                life.show(prompt, id, false);
                if *fate == Fate::StallsAt(done) {
                    while !wait(life, &prompt.id, Duration::from_secs(3_600)).await {}
                    return Ended::Interrupted(id.clone());
                }
            }
        } else if wait(life, &prompt.id, silence).await && !graph::saves(class) {
            // A node that saves goes on to its end.
            return Ended::Interrupted(id.clone());
        }
        let mut output = Value::Null;
        if graph::is_output(class) && *fate != Fate::SavesNothing {
            output = save(life, prompt, id, class, fate, &mut files).await;
            life.tell(
                prompt,
                "executed",
                json!({"node": id, "display_node": id, "output": output}),
            );
            outputs.insert(id.clone(), output.clone());
        }
        lock(&life.now).cache.insert(signature, output);
        let made = if graph::samples(class) { steps } else { 1 };
        tell_state(made, made, "finished");
    }
    if !files.is_empty() {
        lock(&life.shared.disk).rendered.push(Rendered {
            prompt: prompt.id.clone(),
            extra_data: Value::Object(prompt.extra.clone()),
            graph: Value::Object(prompt.graph.clone()),
            files,
        });
    }
    Ended::Well
}

fn has_sampler(prompt: &Prompt, nodes: &[String], cached: &[String]) -> bool {
    nodes
        .iter()
        .any(|id| !cached.contains(id) && graph::samples(graph::class(&prompt.graph[id])))
}

/// Waits, and says whether the prompt is to stop.
async fn wait(life: &Life, prompt: &str, time: Duration) -> bool {
    let until = Instant::now() + time;
    loop {
        let ignores = lock(&life.shared.behaviour).ignores_interrupts;
        if !ignores && lock(&life.now).interrupted.contains(prompt) {
            return true;
        }
        if Instant::now() >= until {
            return false;
        }
        tokio::select! {
            () = sleep_until(until.min(Instant::now() + LOOK)) => {}
            () = life.wake.notified() => {}
        }
    }
}

/// Like the one of sampler of a toy model: tensors and prompts are printed into it.
fn failure(id: &str, class: &str, exception: &str, message: &str) -> Value {
    json!({
        "node_id": id, "node_type": class, "executed": [], "exception_type": exception, "exception_message": message,
        "traceback": ["…"], "current_inputs": {"positive": ["tensor([0.1234, 5.6789]) ".repeat(2_600)]}, "current_outputs": [], "timestamp": timestamp(),
    })
}

async fn save(
    life: &Arc<Life>,
    prompt: &Prompt,
    id: &str,
    class: &str,
    fate: &Fate,
    files: &mut Vec<String>,
) -> Value {
    let is_preview = class == "PreviewImage";
    let prefix = prompt.graph[id]["inputs"]["filename_prefix"].as_str();
    let prefix = prefix
        .filter(|_| !is_preview)
        .unwrap_or("ComfyUI_temp_abcde");
    let (folder, stem) = prefix.rsplit_once('/').unwrap_or(("", prefix));
    let ending = if class == "SaveVideo" { "mp4" } else { "png" };
    let content = lock(&life.shared.behaviour).content.clone();
    let name = {
        let mut disk = lock(&life.shared.disk);
        let begins = format!("{stem}_");
        let numbers = disk.outputs.keys().filter_map(|(of, name)| {
            let rest = name.strip_prefix(&begins).filter(|_| of == folder)?;
            rest.split('_').next()?.parse::<u32>().ok()
        });
        let number = numbers.max().unwrap_or(0) + 1;
        let name = format!("{stem}_{number:05}_.{ending}");
        let written: Content = match fate {
            Fate::DiesSaving => content.half(),
            _ => content,
        };
        disk.outputs
            .insert((folder.to_owned(), name.clone()), written);
        name
    };
    if *fate == Fate::DiesSaving {
        life.shared.dies.notify_one();
        pending::<()>().await;
    }
    if !is_preview {
        files.push(name.clone());
    }
    let kind = if is_preview { "temp" } else { "output" };
    let mut output = json!({"images": [{"filename": name, "subfolder": folder, "type": kind}]});
    if class == "SaveVideo" {
        output["animated"] = json!([true]);
    }
    output
}
