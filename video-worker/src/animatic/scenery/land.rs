//! Mountains, hills, woods, deserts and roads: layers that fade into the haze.

use tiny_skia::PathBuilder;

use super::near_ground;
use super::noise::{layered, line, ridged};
use crate::animatic::canvas::{Canvas, HEIGHT, Ink, Spot};
use crate::animatic::colour::Colour;
use crate::animatic::dice::Dice;
use crate::animatic::picture::Picture;
use crate::animatic::reading::{Hour, Place, Shot, Weather};

/// A layer whose foot lies in mist.
fn misty(picture: &Picture, top: f32, depth: f32, reach: f32) -> Ink {
    let colour = picture.palette.at(depth);
    let mist = colour.to(
        picture.palette.haze.to(picture.palette.horizon, 0.45),
        0.55 * (1.0 - depth) + 0.08,
    );
    Ink::Down(vec![(top, colour, 1.0), (top + reach, mist, 1.0)])
}

/// Three chains of peaks with a lit and a dark side.
pub(super) fn mountains(picture: &Picture, canvas: &mut Canvas<'_>) {
    let mut dice = picture.dice("mountains");
    for layer in 0..3 {
        let depth = 0.1 + 0.2 * layer as f32;
        let seed = picture.seed ^ ((layer + 1) * 0x9e37);
        let (pitch, tall) = (
            dice.between(0.0022, 0.0031) * (1.0 + 0.35 * layer as f32),
            330.0 - 70.0 * layer as f32,
        );
        let foot = picture.horizon + 40.0 * layer as f32;
        let shift = dice.between(0.0, 100.0);
        let ridge = line(picture.width, 5.0, |x| {
            let peak = ridged(seed, x * pitch + shift, 5, 0.46);
            foot - tall * (peak - 0.32).max(0.0) * 1.45
        });
        let top = ridge.iter().map(|spot| spot.1).fold(HEIGHT, f32::min);
        canvas.ground(&ridge, &misty(picture, top, depth, foot - top + 60.0));
        facets(picture, canvas, &ridge, foot, layer);
    }
}

/// The sides of the peaks that look away from the light, and snow on those that look towards it.
fn facets(picture: &Picture, canvas: &mut Canvas<'_>, ridge: &[Spot], foot: f32, layer: u64) {
    let side = if picture.light.0 < picture.width / 2.0 {
        1
    } else {
        -1_isize
    };
    let window = 9;
    for middle in window..ridge.len().saturating_sub(window) {
        let peak = ridge[middle];
        let around = &ridge[middle - window..=middle + window];
        let tall = foot - peak.1;
        if tall < 40.0 || around.iter().any(|spot| spot.1 < peak.1) {
            continue;
        }
        let slope = |direction: isize| {
            let mut spots = vec![peak];
            let mut index = middle as isize + direction;
            while let Some(spot) = usize::try_from(index)
                .ok()
                .and_then(|index| ridge.get(index))
            {
                let last = spots[spots.len() - 1];
                if spot.1 < last.1 - 2.0 || spot.1 - peak.1 > tall * 0.75 {
                    break;
                }
                spots.push(*spot);
                index += direction;
            }
            spots
        };
        let mut shade = slope(side);
        let end = shade[shade.len() - 1];
        let (across, down) = (end.0 - peak.0, end.1 - peak.1);
        shade.extend([
            (end.0 - across * 0.35, end.1 + down * 0.12),
            (peak.0 + across * 0.28, peak.1 + down * 0.86),
            (peak.0 + across * 0.34, peak.1 + down * 0.52),
            (peak.0 - across * 0.06, peak.1 + down * 0.3),
        ]);
        let dark = picture.palette.deep;
        canvas.shape(
            &shade,
            &Ink::Down(vec![(peak.1, dark, 0.3), (end.1 + down * 0.1, dark, 0.04)]),
        );
        if layer < 2 && tall > 110.0 {
            let mut snow: Vec<Spot> = slope(-side);
            let keep = snow.len() * 2 / 5;
            snow.truncate(keep.max(2));
            let end = snow[snow.len() - 1];
            let (across, down) = (end.0 - peak.0, end.1 - peak.1);
            snow.extend([
                (end.0 - across * 0.3, end.1 - down * 0.12),
                (peak.0 + across * 0.45, end.1 + down * 0.16),
                (peak.0 + across * 0.22, peak.1 + down * 0.62),
                (peak.0 - across * 0.1, peak.1 + down * 0.4),
            ]);
            canvas.shape(
                &snow,
                &Ink::Flat(picture.palette.light, 0.62 - 0.2 * layer as f32),
            );
        }
    }
}

