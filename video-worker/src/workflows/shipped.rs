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

#[cfg(test)]
mod tests {
    use shared::film::Quality;

    use super::super::{ClipLength, Graph, Library, Link, Parameters};

    /// The frames that a node of `smoke` gives, each as one row of pixels that know where they began.
    fn frames(graph: &Graph, id: &str) -> Vec<Vec<u64>> {
        let number = |input: &str| graph.input(id, input).unwrap().as_u64().unwrap();
        let source = |input: &str| {
            frames(
                graph,
                Link::of(graph.input(id, input).unwrap()).unwrap().node,
            )
        };
        match graph.nodes[id].class_type.as_str() {
            "LoadImage" => vec![(0..200).collect()],
            "ImageScale" => source("image"),
            // The source is laid over the destination, x pixels to the right.
            "ImageCompositeMasked" => {
                let x = usize::try_from(number("x")).unwrap();
                let over = |(below, above): (Vec<u64>, Vec<u64>)| {
                    let kept = above.len() - x;
                    [&below[..x], &above[..kept]].concat()
                };
                source("destination")
                    .into_iter()
                    .zip(source("source"))
                    .map(over)
                    .collect()
            }
            "ImageBatch" => [source("image1"), source("image2")].concat(),
            "ImageFromBatch" => {
                let first = usize::try_from(number("batch_index")).unwrap();
                let length = usize::try_from(number("length")).unwrap();
                source("image")
                    .into_iter()
                    .skip(first)
                    .take(length)
                    .collect()
            }
            other => panic!("{other}"),
        }
    }

    #[test]
    fn the_picture_of_the_smoke_clip_slides_a_pixel_a_frame() {
        for count in [1, 96, 128] {
            let parameters = Parameters {
                prompt: String::new(),
                negative_prompt: String::new(),
                start_image: Some("start.png".to_owned()),
                size: "854x480".parse().unwrap(),
                clip: Some(ClipLength {
                    frames: count,
                    fps: 24,
                }),
                seed: 1,
                quality: Quality::Final,
                filename_prefix: "x".to_owned(),
            };
            let library = Library::shipped();
            let filled = library.get("smoke").unwrap().fill(&parameters).unwrap();
            let made = frames(filled.graph(), "cut");
            assert_eq!(made.len(), count as usize);
            for (moved, row) in made.iter().enumerate() {
                let slid: Vec<u64> = (0..(200 - moved as u64)).collect();
                assert_eq!(row[moved..], slid, "frame {moved} of {count}");
            }
        }
    }
}
