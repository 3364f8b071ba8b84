//! The workflows that come with the program. Their files lie in the folder `workflows` of the repository.

/// A workflow as text: its name, its graph, its manifest.
pub(super) type Text = (&'static str, &'static str, &'static str);

macro_rules! shipped {
    ($($name:literal),* $(,)?) => {
        &[$((
            $name,
            include_str!(concat!("../../../workflows/", $name, ".json")),
            include_str!(concat!("../../../workflows/", $name, ".toml")),
        )),*]
    };
}

/// All of them.
pub(super) const SHIPPED: &[Text] = shipped![
    "sdxl-1.0",
    "smoke",
    "smoke-keyframe",
    "wan2.1-i2v-14b-480p",
    "wan2.2-i2v-a14b",
    "wan2.2-ti2v-5b",
];