/// Soft ridges on the horizon.
pub(super) fn far_hills(picture: &Picture, canvas: &mut Canvas<'_>) {
    let mut dice = picture.dice("far hills");
    for layer in 0..3_u64 {
        let depth = 0.06 + 0.13 * layer as f32;
        let foot = picture.horizon - 46.0 + 34.0 * layer as f32;
        let (tall, shift) = (dice.between(46.0, 96.0), dice.between(0.0, 50.0));
        let ridge = line(picture.width, 8.0, |x| {
            foot - tall * layered(picture.seed ^ (layer * 77 + 5), x * 0.0024 + shift, 4, 0.42)
        });
        canvas.ground(&ridge, &misty(picture, foot - tall, depth, 190.0));
    }
}

/// Rolling ground between the horizon and us, with trees along its ridges.
pub(super) fn hills(picture: &Picture, canvas: &mut Canvas<'_>) {
    if picture.reading.place == Place::Hills {
        ground_with_trees(picture, canvas, 3, 0.42, 0.24);
    } else {
        ground_with_trees(picture, canvas, 2, 0.6, 0.26);
    }
}

fn ground_with_trees(
    picture: &Picture,
    canvas: &mut Canvas<'_>,
    layers: u64,
    depth: f32,
    step: f32,
) {
    let mut dice = picture.dice("hills");
    let room = 800.0 - picture.horizon;
    for layer in 0..layers {
        let through = (layer as f32 + 0.35) / layers as f32;
        let depth = depth + step * layer as f32 / 2.0;
        let base = picture.horizon + room * through;
        let (tall, shift) = (dice.between(26.0, 58.0), dice.between(0.0, 50.0));
        let slope = dice.between(-30.0, 30.0);
        let ridge = line(picture.width, 6.0, |x| {
            let lean = slope * (x / picture.width - 0.5);
            base + lean
                - tall
                    * layered(
                        picture.seed ^ (layer * 131 + 9),
                        x * 0.0017 + shift,
                        3,
                        0.35,
                    )
        });
        let size = 26.0 + 40.0 * through;
        copses(
            picture,
            canvas,
            &ridge,
            size,
            picture.palette.at(depth + 0.1),
            &mut dice,
        );
        canvas.ground(&ridge, &misty(picture, base - tall, depth, 210.0));
        if picture.reading.weather == Weather::Snow {
            let snow = Ink::Down(vec![
                (base - tall, picture.palette.horizon, 0.75),
                (base + 120.0, picture.palette.sky, 0.35),
            ]);
            canvas.ground(&ridge, &snow);
        }
    }
}

fn copses(
    picture: &Picture,
    canvas: &mut Canvas<'_>,
    ridge: &[Spot],
    size: f32,
    colour: Colour,
    dice: &mut Dice,
) {
    let conifers = picture.reading.place == Place::Mountains || dice.chance(0.35);
    let mut path = PathBuilder::new();
    let mut index = 0;
    while index < ridge.len() {
        if dice.chance(0.3) {
            for _ in 0..2 + dice.below(7) {
                let Some((x, y)) = ridge.get(index).copied() else {
                    break;
                };
                let size = size * dice.between(0.6, 1.15);
                if conifers {
                    conifer(&mut path, (x, y + 4.0), size * 1.5, dice);
                } else {
                    round_tree(&mut path, (x, y + 3.0), size, dice);
                }
                index += 1 + dice.below(3);
            }
        }
        index += 6 + dice.below(30);
    }
    canvas.fill(path.finish().as_ref(), &colour.into());
}

fn round_tree(path: &mut PathBuilder, (x, y): Spot, size: f32, dice: &mut Dice) {
    if let Some(trunk) =
        tiny_skia::Rect::from_ltrb(x - size * 0.05, y - size * 0.5, x + size * 0.05, y)
    {
        path.push_rect(trunk);
    }
    for _ in 0..4 {
        let (dx, dy) = (dice.between(-0.2, 0.2), dice.between(-0.9, -0.52));
        path.push_circle(
            x + dx * size,
            y + dy * size,
            size * dice.between(0.18, 0.28),
        );
    }
}

