//! What can be set, and what cannot.

use shared::settings::Settings as _;

use super::*;
use crate::Settings;

fn load(file: &str) -> Result<LlmSettings, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("callsheet.toml");
    std::fs::write(&path, file).unwrap();
    shared::settings::load::<Settings>(crate::DEFAULT_SETTINGS, Some(&path), [], [])
        .map(|settings| {
            assert!(settings.mistakes().is_empty());
            settings.llm
        })
        .map_err(|error| error.to_string())
}

/// The commented models of the defaults, as a user would have them.
fn example() -> String {
    let lines = crate::LLM_DEFAULT_SETTINGS.lines();
    let models = lines.skip_while(|line| !line.starts_with("# [[llm.models]]"));
    let plain = models.map(|line| line.trim_start_matches('#').trim_start());
    let text = plain.collect::<Vec<_>>().join("\n");
    format!(
        "[llm]\ngemini_key = \"s3cret\"\n{}",
        text.replace("key_file", "# key_file")
    )
}

#[test]
fn without_settings_there_is_no_model() {
    assert_eq!(load("").unwrap(), LlmSettings::default());
}

#[test]
fn the_example_in_the_defaults_can_be_used_and_says_every_key_with_its_default() {
    let settings = load(&example()).unwrap();
    let [nemo, gemini] = &settings.models[..] else {
        panic!()
    };
    let minimal = "[[llm.models]]\nprofile = \"x\"\nprovider = \"openai\"\nmodel = \"story\"\nurl = \"http://127.0.0.1:8080\"";
    let minimal = load(minimal).unwrap().models[0].clone();
    let same = ModelSettings {
        profile: minimal.profile.clone(),
        gpu_mib: None,
        size: None,
        ..nemo.clone()
    };
    assert_eq!(same, minimal);
    let device = nemo.needs().device.unwrap();
    assert_eq!(
        (device.load, device.spike),
        (ByteSize::mib(9_650), ByteSize::mib(9_650))
    );
    // What is said and what is worked out tell the same.
    let size = nemo.size.unwrap();
    assert_eq!(
        size.need(nemo.context, true).to_string(),
        device.load.to_string()
    );
    assert_eq!(minimal.needs(), ResourceRequest::default());
    assert_eq!(settings.key_of(gemini), Key::Given(Secret::new("s3cret")));
    assert_eq!(
        settings.key_of(nemo),
        Key::None,
        "no server is shown another's key"
    );
    assert!(!format!("{settings:?}").contains("s3cret"));
}

#[test]
fn what_a_model_needs_is_said_or_worked_out_and_on_the_processor_it_needs_host_memory() {
    let needs = |more: &str| {
        let size = "{ weights_mib = 7134, layers = 40, kv_heads = 8, head_dim = 128 }";
        let model = format!(
            "[[llm.models]]\nprofile = \"x\"\nprovider = \"ollama\"\nmodel = \"m\"\nsize = {size}\n{more}"
        );
        let needs = load(&model).unwrap().models[0].needs();
        (
            needs.device.map(|it| it.load.to_string()),
            needs.ram.to_string(),
        )
    };
    let (gib, none) = (
        |text: &str| Some(text.to_owned()),
        ByteSize::ZERO.to_string(),
    );
    assert_eq!(needs(""), (gib("9.4 GiB"), none.clone()));
    assert_eq!(needs("context = 131072"), (gib("28.2 GiB"), none.clone()));
    assert_eq!(needs("gpu_mib = 8192"), (gib("8.0 GiB"), none.clone()));
    assert_eq!(needs("gpu_mib = 0"), (None, none));
    assert_eq!(needs("runs_on = \"cpu\""), (None, "8.8 GiB".to_owned()));
    assert_eq!(
        needs("runs_on = \"cpu\"\nram_mib = 2048"),
        (None, "2.0 GiB".to_owned())
    );
}

#[test]
fn a_fallback_is_known_and_needs_no_memory_that_its_job_is_not_promised() {
    let mistake = |fallback: &str, of: &str| {
        let model = |name: &str, url: u16, mib: u32, more: &str| {
            format!(
                "[[llm.models]]\nprofile = \"{name}\"\nprovider = \"openai\"\nmodel = \"m\"\n\
                     url = \"http://127.0.0.1:{url}\"\ngpu_mib = {mib}\n{more}\n"
            )
        };
        let listed = |name: &str| match name == of {
            true => format!("fallbacks = [\"{fallback}\"]"),
            false => String::new(),
        };
        let all = [
            ("large", 1, 9_000),
            ("small", 1, 4_000),
            ("elsewhere", 2, 4_000),
            ("none", 2, 0),
        ];
        let all = all.map(|(name, url, mib)| model(name, url, mib, &listed(name)));
        load(&all.concat()).err()
    };
    for (fallback, of) in [("outline", "none"), ("small", "large"), ("none", "large")] {
        assert_eq!(mistake(fallback, of), None, "{fallback} for {of}");
    }
    for (fallback, of, why) in [
        ("nobody", "large", "no other profile `nobody`"),
        ("large", "large", "no other profile `large`"),
        ("large", "small", "needs device memory"),
        ("elsewhere", "large", "needs device memory"),
        ("small", "none", "needs device memory"),
    ] {
        let error = mistake(fallback, of).unwrap();
        assert!(
            error.contains("fallbacks") && error.contains(why),
            "{error}"
        );
    }
}

#[test]
fn the_gemini_key_comes_from_the_environment_or_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    std::fs::write(&path, "s3cret\n").unwrap();
    for (name, value) in [
        ("CALLSHEET__LLM__GEMINI_KEY", "s3cret"),
        ("CALLSHEET__LLM__GEMINI_KEY_FILE", path.to_str().unwrap()),
    ] {
        let environment = [(name.into(), value.into())];
        let settings =
            shared::settings::load::<Settings>(crate::DEFAULT_SETTINGS, None, environment, [])
                .unwrap();
        assert_eq!(
            settings.llm.gemini_key,
            Some(Secret::new("s3cret")),
            "{name}"
        );
    }
}

#[test]
fn every_mistake_names_its_model_and_key() {
    let error = load(
        r#"
            [[llm.models]]
            profile = "outline"
            provider = "openai"
            model = " "
            context = 100
            temperature = 3
            timeout_ms = 1
            key = "s3cret"
            key_file = "x"
            [[llm.models]]
            profile = "flash"
            provider = "gemini"
            model = "m"
            gpu_mib = 1
            runs_on = "cpu"
            size = { weights_mib = 1, layers = 0, kv_heads = 1, head_dim = 1 }
            url = "ftp://x"
            "#,
    )
    .unwrap_err();
    for expected in [
        "models[0].profile",
        "models[0].model",
        "models[0].context",
        "models[0].temperature",
        "models[0].timeout_ms",
        "models[0].key_file",
        "models[0].url",
        "models[1].gpu_mib",
        "models[1].size",
        "models[1].url",
        "models[1].key_file",
    ] {
        assert!(error.contains(expected), "{expected}: {error}");
    }
    assert!(!error.contains("s3cret"));
    let error =
        load("[[llm.models]]\nprofile = \"x\"\nprovider = \"bard\"\nmodel = \"m\"").unwrap_err();
    assert!(error.contains("choose openai, ollama or gemini"), "{error}");
    let error = load("[llm]\nmodle = 1").unwrap_err();
    assert!(error.contains("llm.modle"), "{error}");
}