/// A spruce: tiers that hang out over each other.
pub(super) fn conifer(path: &mut PathBuilder, (x, y): Spot, tall: f32, dice: &mut Dice) {
    let (tiers, half) = (5, tall * dice.between(0.17, 0.22));
    let mut right = Vec::new();
    for tier in 0..tiers {
        let through = (tier + 1) as f32 / tiers as f32;
        let low = y - tall * (1.0 - through * 0.92);
        let out = half * through * dice.between(0.88, 1.1);
        right.push((out, low));
        right.push((out * 0.52, low - tall * 0.03));
    }
    right.pop();
    path.move_to(x, y - tall);
    for (out, low) in &right {
        path.line_to(x + out, *low);
    }
    path.line_to(x + tall * 0.02, y - tall * 0.07);
    path.line_to(x + tall * 0.02, y + 4.0);
    path.line_to(x - tall * 0.02, y + 4.0);
    path.line_to(x - tall * 0.02, y - tall * 0.07);
    for (out, low) in right.iter().rev() {
        path.line_to(x - out, *low);
    }
    path.close();
}

/// The back of a forest.
pub(super) fn far_trees(picture: &Picture, canvas: &mut Canvas<'_>) {
    let mut dice = picture.dice("far trees");
    far_hills(picture, canvas);
    for row in 0..2 {
        tree_row(
            picture,
            canvas,
            picture.horizon + 14.0 + 34.0 * row as f32,
            150.0 + 70.0 * row as f32,
            0.16 + 0.17 * row as f32,
            &mut dice,
        );
    }
}

/// The trees among which the scene plays, with shafts of light.
pub(super) fn trees(picture: &Picture, canvas: &mut Canvas<'_>) {
    let mut dice = picture.dice("trees");
    let base = picture.horizon;
    tree_row(picture, canvas, base + 95.0, 300.0, 0.5, &mut dice);
    let dull = matches!(picture.reading.weather, Weather::Storm | Weather::Rain)
        || picture.reading.hour == Hour::Night;
    if !dull {
        shafts(picture, canvas, &mut dice);
    }
    let ridge = line(picture.width, 10.0, |x| {
        base + 120.0 - 16.0 * layered(picture.seed ^ 41, x * 0.003, 3, 0.5)
    });
    canvas.ground(&ridge, &misty(picture, base + 100.0, 0.66, 240.0));
}

fn tree_row(
    picture: &Picture,
    canvas: &mut Canvas<'_>,
    foot: f32,
    tall: f32,
    depth: f32,
    dice: &mut Dice,
) {
    let mut path = PathBuilder::new();
    let mut x = -40.0;
    while x < picture.width + 40.0 {
        // A clearing, so that the eye finds the subject.
        let open = 1.0 - 0.55 * (-((x - picture.focus) / 190.0).powi(2)).exp();
        let size = tall * dice.between(0.55, 1.12) * open;
        conifer(&mut path, (x, foot + dice.between(0.0, 10.0)), size, dice);
        x += tall * dice.between(0.12, 0.26);
    }
    canvas.fill(
        path.finish().as_ref(),
        &misty(picture, foot - tall, depth, tall),
    );
    let mist = picture.palette.haze.to(picture.palette.horizon, 0.5);
    canvas.block(
        -10.0,
        foot - tall * 0.4,
        picture.width + 10.0,
        foot + 80.0,
        &Ink::Down(vec![
            (foot - tall * 0.4, mist, 0.0),
            (foot + 20.0, mist, 0.3),
        ]),
    );
}

fn shafts(picture: &Picture, canvas: &mut Canvas<'_>, dice: &mut Dice) {
    let (x, y) = picture.light;
    for _ in 0..5 {
        let lean = dice.between(-620.0, 620.0);
        let (thin, wide) = (dice.between(4.0, 16.0), dice.between(50.0, 110.0));
        let low = HEIGHT * 0.95;
        let corners = [
            (x - thin, y),
            (x + thin, y),
            (x + lean + wide, low),
            (x + lean - wide, low),
        ];
        let light = picture.palette.light;
        canvas.shape(
            &corners,
            &Ink::Down(vec![(y, light, 0.17), (low, light, 0.0)]),
        );
    }
}

/// Dark trunks that frame the picture, and the forest floor.
pub(super) fn trunks(picture: &Picture, canvas: &mut Canvas<'_>) {
    let mut dice = picture.dice("trunks");
    let dark = picture.palette.deep;
    foreground(picture, canvas);
    let places = [(0.02, 1.0), (0.12, 0.55), (0.9, 0.6), (0.985, 1.05)];
    for (place, size) in places {
        let x = picture.width * (place + dice.between(-0.02, 0.02));
        if (x - picture.focus).abs() < 210.0 {
            continue;
        }
        let half = 34.0 * size * dice.between(0.8, 1.2);
        let lean = dice.between(-24.0, 24.0);
        let edge = dark.to(picture.palette.haze, 0.22);
        canvas.shape(
            &[
                (x - half * 0.7 + lean, -10.0),
                (x + half * 0.7 + lean, -10.0),
                (x + half, 850.0),
                (x + half * 1.7, 905.0),
                (x - half * 1.7, 905.0),
                (x - half, 850.0),
            ],
            &Ink::Across(vec![
                (x - half, if picture.light.0 < x { edge } else { dark }, 1.0),
                (x + half, if picture.light.0 < x { dark } else { edge }, 1.0),
            ]),
        );
        for _ in 0..3 {
            let (y, side) = (dice.between(80.0, 520.0), dice.side());
            let reach = dice.between(60.0, 170.0) * side;
            let root = x + lean * (1.0 - y / 850.0);
            canvas.shape(
                &[
                    (root, y),
                    (root + reach, y - 60.0),
                    (root + reach * 1.2, y - 64.0),
                    (root, y + 17.0 * size),
                ],
                &dark.into(),
            );
        }
    }
}

/// Table mountains on the horizon.
pub(super) fn mesas(picture: &Picture, canvas: &mut Canvas<'_>) {
    let mut dice = picture.dice("mesas");
    let palette = &picture.palette;
    for layer in 0..2 {
        let depth = 0.1 + 0.16 * layer as f32;
        let foot = picture.horizon + 12.0;
        for _ in 0..2 + layer {
            let (x, half) = (
                dice.between(-0.05, 1.05) * picture.width,
                dice.between(60.0, 210.0),
            );
            let tall = dice.between(50.0, 130.0) * (1.0 - 0.25 * layer as f32);
            let step = tall * dice.between(0.3, 0.5);
            let outline = [
                (x - half * 1.45, foot),
                (x - half * 1.05, foot - step),
                (x - half, foot - tall),
                (x - half * 0.2, foot - tall - 3.0),
                (x + half * 0.9, foot - tall + 2.0),
                (x + half, foot - step),
                (x + half * 1.5, foot),
            ];
            canvas.shape(&outline, &misty(picture, foot - tall, depth, tall + 30.0));
            let far_side = if picture.light.0 < x { 1.0 } else { -1.0 };
            let shade = [
                (x + far_side * half * 0.3, foot - tall),
                (x + far_side * half * 0.9, foot - tall),
                (x + far_side * half, foot - step),
                (x + far_side * half * 1.4, foot),
                (x + far_side * half * 0.45, foot),
            ];
            canvas.shape(&shade, &Ink::Flat(palette.deep, 0.16));
        }
    }
    let sand = palette.haze.to(palette.horizon, 0.35);
    canvas.block(
        -10.0,
        picture.horizon,
        picture.width + 10.0,
        HEIGHT,
        &sand.into(),
    );
}

/// Dunes: each with a lit face and a face in the shade.
pub(super) fn dunes(picture: &Picture, canvas: &mut Canvas<'_>) {
    let mut dice = picture.dice("dunes");
    let palette = &picture.palette;
    let side = if picture.light.0 < picture.width / 2.0 {
        1.0
    } else {
        -1.0
    };
    for layer in 0..4_u64 {
        let through = layer as f32 / 3.0;
        let base = picture.horizon + 26.0 + (790.0 - picture.horizon) * through * 0.9;
        let (crest, tall, wide) = (
            dice.between(0.05, 0.95) * picture.width,
            46.0 + 62.0 * through,
            420.0 + 260.0 * through,
        );
        let height = |x: f32| {
            let off = (x - crest) / wide;
            let hump = (-off * off * 2.2).exp();
            base - tall * hump - 12.0 * layered(picture.seed ^ (layer + 3), x * 0.002, 2, 0.4)
        };
        let lit = palette
            .haze
            .to(palette.horizon, 0.62 - 0.3 * through)
            .to(palette.deep, 0.04 + 0.16 * through);
        let low = lit.to(palette.deep, 0.25);
        let ridge = line(picture.width, 8.0, height);
        canvas.ground(
            &ridge,
            &Ink::Down(vec![(base - tall, lit, 1.0), (base + 170.0, low, 1.0)]),
        );
        let mut shade: Vec<Spot> = (0..=40)
            .map(|step| {
                let x = crest + side * wide * 1.5 * step as f32 / 40.0;
                (x, height(x))
            })
            .collect();
        shade.extend((0..=40).rev().map(|step| {
            let along = step as f32 / 40.0;
            let bend = (along * 3.4).sin() * 34.0 * (1.0 - along * 0.4);
            let x = crest + side * (wide * 1.35 * along * along + bend * 0.8);
            (
                x,
                height(crest) + (tall * 1.25 + 60.0) * along.powf(0.8) + 6.0,
            )
        }));
        canvas.shape(
            &shade,
            &Ink::Down(vec![
                (base - tall, palette.deep.to(lit, 0.3), 0.62),
                (base + tall, palette.deep.to(lit, 0.45), 0.1),
            ]),
        );
    }
}

/// A road that runs to the horizon, with poles beside it.
pub(super) fn road(picture: &Picture, canvas: &mut Canvas<'_>) {
    ground_with_trees(picture, canvas, 2, 0.4, 0.2);
    let palette = &picture.palette;
    let mut dice = picture.dice("road");
    let (start, bend) = (picture.horizon + 22.0, dice.between(-150.0, 150.0));
    let field = palette.at(0.62);
    let ridge = line(picture.width, 20.0, |_| start);
    canvas.ground(
        &ridge,
        &Ink::Down(vec![
            (start, palette.at(0.5).to(palette.horizon, 0.3), 1.0),
            (HEIGHT, field, 1.0),
        ]),
    );
    let middle = |through: f32| {
        let far = picture.focus;
        let near = picture.width * 0.5 + (picture.width * 0.5 - picture.focus) * 0.3;
        far + (near - far) * through.powf(1.3)
            + bend * (through * std::f32::consts::PI).sin() * (1.0 - through)
    };
    let y = |through: f32| start + (HEIGHT + 10.0 - start) * through * through;
    let half = |through: f32| 3.0 + 330.0 * through * through;
    let edge = |side: f32| {
        (0..=40)
            .map(move |step| step as f32 / 40.0)
            .map(move |t| (middle(t) + side * half(t), y(t)))
    };
    let mut outline: Vec<Spot> = edge(-1.0).collect();
    outline.extend(edge(1.0).collect::<Vec<_>>().into_iter().rev());
    canvas.shape(
        &outline,
        &Ink::Down(vec![
            (start, palette.at(0.55).to(palette.light, 0.35), 1.0),
            (HEIGHT, palette.at(0.88), 1.0),
        ]),
    );
    for dash in 0..14 {
        let (from, to) = (dash as f32 / 14.0, (dash as f32 + 0.5) / 14.0);
        let thin = |t: f32| half(t) * 0.022;
        canvas.shape(
            &[
                (middle(from) - thin(from), y(from)),
                (middle(from) + thin(from), y(from)),
                (middle(to) + thin(to), y(to)),
                (middle(to) - thin(to), y(to)),
            ],
            &Ink::Flat(palette.light, 0.75),
        );
    }
    let side = picture.light_side();
    let mut wire = Vec::new();
    for pole in 1..9 {
        let t = (pole as f32 / 9.5).powf(1.25);
        let (x, foot) = (middle(t) + side * (half(t) + 10.0 + 120.0 * t), y(t));
        let tall = 26.0 + 640.0 * t * t;
        let thick = 1.2 + 9.0 * t * t;
        let colour = palette.at(0.6 + 0.4 * t);
        canvas.line(&[(x, foot), (x, foot - tall)], thick, &colour.into());
        canvas.line(
            &[
                (x - tall * 0.12, foot - tall * 0.92),
                (x + tall * 0.12, foot - tall * 0.92),
            ],
            thick * 0.8,
            &colour.into(),
        );
        wire.push((x, foot - tall * 0.92));
    }
    for pair in wire.windows(2) {
        let [(x0, y0), (x1, y1)] = [pair[0], pair[1]];
        let sag: Vec<Spot> = (0..=12)
            .map(|step| step as f32 / 12.0)
            .map(|t| {
                (
                    x0 + (x1 - x0) * t,
                    y0 + (y1 - y0) * t + 0.12 * (x1 - x0).abs().min(160.0) * (t * (1.0 - t)) * 4.0,
                )
            })
            .collect();
        canvas.line(&sag, 1.3, &Ink::Flat(palette.deep, 0.7));
    }
}

/// The dark ground right before us, with grass and stones along its edge.
pub(super) fn foreground(picture: &Picture, canvas: &mut Canvas<'_>) {
    let palette = &picture.palette;
    let mut dice = picture.dice("foreground");
    let top = palette.at(0.9);
    let ridge = line(picture.width, 6.0, |x| near_ground(picture, x));
    if !matches!(picture.reading.place, Place::Desert | Place::Space) {
        grass(picture, canvas, &mut dice, top);
    }
    canvas.ground(
        &ridge,
        &Ink::Down(vec![(820.0, top, 1.0), (HEIGHT, palette.deep, 1.0)]),
    );
    let lit = if picture.reading.weather == Weather::Snow {
        0.5
    } else {
        0.2
    };
    canvas.line(&ridge, 2.2, &Ink::Flat(palette.light, lit * 0.6));
    let framing = matches!(picture.reading.place, Place::Hills | Place::Road)
        && picture.reading.shot != Shot::Close;
    if framing && dice.chance(0.45) && picture.reading.hour != Hour::Night {
        branch(picture, canvas, &mut dice);
    }
}

fn grass(picture: &Picture, canvas: &mut Canvas<'_>, dice: &mut Dice, colour: Colour) {
    let mut path = PathBuilder::new();
    let count = (picture.width * 0.22).min(4_000.0) as usize;
    for _ in 0..count {
        let x = dice.between(-10.0, picture.width + 10.0);
        let clump = layered(picture.seed ^ 4_711, x * 0.012, 2, 0.5).max(0.0);
        let foot = near_ground(picture, x) + 3.0;
        let (tall, lean) = (
            (6.0 + 46.0 * clump) * dice.between(0.5, 1.1),
            dice.between(-9.0, 14.0),
        );
        path.move_to(x - 1.8, foot);
        path.quad_to(
            x - 0.5 + lean * 0.2,
            foot - tall * 0.6,
            x + lean,
            foot - tall,
        );
        path.quad_to(x + 1.0 + lean * 0.3, foot - tall * 0.5, x + 1.8, foot);
        path.close();
    }
    canvas.fill(path.finish().as_ref(), &colour.into());
}

/// A branch with leaves that hangs into the picture from an upper corner.
fn branch(picture: &Picture, canvas: &mut Canvas<'_>, dice: &mut Dice) {
    let from_left = picture.focus > picture.width / 2.0;
    let side = if from_left { 1.0 } else { -1.0 };
    let root = if from_left {
        -20.0
    } else {
        picture.width + 20.0
    };
    let dark = picture.palette.at(0.95);
    let mut leaves = PathBuilder::new();
    for twig in 0..3 {
        let (reach, top) = (
            dice.between(200.0, 380.0),
            dice.between(20.0, 120.0) + 40.0 * twig as f32,
        );
        let droop = dice.between(20.0, 110.0);
        let spots: Vec<Spot> = (0..=14)
            .map(|step| step as f32 / 14.0)
            .map(|t| {
                (
                    root + side * reach * t,
                    top + droop * t * t - 26.0 * (t * 6.0).sin() * t,
                )
            })
            .collect();
        canvas.line(&spots, 4.5, &dark.into());
        for (x, y) in &spots[3..] {
            for _ in 0..4 {
                let turn = dice.between(0.0, 6.3);
                let long = dice.between(13.0, 26.0);
                let (dx, dy) = (turn.cos() * long, turn.sin() * long * 0.8);
                leaves.move_to(*x, *y);
                leaves.quad_to(
                    x + dx * 0.5 - dy * 0.35,
                    y + dy * 0.5 + dx * 0.35,
                    x + dx,
                    y + dy,
                );
                leaves.quad_to(x + dx * 0.5 + dy * 0.35, y + dy * 0.5 - dx * 0.35, *x, *y);
                leaves.close();
            }
        }
    }
    canvas.fill(leaves.finish().as_ref(), &dark.into());
}
